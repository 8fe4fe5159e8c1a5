"""`qscore audit`: what it shows and what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scorer.cli.main import build
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.sink import Refused
from scorer.service.settings import load_settings
from scorer.wire.errors import BadOption, QScoreError
from tests.unit.delivery.builders import make_rows


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path / "home"


def said(*arguments: str) -> str:
    result = CliRunner().invoke(build(), list(arguments))
    if isinstance(result.exception, QScoreError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def entries(*arguments: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said("audit", "--json", *arguments).splitlines()]


def key_id(home: Path) -> str:
    found: str = json.loads((home / "api_keys.json").read_text())["keys"][-1]["id"]
    return found


def test_commands_that_change_something_leave_an_entry(home: Path) -> None:
    secret = said("key", "new", "--note", "search head").splitlines()[0]
    key = key_id(home)
    DeadLetters(home / "dead_letters.sqlite").add("hec", [Refused(make_rows(2), "why")])
    said("dead", "purge", "--yes", "--sink", "hec")
    said("key", "revoke", key)
    with pytest.raises(BadOption):
        said("key", "revoke", key)
    found = entries()
    assert [entry["event"] for entry in found] == ["key_made", "dead_purged", "key_revoked", "key_revoked"]
    assert found[0]["facts"] == {"key": key, "namespace": key, "note": "search head", "scopes": ["read", "score"]}
    assert found[1]["facts"] == {"letters": 2, "older_than_days": None, "sink": "hec"}
    assert found[3]["facts"] == {"key": key, "failed": "bad_option"}
    assert secret not in json.dumps(found)


def test_entries_are_chosen_by_time_event_and_key(home: Path) -> None:
    for note in "ab":
        said("key", "new", "--note", note)
    key = key_id(home)
    assert len(entries("--key", key)) == 1
    assert len(entries("--event", "key_made", "--since", "1h")) == 2
    assert entries("--event", "promoted") == []
    assert entries("--since", "2999-01-01") == []
    assert len(entries("--since", "2001-01-01T00:00")) == 2
    assert "2 entries (1 shown)" in said("audit", "--limit", "1")
    for wrong in (["--since", "yesterday"], ["--event", "nothing"], ["--since", "2026-13-45"]):
        with pytest.raises(BadOption):
            said("audit", *wrong)


def test_a_change_of_the_record_is_found_and_shown(home: Path) -> None:
    for note in "abc":
        said("key", "new", "--note", note)
    head = said("audit", "head").strip()
    assert "entries 1 to 3 are as they were written" in said("audit", "verify", "--head", head)
    (file,) = load_settings().audit_dir.glob("*.jsonl")
    kept = file.read_bytes()
    file.write_bytes(kept.replace(b'"note":"b"', b'"note":"x"'))
    with pytest.raises(QScoreError, match="entry 2 was changed"):
        said("audit", "verify")
    assert [entry.get("fault") for entry in entries()] == [None, "entry 2 was changed", None]
    assert "entry 2 was changed" in said("audit")
    file.write_bytes(b"".join(kept.splitlines(keepends=True)[:2]))
    said("audit", "verify")
    with pytest.raises(QScoreError, match="the end up to 3 was cut off"):
        said("audit", "verify", "--head", head)


def test_a_key_is_not_shown_when_its_making_could_not_be_recorded(home: Path) -> None:
    home.mkdir(mode=0o700)
    (home / "audit").write_text("in the way")
    with pytest.raises(QScoreError, match="cannot be written"):
        said("key", "new")
    assert not (home / "api_keys.json").exists()
