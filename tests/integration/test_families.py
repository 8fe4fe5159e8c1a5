"""Every family on real captures: trained by the command, signed, registered, scored through the queue beside its twin.

``projected`` above twelve qubits has a worker and a test of its own (test_qpu_lane.py).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
import typer
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from bench.iot import COLUMNS, RECIPE, iot_events
from demo.running_stack import running_stack
from scorer.cli.training import register
from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry
from scorer.rows.builder import Columns, labels
from scorer.rows.files import read_table, write_table
from scorer.rows.recipe_files import recipe_for
from scorer.rows.transform import derive
from scorer.service.settings import load_settings
from scorer.service.stack.up import StackState
from scorer.training.families.table import training_of
from scorer.training.prepare import prepared
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import client_of

MORDOR = Columns("label_lm", None, "capture")
APT29 = Columns("label", "lateral")
UNGROUPED = Columns(COLUMNS.label)
SMALL = ("--qubits", "4", "--fpr", "0.05")


@dataclass(frozen=True)
class Case:
    """One family on one set: ``make`` gives (events to train on, events to score), ``words`` what else is asked for."""

    family: str
    make: Callable[[Path], tuple[pa.Table, pa.Table]]
    columns: Columns
    words: tuple[str, ...]
    recipe: Path | None = None
    model: str | None = None
    grain: str | None = None


def _logons(data: Path) -> tuple[pa.Table, pa.Table]:
    events = read_table(data / "lm_winevents_mordor_covenant" / "logon_events_labelled.csv.gz")
    captures = sorted(set(events["capture"].to_pylist()))
    held = np.isin(events["capture"].to_pylist(), captures[::4])
    return events.filter(~held), events.filter(held)


def _connections(data: Path) -> tuple[pa.Table, pa.Table]:
    events = read_table(data / "lm_zeek_apt29_day1" / "conn_labelled.csv.gz")
    part = np.random.default_rng(0).random(events.num_rows) < 0.6
    return events.filter(part), events.filter(~part)


def _known(data: Path) -> tuple[pa.Table, pa.Table]:
    """Attacks of every family on both sides: a model that learns from attacks need not know those of others."""
    events = iot_events(data, benign=2500, each_family=150)
    return events.slice(0, 2200), events.slice(2200)


def _unseen(data: Path) -> tuple[pa.Table, pa.Table]:
    """Families 2, 4 and 6 are kept from training altogether: whatever is trained, they are new to it."""
    events = iot_events(data, benign=2500, each_family=150)
    family = np.array(events["family"].to_pylist())
    unseen = np.isin(family, ["family 2", "family 4", "family 6"])
    unseen |= (np.arange(len(family)) % 4 == 0) & np.char.startswith(family, "benign")
    return events.filter(~unseen), events.filter(unseen)


CASES = (
    Case("svc", _logons, MORDOR, SMALL, model="lateral"),
    Case("vqc", _connections, APT29, ("--qubits", "3", "--fpr", "0.05"), model="lateral_flow", grain="event"),
    Case("nystrom-logistic", _known, UNGROUPED, SMALL, recipe=RECIPE),
    Case("density", _unseen, COLUMNS, SMALL, recipe=RECIPE),
    Case("leverage", _unseen, COLUMNS, SMALL, recipe=RECIPE),
    Case("projected", _known, UNGROUPED, (*SMALL, "--fit-rows", "600"), recipe=RECIPE),
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="qs-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def trained(folder: Path, shared_data: Path) -> dict[str, tuple[str, str]]:
    """Family -> (model, version), each published by `qscore train`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("QSCORE_HOME", str(folder / "home"))
        return {case.family: _train(case, folder, shared_data) for case in CASES}


@pytest.fixture(scope="module")
def state(folder: Path, trained: dict[str, tuple[str, str]]) -> Iterator[StackState]:
    with running_stack(folder / "home", "--port", "0", "--workers", "1") as running:
        yield running


def _train(case: Case, folder: Path, data: Path) -> tuple[str, str]:
    file = folder / f"{case.family}.parquet"
    write_table(case.make(data)[0], file)
    words = ["train", "--data", str(file), "--family", case.family, "--label", str(case.columns.label), *case.words]
    for name, value in (
        ("--positive", case.columns.positive),
        ("--group", case.columns.group),
        ("--model", case.model),
        ("--recipe", case.recipe),
        ("--grain", case.grain),
    ):
        words += [name, str(value)] if value is not None else []
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert f"Family {case.family}: " in result.output
    version = result.output.split("Version ")[1].split()[0]
    return recipe_for(case.model, case.recipe).name, version


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_a_family_is_trained_signed_registered_and_scored_through_the_queue_beside_its_twin(
    case: Case, folder: Path, shared_data: Path, trained: dict[str, tuple[str, str]], state: StackState
) -> None:
    name, version = trained[case.family]
    settings = load_settings(home=folder / "home")
    model = Registry(settings.registry, settings.trusted_keys).load(name, version)
    assert model.family == case.family
    ready = prepared(model.recipe, case.make(shared_data)[1], case.columns, model.grain)
    rows, y = ready.rows, labels(ready.rows, ready.columns).to_numpy(zero_copy_only=False)
    with client_of(folder / "home", state) as client:
        card = client.card(name, version)
        body = _csv(rows.select(list(card.required_fields)))
        reply = client.score(name, body, rows.num_rows, ScoreOptions(version=version, explain="alerts"))
    columns = pacsv.read_csv(io.BytesIO(reply.body)).to_pydict()
    _assert_scored(model, rows, columns)
    _assert_told(model, card.details)
    # One-class families were never shown an attack, nor these families at all; the others none of these rows.
    assert roc_auc_score(y, columns["qscore"]) > 0.55
    assert all(reason for reason, alert in zip(columns["qscore_reason"], columns["qscore_alert"], strict=True) if alert)


def _csv(table: pa.Table) -> bytes:
    content = io.BytesIO()
    pacsv.write_csv(table, content)
    return content.getvalue()


def _assert_scored(model: TrainedModel, rows: pa.Table, columns: dict[str, list[Any]]) -> None:
    """Every row has the model's own probability and the twin's, from float64 throughout."""
    assert set(columns["qscore_status"]) == {"ok"}
    inputs = {i.name: rows[i.name].to_numpy() for i in model.recipe.inputs}
    Z = model.scaler.apply(derive(model.recipe, model.feature_names, inputs))
    expected = model.calibration.probability(model.machine.exact_scores(Z))
    twin = model.twin_calibration.probability(model.twin.exact_scores(Z))
    assert np.abs(np.array(columns["qscore"]) - expected).max() <= 2e-3
    # A sum of Gaussians with large weights of both signs loses more digits in float32 than an observable does.
    assert np.abs(np.array(columns["qscore_classical"]) - twin).max() <= 5e-3


def _assert_told(model: TrainedModel, details: Any) -> None:
    """The card names family, map, twin and yardsticks, with the figures of each."""
    family = training_of(model.family)
    assert (details["model"], details["twin"]) == (family.title, family.twin_title)
    assert details["map"]["name"] == "zz"
    metrics = details["metrics"]["metrics"]
    yardsticks = {"boosting", "isolation_forest"} if family.one_class else {"boosting"}
    assert set(metrics) == {"quantum", "twin"} | yardsticks
    assert set(details["yardsticks"]) == yardsticks
    assert set(details["metrics"]["minus"]) == {"twin"} | yardsticks
    for figures in metrics.values():
        assert 0.0 <= figures["pr_auc"]["low"] <= figures["pr_auc"]["high"] <= 1.0
    assert details["verdict"]
    assert details["hyper_parameters"]["tried"] == 15
