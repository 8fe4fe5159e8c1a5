"""The audit record: every change leaves an entry, none is made without one, and no entry holds a secret."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from scorer.chain import Entry
from scorer.service.access.audit import EVENTS, Caller, audit, audit_quietly, audited, record
from scorer.service.access.effective import audit_start
from scorer.service.settings import GatewaySettings, Settings
from scorer.wire.errors import BadOption, ConfigurationError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def contents(settings: Settings) -> list[Any]:
    return [entry.content for entry in record(settings).entries() if isinstance(entry, Entry)]


def test_an_entry_says_who_did_what(settings: Settings) -> None:
    audit(settings, "key_made", key="1a2b", scopes=("read", "score"))
    audit(settings, "token_issued", Caller("1a2b", "192.0.2.7"), seconds=900)
    mine, theirs = contents(settings)
    assert mine["event"] == "key_made"
    assert mine["facts"] == {"key": "1a2b", "scopes": ["read", "score"]}
    assert (mine["by"]["user"], mine["by"]["pid"]) == (Path("/proc/self").owner(), os.getpid())
    assert (theirs["by"]["key"], theirs["by"]["address"]) == ("1a2b", "192.0.2.7")
    assert "user" not in theirs["by"]


def test_an_unknown_event_is_a_mistake_of_the_program(settings: Settings) -> None:
    with pytest.raises(ValueError, match="not an event"):
        audit(settings, "something")
    assert all(name.replace("_", "").isalpha() for name in EVENTS)


@pytest.mark.parametrize(
    "facts",
    [
        {"note": "é\x1b[31m" * 100_000},
        {"rows": [{"x": "\x00" * 10_000}] * 10_000},
        {"x": float("inf"), "y": float("nan"), "z": object()},
        {"path": Path("/x"), "text": "\ud800"},
    ],
    ids=["long", "deep", "numbers", "others"],
)
def test_any_facts_fit_an_entry(settings: Settings, facts: dict[str, Any]) -> None:
    audit(settings, "promoted", **facts)
    assert set(contents(settings)[0]["facts"]) in ({"left_out"}, set(facts))
    assert record(settings).verify().head.number == 1


def test_nothing_is_done_while_the_record_cannot_be_written(settings: Settings) -> None:
    settings.home.mkdir()
    settings.audit_dir.write_text("in the way")
    done = []
    with pytest.raises(ConfigurationError, match="cannot be written"), audited(settings, "dead_purged"):
        done.append(1)
    assert done == []
    audit_quietly(settings, "token_issued", Caller("1a2b", "192.0.2.7"))  # callers are served all the same


def test_nothing_is_done_after_the_record_was_changed(settings: Settings) -> None:
    audit(settings, "key_made")
    (file,) = settings.audit_dir.glob("*.jsonl")
    file.write_bytes(file.read_bytes().replace(b"key_made", b"key_mada"))
    done = []
    with pytest.raises(Exception, match="entry 1 was changed"), audited(settings, "dead_purged"):
        done.append(1)
    assert done == []


def test_what_failed_says_so(settings: Settings) -> None:
    def revoke() -> None:
        with audited(settings, "key_revoked", key="1a2b") as note:
            note.facts["more"] = 1
            raise BadOption("there is no key")

    with pytest.raises(BadOption):
        revoke()
    assert contents(settings)[0]["facts"] == {"key": "1a2b", "more": 1, "failed": "bad_option"}


def test_a_start_names_what_changed_and_keeps_secrets(settings: Settings) -> None:
    def start(**changed: Any) -> dict[str, Any]:
        audit_start(Settings(home=settings.home, **changed), "gateway")
        facts: dict[str, Any] = contents(settings)[-1]["facts"]
        return facts

    first = start(broker_url="rediss://qscore:hunter2@queue.example:6379/0")
    again = start(broker_url="rediss://qscore:hunter2@queue.example:6379/0")
    assert first["settings"] == again["settings"]
    assert "changed" not in first
    assert "changed" not in again
    moved = start(broker_url="rediss://qscore:hunter3@queue.example:6379/0", gateway=GatewaySettings(port=9000))
    shown = "rediss://***@queue.example:6379/0"
    assert moved["changed"] == {"broker_url": [shown, shown], "gateway.port": ["8417", "9000"]}
    everything = "".join(path.read_text() for path in settings.home.rglob("*.json*"))
    assert "queue.example" in everything
    assert "hunter" not in everything
    assert all(path.stat().st_mode & 0o077 == 0 for path in settings.home.rglob("*.json*"))


@pytest.mark.parametrize("password", ["hunter2", "hun@ter", "h/un@te@r", "@", "hun:ter@"])
def test_no_part_of_a_password_is_recorded(settings: Settings, password: str) -> None:
    for port in (1, 2):
        url = f"rediss://qscore:{password}@queue.example:{port}/0"
        audit_start(Settings(home=settings.home, broker_url=url), "gateway")
    changed = contents(settings)[-1]["facts"]["changed"]["broker_url"]
    assert changed == [f"rediss://***@queue.example:{port}/0" for port in (1, 2)]


@pytest.mark.parametrize("left", [b"", b"[]", b"{", b'{"shown": 1}', b"[" * 100_000, b"\xff"])
def test_a_damaged_memory_of_the_last_start_stops_nobody(settings: Settings, left: bytes) -> None:
    audit_start(settings, "up")
    file = settings.state_dir / "settings_up.json"
    file.write_bytes(left)
    audit_start(settings, "up")
    assert [content["event"] for content in contents(settings)] == ["started", "started"]
    assert json.loads(file.read_bytes())["shown"]["gateway.port"] == "8417"
