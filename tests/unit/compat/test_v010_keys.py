"""The gateway's API keys of 0.1.0 are listed, and can be taken back. That they open it: tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest

from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import load_settings
from tests.v010 import content, make_home, qscore


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


def test_keys_are_listed_with_their_scopes(home: Path) -> None:
    listed = qscore(home, "key", "list")
    assert listed.returncode == 0, listed.stderr
    for key in content("api_keys.json")["keys"]:
        (line,) = (line for line in listed.stdout.splitlines() if key["id"] in line)
        assert ", ".join(key["scopes"]) in line
        assert key["note"] in line


def test_a_key_is_taken_back_and_the_other_stays(home: Path) -> None:
    first, second = content("api_keys.json")["keys"]
    assert qscore(home, "key", "revoke", first["id"]).returncode == 0
    listed = qscore(home, "key", "list").stdout
    assert first["id"] not in listed
    assert second["id"] in listed


def test_their_scores_keep_the_ids_that_they_had(home: Path) -> None:
    assert {key.namespace for key in KeyFile(load_settings(home=home).api_keys).keys()} == {""}  # noqa: SIM118
