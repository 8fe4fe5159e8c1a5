"""A projected model of 14 qubits on real flows: signed, registered, and scored through the queue of the qpu lane."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from demo.running_stack import running_stack
from scorer.circuits.maps import reuploading
from scorer.engine.backends.table import use_backend
from scorer.models.calibration import fit_platt
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.rows.builder import Columns, build_rows
from scorer.rows.files import read_table
from scorer.rows.recipe import load_recipe
from scorer.rows.transform import Scaler, derive, required_inputs
from scorer.training.dataset import dataset
from scorer.training.families.projected import fit_projected
from scorer.training.families.svc import fit_twin
from scorer.training.splits import subsample
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import client_of, eventually, processes

FLOWS = "lm_winevents_mordor_covenant/host_flows_labelled.csv.gz"
QUBITS = 14
FITTED, SCORED = 60, 3
SCOPES = ("read", "score", "write")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        yield Path(folder) / "home"


def trained(shared_data: Path) -> tuple[TrainedModel, pa.Table]:
    """A model of every feature on 14 qubits, and rows for it to score that hold malicious ones."""
    recipe = load_recipe("lateral_flow")
    rows = build_rows(recipe, read_table(shared_data / FLOWS), "event", Columns("label_lm"))
    data = dataset(recipe, rows, Columns("label_lm"))
    varying = tuple(name for k, name in enumerate(data.names) if np.ptp(data.X[:, k]) > 0.0)
    kept = subsample(data.y, 2 * FITTED + 60, np.random.default_rng(0))
    np.random.default_rng(1).shuffle(kept)
    X = data.X[:, [data.names.index(name) for name in varying]]
    y, scaler = data.y[kept], Scaler.fit(X, varying)
    Z = scaler.apply(X[kept])
    fit, held = slice(0, FITTED), slice(FITTED, None)
    circuit = reuploading(len(varying), QUBITS, layers=1, bandwidth=0.3).plan
    use_backend("aer")
    machine = fit_projected(Z[fit], y[fit], circuit, 0.4, 3.0)
    twin = fit_twin(Z[fit], y[fit], 1.0, 3.0)
    scores, twin_scores = machine.scores(Z[held]), twin.scores(Z[held])
    model = TrainedModel(
        name="lateral_flow",
        family="projected",
        recipe=recipe,
        grain="event",
        feature_names=varying,
        scaler=scaler,
        machine=machine,
        twin=twin,
        calibration=fit_platt(scores, y[held]),
        twin_calibration=fit_platt(twin_scores, y[held]),
        benign_scores=np.sort(scores[y[held] == 0]),
        twin_benign_scores=np.sort(twin_scores[y[held] == 0]),
        fpr=0.05,
        reference=np.median(X[data.y == 0], axis=0),
        facts={"trained_on": f"{FITTED} flows of {FLOWS}", "starter": False},
    )
    return model, rows.take(kept[held][:SCORED])


def publish(model: TrainedModel, home: Path) -> None:
    home.mkdir(mode=0o700)
    signer, _ = Signer.load_or_create(home / "private" / "signing_key.pem", home / "trusted_keys")
    Registry(home / "registry", home / "trusted_keys").publish(model, signer)


def body_of(model: TrainedModel, rows: pa.Table) -> bytes:
    """The model's inputs, and the context without which nothing is written."""
    names = [i.name for i in model.recipe.inputs if i.name in rows.column_names]
    lines = [",".join(["_time", "origin_id", *names])]
    for at, row in enumerate(rows.to_pylist()):
        lines.append(",".join([str(1_700_000_000 + at), f"flow-{at}", *(str(row[name]) for name in names)]))
    return ("\n".join(lines) + "\n").encode()


def probabilities(model: TrainedModel, rows: pa.Table) -> Any:
    """What the model says in this process."""
    inputs = required_inputs(model.recipe, model.feature_names)
    columns = {name: np.array([float(value or 0.0) for value in rows[name].to_pylist()]) for name in inputs}
    X = derive(model.recipe, model.feature_names, columns)
    return model.calibration.probability(model.scores(model.scaler.apply(X)))


def holds_qiskit(pid: int) -> bool:
    return "qiskit" in Path(f"/proc/{pid}/maps").read_text()


def test_fourteen_qubits_go_to_the_qpu_lane_and_nowhere_else(shared_data: Path, home: Path) -> None:
    model, rows = trained(shared_data)
    publish(model, home)
    written = home / "written.jsonl"
    (home / "qscore.toml").write_text(f'sink = "file"\nsink_file = "{written}"\n')
    with (
        running_stack(home, "--port", "0", "--workers", "1", "--qpu", "1") as state,
        client_of(home, state, *SCOPES) as client,
    ):
        assert client.card("lateral_flow").details["qubits"] == QUBITS
        reply = client.score("lateral_flow", body_of(model, rows), SCORED, ScoreOptions(explain="all"))
        assert reply.scored == SCORED, reply.problems
        table = list(csv.DictReader(io.StringIO(reply.body.decode())))
        found = [float(row["qscore"]) for row in table]
        assert np.abs(np.array(found) - probabilities(model, rows)).max() <= 1e-3
        assert len(set(found)) > 1
        assert all(row["qscore_reason"] for row in table)
        assert not written.exists()
        options = ScoreOptions(write=True)
        assert client.score("lateral_flow", body_of(model, rows), SCORED, options).scored == SCORED
        assert eventually(lambda: written.exists() and written.read_bytes().count(b"\n") == SCORED)
        events = [json.loads(line) for line in written.read_text().splitlines()]
        delivered = sorted(float(event["fields"]["qscore"]) for event in events)
        assert delivered == pytest.approx(sorted(found), abs=1e-4)
        lanes = {lane: processes(home, f"scorer.service.worker {lane}") for lane in ("score", "qpu")}
        assert any(map(holds_qiskit, lanes["qpu"]))
        assert not any(map(holds_qiskit, lanes["score"]))
