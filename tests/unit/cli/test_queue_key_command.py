"""`qscore key queue`: what it writes, shows and says."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scorer.chain import Entry
from scorer.cli.main import build
from scorer.service.access.audit import record
from scorer.service.queue.sealing.keys import read_keys
from scorer.service.queue.sealing.seal import SEAL_LIFE
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption, ConfigurationError


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    return load_settings()


def run(*words: str) -> Result:
    return CliRunner().invoke(build(), ["key", "queue", *words], catch_exceptions=False)


def test_a_new_key_lies_in_the_home_and_the_command_says_where_it_goes(settings: Settings) -> None:
    said = run("new").stdout
    path = settings.home / "private" / "queue.key"
    (key,) = read_keys(path).keys
    assert f"key {key.name} is in {path}" in said
    assert f'queue_key_file = "{path}"' in said
    assert key.secret.hex() not in said
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ConfigurationError, match="is there already"):
        run("new")


def test_a_rotation_says_until_when_to_copy_and_both_keys_are_listed(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "queue.key"
    run("new", str(file))
    before, now = read_keys(file).keys[0], time.time()
    said = run("rotate", str(file), "--in", "2h").stdout
    old, new = read_keys(file).keys
    assert (old.secret, old.begins, new.ends) == (before.secret, None, None)
    assert new.begins is not None
    assert old.ends is not None
    assert abs(new.begins - now - 7200) < 30
    assert old.ends - new.begins == SEAL_LIFE
    assert f"Copy {file} to every machine of this queue before " in said.replace("\n", " ")
    listed = run("list", str(file)).stdout
    assert re.search(rf"{old.name} +│ makes seals", listed)
    assert re.search(rf"{new.name} +│ opens seals", listed)
    assert not any(key.secret.hex() in said + listed for key in (old, new))
    with pytest.raises(BadOption, match="has not begun"):
        run("rotate", str(file))


def test_the_file_that_the_settings_name_is_meant_where_none_is(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSCORE_QUEUE_KEY_FILE", str(tmp_path / "named.key"))
    run("new")
    run("rotate", "--in", "0s", "--overlap", "0s")
    time.sleep(1.1)  # files hold whole seconds
    old, new = read_keys(tmp_path / "named.key").keys
    listed = run("list").stdout
    assert re.search(rf"{old.name} +│ ended", listed)
    assert re.search(rf"{new.name} +│ makes seals", listed)


def test_both_are_in_the_audit_record_without_the_keys(settings: Settings) -> None:
    run("new")
    run("rotate")
    entries = [entry.content for entry in record(settings).entries() if isinstance(entry, Entry)]
    assert [entry["event"] for entry in entries] == ["queue_key_made", "queue_key_rotated"]
    keys = read_keys(settings.home / "private" / "queue.key").keys
    assert [entry["facts"]["key"] for entry in entries] == [key.name for key in keys]
    assert not any(key.secret.hex() in str(entries) for key in keys)
