"""`qscore train`, `qscore rows` and `qscore generate` as processes of their own would run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scorer.cli.training import register
from scorer.models.families import FAMILIES
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.rows.files import read_table
from scorer.service.settings import load_settings
from scorer.wire.errors import BadTrainingData, QScoreError, UnknownModel

RUNNER = CliRunner()
#: Enough rows for a held-out third, so that one fit does instead of six.
PLENTY = ("--rows", 2000, "--attack-share", 0.12)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    return tmp_path


def run(*words: object) -> str:
    app = typer.Typer()
    register(app)
    result = RUNNER.invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words: object) -> QScoreError:
    with pytest.raises(QScoreError) as caught:
        run(*words)
    return caught.value


def test_from_generated_events_to_a_signed_live_model(home: Path) -> None:
    events, rows = home / "events.csv.gz", home / "rows.csv"
    assert "label: label, group: activity" in run("generate", "--model", "lateral", *PLENTY, "--out", events)
    assert "rows of" in run(
        "rows", "--model", "lateral", "--data", events, "--out", rows, "--label", "label", "--group", "activity"
    )
    words = ("train", "--model", "lateral", "--label", "label", "--group", "activity", "--fpr", 0.02, "--qubits", 2)
    from_rows = run(*words, "--data", rows, "--version-note", "first try")
    assert "Version 1 is live" in from_rows
    assert "signing_key.pem" in from_rows
    assert "PR-AUC" in from_rows
    assert "Version 2 is live" in run(*words, "--data", events, "--promote")
    settings = load_settings()
    registry = Registry(settings.registry, settings.trusted_keys)
    card = registry.card("lateral", "1")
    assert card.details["note"] == "first try"
    assert card.details["verdict"] in from_rows
    assert json.loads(json.dumps(card.to_dict())) == card.to_dict()
    assert registry.resolve("lateral", "live") == "2"
    assert registry.load("lateral", "2").feature_names == registry.load("lateral", "1").feature_names


def test_a_second_version_waits_to_be_promoted(home: Path, tiny_model: TrainedModel) -> None:
    settings = load_settings()
    signer, _ = Signer.load_or_create(settings.signing_key, settings.trusted_keys)
    Registry(settings.registry, settings.trusted_keys).publish(tiny_model, signer)
    run("generate", "--model", "lateral", *PLENTY, "--out", home / "e.csv")
    said = run("train", "--model", "lateral", "--data", home / "e.csv", "--label", "label", "--qubits", 1)
    assert "live is still 1-starter (--promote changes that)" in said
    assert f"Signed with the key {signer.key_id}" in said
    assert "no group column was given" in said


def test_rows_without_a_label_are_for_scoring(home: Path) -> None:
    run("generate", "--model", "lateral_flow", "--rows", 300, "--out", home / "e.parquet", "--seed", 3)
    run("rows", "--model", "lateral_flow", "--data", home / "e.parquet", "--out", home / "r.csv", "--grain", "event")
    assert read_table(home / "r.csv").num_rows == read_table(home / "e.parquet").num_rows


def test_a_recipe_of_ones_own_a_map_and_a_family_from_the_command_line(home: Path, repository: Path) -> None:
    run("generate", "--model", "lateral", *PLENTY, "--out", home / "e.csv")
    text = (repository / "scorer" / "rows" / "recipes" / "lateral.toml").read_text()
    own = home / "own.toml"
    own.write_text(text.replace('name = "lateral"', 'name = "hops"', 1))
    words = ("train", "--recipe", own, "--data", home / "e.csv", "--label", "label", "--group", "activity")
    chosen = ("--family", "density", "--map", "qft", "--map-parameter", "again=true", "--reps", 1, "--qubits", 2)
    said = run(*words, *chosen, "--fpr", 0.02)
    assert "Family density: distance from the mean state of normal rows; twin: kernel density" in said
    assert "Quantum circuits are simulated exactly on classical processors." in said
    assert "Feature map: qft on 2 qubits (reps=1, again=True" in said
    assert "isolation forest, all features" in said
    settings = load_settings()
    card = Registry(settings.registry, settings.trusted_keys).card("hops", "1")
    assert card.family == "density"
    assert card.details["map"]["name"] == "qft"
    assert "hops" in refused("train", "--recipe", own, "--model", "lateral").detail


def test_the_help_says_when_to_take_which_family() -> None:
    app = typer.Typer()
    register(app)
    said = RUNNER.invoke(app, ["train", "--help"], env={"COLUMNS": "120"}).output
    assert all(name in said for name in FAMILIES)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (("train",), BadTrainingData, "neither --model nor --recipe"),
        (("train", "--recipe", "absent.toml"), BadTrainingData, "absent.toml cannot be read"),
        (("train", "--recipe", __file__), BadTrainingData, "is no TOML"),
        (
            ("train", "--model", "lateral", "--data", "x.csv", "--label", "y", "--family", "x"),
            BadTrainingData,
            "family 'x' is not known",
        ),
        (("train", "--model", "lateral", "--map-parameter", "reps"), BadTrainingData, "'reps' is not name=value"),
        (("train", "--model", "nobody"), UnknownModel, "no recipe for a model nobody"),
        (("train", "--model", "../etc"), UnknownModel, "cannot be a model's name"),
        (("train", "--model", "lateral", "--label", "x"), BadTrainingData, "there is no --data"),
        (("train", "--model", "lateral", "--data", "x.csv"), BadTrainingData, "--data without --label"),
        (("train", "--model", "lateral", "--data", "x.csv", "--label", "y"), BadTrainingData, "x.csv cannot be read"),
        (
            ("train", "--model", "lateral", "--data", "x.csv", "--label", "y", "--grain", "day"),
            BadTrainingData,
            "--grain day is not known",
        ),
        (
            ("generate", "--model", "lateral", "--rows", "5", "--out", "x.csv"),
            BadTrainingData,
            "cannot generate 5 rows",
        ),
    ],
)
def test_mistakes_are_named(home: Path, words: tuple[str, ...], kind: type[QScoreError], message: str) -> None:
    error = refused(*words)
    assert type(error) is kind
    assert message in error.detail
    assert error.remedy
