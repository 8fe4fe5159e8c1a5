"""`qscore train`, `qscore rows` and `qscore generate` as processes of their own would run them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from scorer.cli.training import register
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.service.settings import load_settings
from scorer.training.tables import read_table
from scorer.wire.errors import BadTrainingData, QScoreError, UnknownModel

RUNNER = CliRunner()


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
    assert "label: label, group: activity" in run("generate", "--model", "lateral", "--rows", 600, "--out", events)
    assert "rows of" in run(
        "rows", "--model", "lateral", "--data", events, "--out", rows, "--label", "label", "--group", "activity"
    )
    words = ("train", "--model", "lateral", "--label", "label", "--group", "activity", "--fpr", 0.02, "--qubits", 2)
    from_rows = run(*words, "--data", rows, "--version-note", "first try")
    assert "Version 1 is live" in from_rows
    assert "signing_key.pem" in from_rows
    assert "PR-AUC" in from_rows
    assert "live is still 1" in run(*words, "--data", events)
    settings = load_settings()
    registry = Registry(settings.registry, settings.trusted_keys)
    card = registry.card("lateral", "1")
    assert card.details["note"] == "first try"
    assert card.details["verdict"] in from_rows
    assert json.loads(json.dumps(card.to_dict())) == card.to_dict()
    assert registry.resolve("lateral", "live") == "1"
    assert registry.load("lateral", "2").feature_names == registry.load("lateral", "1").feature_names


def test_a_promoted_version_becomes_live(home: Path) -> None:
    run("generate", "--model", "lateral_flow", "--rows", 600, "--out", home / "e.csv")
    words = ("train", "--model", "lateral_flow", "--data", home / "e.csv", "--label", "label", "--fpr", 0.02)
    Signer.load_or_create(load_settings().signing_key, load_settings().trusted_keys)
    assert "Signed with the key" in run(*words, "--qubits", 1, "--promote")
    assert "Version 2 is live" in run(*words, "--qubits", 1, "--promote")


def test_rows_without_a_label_are_for_scoring(home: Path) -> None:
    run("generate", "--model", "lateral_flow", "--rows", 300, "--out", home / "e.parquet", "--seed", 3)
    run("rows", "--model", "lateral_flow", "--data", home / "e.parquet", "--out", home / "r.csv", "--grain", "event")
    assert read_table(home / "r.csv").num_rows == read_table(home / "e.parquet").num_rows


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
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
