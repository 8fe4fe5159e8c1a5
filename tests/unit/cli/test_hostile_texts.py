"""Texts that somebody else wrote, through the commands that show them."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from scorer.cli.main import main
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.sink import Refused
from scorer.models.trained import TrainedModel
from scorer.service.access.audit import Caller, audit
from scorer.service.access.trust.publishing import publish_audited
from scorer.service.settings import Settings
from tests.unit.cli.test_terminal import FORBIDDEN, HOSTILE
from tests.unit.delivery.builders import make_rows

PLANTED = HOSTILE.replace("\x00", "")  # which no argument and no SQLite text holds


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_model: TrainedModel) -> Path:
    """A home in which every text that a command shows was written by somebody hostile."""
    home = tmp_path_factory.mktemp("hostile")
    settings = Settings(home=home)
    facts = {**tiny_model.facts, "trained_on": f"model {PLANTED}"}
    publish_audited(settings, dataclasses.replace(tiny_model, facts=facts), promote=True)
    DeadLetters(settings.dead_letters).add("hec", [Refused(make_rows(1), "why")])
    with sqlite3.connect(settings.dead_letters) as db:
        db.execute("UPDATE dead_letters SET reason = ?, sink = ?", (f"reason {PLANTED}", f"sink{PLANTED}"))
    audit(settings, "token_issued", Caller(f"key{PLANTED}", f"address{PLANTED}"), note=f"fact {PLANTED}")
    key = next(settings.trusted_keys.glob("*.json"))
    key.write_text(json.dumps({**json.loads(key.read_text()), "note": f"note {PLANTED}"}))
    return home


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["dead", "list"], "reason a"),
        (["dead", "list", "--json"], "reason a"),
        (["models"], "model a"),
        (["models", "--json"], "model a"),
        (["audit"], "fact a"),
        (["audit", "--json"], "fact a"),
        (["trust", "list"], "note a"),
        (["status"], "lateral 1-starter"),
        (["trust", "add", f"file {PLANTED}"], "file a"),
        (["key", "revoke", PLANTED], "there is no key a"),
        (["audit", "--since", PLANTED], "no moment"),
        (["promote", "lateral", PLANTED], "cannot be a version"),
        (["dead", "replay", "--dry-run", "--sink", f"sink{PLANTED}"], "would be sent"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_no_command_lets_a_text_act(
    home: Path, command: list[str], shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QSCORE_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(sys, "argv", ["qscore", *command])
    with pytest.raises(SystemExit):
        main()
    printed = "".join(capsys.readouterr())
    assert shown in printed
    assert not FORBIDDEN & set(printed)
