"""What demo, benchmark and tests set up once: settings that the product reads back, and how a demo ends on an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from demo.elastic_setup import Source, settings_text
from scorer.service.settings import load_settings


def test_the_settings_are_read_back_as_they_were_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / 'a "key" of José'
    sources = [Source("one", "logs-a.*", "lateral"), Source("two", "logs-b-*,-logs-b-old", "lateral_flow")]
    text = settings_text("https://h:9200", key, "prod", sources, settle_seconds=0.5, page_documents=100)
    (tmp_path / "qscore.toml").write_text(text, "utf-8")
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.sink == "elastic"
    assert (settings.elastic.url, settings.elastic.api_key_file) == ("https://h:9200", key)
    assert (settings.elastic.settle_seconds, settings.elastic.page_documents) == (0.5, 100)
    assert [Source(s.name, s.index, s.model) for s in settings.elastic.sources] == sources


@pytest.mark.parametrize("demo", [["demo", "--app", "none.tar.gz"], ["demo.elastic"]])
def test_a_demo_that_cannot_begin_says_so_in_one_sentence(demo: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", *demo, "--data", str(tmp_path / "none.csv")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"qscore demo: {tmp_path / 'none.csv'} cannot be read: ")
    assert done.stderr.count("\n") == 1
    assert "Everything was stopped" not in done.stdout
