"""`qscore dead`: what is listed and what would be sent, where several sinks have left something."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli.main import build
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.sink import Refused
from tests.unit.delivery.builders import make_rows


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three letters of Splunk's sink, and of Elasticsearch's two and one in two namespaces."""
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    store = DeadLetters(tmp_path / "dead_letters.sqlite")
    for sink, count in (("hec", 3), ("elastic:prod", 2), ("elastic:lab", 1)):
        store.add(sink, [Refused(make_rows(count), "why")])
    return tmp_path


def said(*arguments: str) -> str:
    result = CliRunner().invoke(build(), ["dead", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("options", "total"), [([], 6), (["--sink", "hec"], 3), (["--sink", "elastic"], 3), (["--sink", "elastic:lab"], 1)]
)
def test_a_list_counts_what_it_shows(home: Path, options: list[str], total: int) -> None:
    assert f"{total} dead letters\n" in said("list", *options)


@pytest.mark.parametrize(
    ("toml", "total"),
    [
        ('sink = "hec"\n', 3),
        ('sink = "elastic"\n', 3),
        # The connector's scores go to Elasticsearch whatever `sink` says.
        ('sink = "hec"\n[elastic]\nurl = "https://elastic.example:9200"\n', 6),
        ('[elastic]\nurl = "https://elastic.example:9200"\n', 3),
    ],
)
def test_a_replay_is_of_every_sink_that_is_written_to(home: Path, toml: str, total: int) -> None:
    (home / "qscore.toml").write_text(toml)
    assert f"{total} dead letters would be sent" in said("replay", "--dry-run")
