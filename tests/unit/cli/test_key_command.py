"""`qscore key`: what it makes, shows and says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from scorer.cli.main import build
from scorer.service.access.api_keys import KeyFile, Terms, local_key
from scorer.service.access.last_use import Use, UseFile
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import BadOption


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    return load_settings()


def run(*words: str) -> Result:
    return CliRunner().invoke(build(), words, catch_exceptions=False)


def test_a_key_with_an_end_and_bounds(settings: Settings) -> None:
    words = ("--scope", "write", "--days", "90", "--model", "lateral", "--index", "soc", "--elastic-namespace", "lab")
    made = run("key", "new", *words)
    (key,) = KeyFile(settings.api_keys).keys()
    assert KeyFile(settings.api_keys).find(made.stdout.strip()) == key
    assert key.expires is not None
    assert round(key.expires - key.created) == 90 * 86_400
    assert (key.models, key.indexes, key.elastic_namespaces) == (("lateral",), ("soc",), ("lab",))
    assert "may: write (models lateral; indexes soc; Elastic namespaces lab). It ends at 20" in made.stderr
    listed = run("key", "list").stdout
    assert "models lateral; indexes soc; Elastic namespaces lab" in listed
    assert made.stdout.strip() not in listed


def test_the_list_shows_last_uses_and_warns_of_ends(settings: Settings) -> None:
    keys = KeyFile(settings.api_keys)
    key = keys.add(["read"], "old", terms=Terms(expires=1_700_000_000.0))[0]
    unused = keys.add(["read"])[0]
    UseFile.beside(settings.api_keys).merge({key.id: Use(1_700_000_000.0, "192.0.2.7")}, [key.id])
    listed = run("key", "list")
    (line,) = (line for line in listed.stdout.splitlines() if key.id in line)
    assert "2023-11-14 22:13 from 192.0.2.7" in line
    (line,) = (line for line in listed.stdout.splitlines() if unused.id in line)
    assert "never" in line
    assert f"Warning: key {key.id} expired" in listed.stderr


def test_rotation_prints_the_new_key_and_when_the_old_one_ends(settings: Settings) -> None:
    keys = KeyFile(settings.api_keys)
    old = keys.add(["score"], "nightly")[0]
    rotated = run("key", "rotate", old.id, "--overlap", "2d")
    assert f"key {old.id} works until " in rotated.stderr
    new = keys.find(rotated.stdout.strip())
    assert new is not None
    assert (new.note, new.scopes, new.expires) == ("nightly", ("score",), None)


def test_a_rotated_key_lives_as_long_as_the_old_one_was_made_for(settings: Settings) -> None:
    keys = KeyFile(settings.api_keys)
    run("key", "new", "--days", "30")
    (old,) = keys.keys()
    for words, days in (((), 30), (("--days", "5"), 5), (("--never",), None)):
        new = keys.find(run("key", "rotate", old.id, *words).stdout.strip())
        assert new is not None
        assert (None if new.expires is None else round((new.expires - new.created) / 86_400)) == days


def test_the_key_of_this_machines_commands_is_rotated_in_its_place(settings: Settings) -> None:
    keys = KeyFile(settings.api_keys)
    old = local_key(settings.local_key, keys)
    found = keys.find(old)
    assert found is not None
    rotated = run("key", "rotate", found.id)
    assert rotated.stdout == ""
    new = settings.local_key.read_text().strip()
    assert new != old
    assert keys.find(new) is not None
    assert settings.local_key.stat().st_mode & 0o777 == 0o600


def test_what_cannot_be_rotated_is_named(settings: Settings) -> None:
    with pytest.raises(BadOption, match="there is no key 12345678"):
        run("key", "rotate", "12345678")
    key = KeyFile(settings.api_keys).add(["read"])[0]
    with pytest.raises(BadOption, match="no length of time"):
        run("key", "rotate", key.id, "--overlap", "soon")
