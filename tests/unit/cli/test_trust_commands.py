"""`qscore trust`, `qscore promote` and `qscore resign`, and the entries that they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from scorer.cli.main import build
from scorer.models.trained import TrainedModel
from scorer.service.access.trust.publishing import known_registry, publish_audited
from scorer.service.settings import load_settings
from scorer.wire.errors import BadOption, ConfigurationError, QScoreError
from tests.v010 import make_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path / "home"


@pytest.fixture
def two_versions(home: Path, tiny_model: TrainedModel) -> Path:
    for _ in range(2):
        publish_audited(load_settings(), tiny_model, promote=False)
    return home


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(build(), list(arguments))
    if isinstance(result.exception, QScoreError):
        raise result.exception
    return result


def said(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    output: str = result.output
    return output


def events() -> list[tuple[str, Any]]:
    entries = [json.loads(line) for line in said("audit", "--json").splitlines()]
    return [(entry["event"], entry["facts"]) for entry in entries]


def test_a_version_goes_live_and_back(two_versions: Path) -> None:
    assert "before it was 1-starter" in said("promote", "lateral", "2-starter")
    assert known_registry(load_settings()).resolve("lateral") == "2-starter"
    said("promote", "lateral", "1-starter", "--alias", "shadow")
    said("promote", "lateral", "1-starter")
    assert known_registry(load_settings()).aliases("lateral") == {"live": "1-starter", "shadow": "1-starter"}
    found = events()
    assert [event for event, _ in found] == [
        "published",
        "signing_key_made",
        "promoted",
        "published",
        *3 * ["promoted"],
    ]
    assert found[4][1]["before"] == "1-starter"
    assert len(found[0][1]["sha256"]) == 64
    with pytest.raises(BadOption, match="is not an alias"):
        said("promote", "lateral", "1-starter", "--alias", "best")
    with pytest.raises(QScoreError, match="has no version 7"):
        said("promote", "lateral", "7")


def test_refused_aliases_are_mended_by_a_promotion(two_versions: Path) -> None:
    (two_versions / "registry" / "lateral" / "aliases.json").write_text("{}")
    assert "damaged" in run("models").output
    said("promote", "lateral", "2-starter")
    assert "damaged" not in run("models").output


def test_keys_are_rotated_by_three_commands(two_versions: Path) -> None:
    old = next((two_versions / "trusted_keys").glob("*.json")).stem
    said("trust", "new", "--not-after", "2999-12-31", "--note", "the second")
    assert "2999-12-31" in said("trust", "list")
    assert "lateral: signed again: version 1-starter, version 2-starter, aliases" in said("resign", "--all")
    assert "is revoked" in said("trust", "revoke", old)
    assert known_registry(load_settings()).load_named("lateral", "live")
    assert [event for event, _ in events()][-3:] == ["signing_key_made", "resigned", "signing_key_revoked"]
    left = run("resign", "lateral@2-starter")
    assert left.exit_code == 0


def test_what_does_not_verify_is_left_and_told(two_versions: Path) -> None:
    path = two_versions / "registry" / "lateral" / "2-starter" / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")
    result = run("resign", "lateral")
    assert result.exit_code == 1
    assert "signed again: version 1-starter, aliases" in result.output
    assert "version 2-starter does not match its content" in result.output
    for wrong in ([], ["lateral", "--all"]):
        with pytest.raises(BadOption):
            run("resign", *wrong)


def test_aliases_of_0_1_0_are_signed_once(home: Path) -> None:
    make_home(home)
    with pytest.raises(ConfigurationError, match="no signing key"):
        said("resign", "--all")
    said("trust", "new")
    said("resign", "--all")
    raw = json.loads((home / "registry" / "lateral" / "aliases.json").read_text())
    assert (raw["live"], raw["shadow"], raw["model"]) == ({"version": "2"}, {"version": "1-starter"}, "lateral")


def test_an_end_warns_ahead_and_forbids_new_signatures(two_versions: Path, tiny_model: TrainedModel) -> None:
    key = next((two_versions / "trusted_keys").glob("*.json")).stem
    said("trust", "end", key, "2020-01-01")
    for command in ("models", "status"):
        assert f"signing key {key} ended on 2020-01-01" in " ".join(run(command).output.split())
    with pytest.raises(ConfigurationError, match="signs nothing new"):
        publish_audited(load_settings(), tiny_model, promote=True)
    assert known_registry(load_settings()).load_named("lateral", "live")
    with pytest.raises(BadOption):
        said("trust", "end", key, "soon")


def test_a_key_of_another_machine_is_trusted_by_its_file(home: Path, tmp_path: Path, two_versions: Path) -> None:
    file = next((two_versions / "trusted_keys").glob("*.json"))
    kept = tmp_path / file.name
    file.rename(kept)
    with pytest.raises(QScoreError, match="not among the trusted keys"):
        known_registry(load_settings()).load("lateral", "1-starter")
    said("trust", "add", str(kept), "--note", "the data scientists")
    assert known_registry(load_settings()).load("lateral", "1-starter")
    kept.write_text("[" * 4000)
    with pytest.raises(QScoreError, match="does not hold"):
        said("trust", "add", str(kept))


def test_a_group_bit_that_0_1_0_left_is_taken_away(
    home: Path, tiny_model: TrainedModel, publish_tiny: Callable[[Path], None]
) -> None:
    publish_tiny(home)
    folders = [home / "registry", home / "registry" / "lateral", home / "trusted_keys"]
    for folder in folders:
        folder.chmod(0o775)
    publish_audited(load_settings(), tiny_model, promote=True)
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o755] * 3
    folders[2].chmod(0o777)  # somebody may have used that
    with pytest.raises(QScoreError, match="can be written by others"):
        publish_audited(load_settings(), tiny_model, promote=True)
