"""A circuit of the user's own, from a package of their own, all the way to `| qscore`.

The package is installed for training alone: gateway, queue and worker run without it, from the plan in the artifact.
What they answer is held against Qiskit running the user's circuit.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demo.material import Material
from demo.stage import Stage, demo_settings, open_stage
from scorer.circuits.plan import Plan
from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry
from scorer.rows.files import write_table
from scorer.rows.transform import derive, required_inputs
from scorer.training.starter.generator import generate_events
from tests.conftest import build
from tests.plugin_package.installed import install_into
from tests.unit.circuits.dense import qiskit_states

#: Distance of a probability from its exact value that single precision and printing may make.
TOLERANCE = 2e-3


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="qs-") as name:
        yield Path(name)


@pytest.fixture
def app_archive(folder: Path) -> Path:
    return build("build_app.py", folder / "dist")


def train(folder: Path, package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"QSCORE_HOME": str(folder / "home"), "PYTHONPATH": str(package)}
    command = [sys.executable, "-m", "scorer.cli.main", "train", "--model", "lateral", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def exact_probabilities(model: TrainedModel, states: NDArray[np.complex128]) -> Any:
    """The artifact's observable on Qiskit's states: sum of values |<vector|psi>|^2, plus offset, calibrated."""
    observable = model.machine.observable  # type: ignore[attr-defined]
    overlaps = np.abs(states @ observable.vectors.conj().astype(np.complex128).T) ** 2
    return model.calibration.probability(overlaps @ observable.values + observable.offset)


def scaled_features(model: TrainedModel, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
    columns = {
        name: np.array([float(row[name]) for row in rows])
        for name in required_inputs(model.recipe, model.feature_names)
    }
    return model.scaler.apply(derive(model.recipe, model.feature_names, columns))


def test_a_circuit_of_ones_own_reaches_the_search(
    folder: Path, app_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install_into(folder / "site")
    write_table(generate_events("lateral", 250, np.random.default_rng(3), 0.3), folder / "past.parquet")
    data = ("--data", str(folder / "past.parquet"), "--label", "label", "--fpr", "0.05", "--qubits", "3")

    done = train(folder, package, *data, "--map", "ising", "--map-parameter", "reps=2")
    assert done.returncode == 0, done.stdout + done.stderr

    settings = demo_settings(folder)
    model = Registry(settings.registry, settings.trusted_keys).load("lateral", "1")
    plan = model.machine.circuit
    assert isinstance(plan, Plan)
    assert (plan.name, plan.qubits) == ("ising", 3)

    future = generate_events("lateral", 100, np.random.default_rng(4), 0.25)
    with open_stage(folder, app_archive) as stage:
        _assert_without_the_package(stage)
        events = Material("lateral", future, "label").events()
        scored = stage.search("index=demo | `qscore_lateral_rows` | qscore model=lateral", events)
    assert len(scored) >= 30
    assert {row["qscore_status"] for row in scored} == {"ok"}

    monkeypatch.syspath_prepend(str(package))
    from example_maps import ising

    Z = scaled_features(model, scored)
    states = qiskit_states(ising(3, reps=2), plan.bandwidth * Z)
    answered = np.array([float(row["qscore"]) for row in scored])
    assert np.ptp(answered) > 0.05
    assert answered == pytest.approx(exact_probabilities(model, states), abs=TOLERANCE)


def _assert_without_the_package(stage: Stage) -> None:
    """No process of the stack can import the package or has Qiskit in it."""
    probe = [sys.executable, "-c", "import example_maps"]
    assert subprocess.run(probe, capture_output=True, cwd=stage.home, check=False).returncode != 0
    pids = Path(f"/proc/{stage.state.pid}/task/{stage.state.pid}/children").read_text().split()
    assert pids
    for pid in (str(stage.state.pid), *pids):
        assert b"PYTHONPATH=" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert "qiskit" not in Path(f"/proc/{pid}/maps").read_text()
