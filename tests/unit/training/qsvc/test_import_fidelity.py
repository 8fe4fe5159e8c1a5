"""An imported QSVC is the machine: at full rank, or cut within what is measured; scored as exactly as needed."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from rich.console import Console
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import MinMaxScaler

from scorer.circuits.maps import qft
from scorer.circuits.zz import ZZMap
from scorer.cli.training_report import print_report
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.artifact import from_parts, to_parts
from scorer.models.machine import ObservableMachine
from scorer.models.observable import collapse
from scorer.models.trained import TrainedModel
from scorer.rows.builder import Columns
from scorer.rows.files import read_table, write_table
from scorer.rows.recipe import load_recipe
from scorer.training.dataset import dataset
from scorer.training.facts import Provenance
from scorer.training.options import TrainOptions
from scorer.training.prepare import PreparedRows, prepared
from scorer.training.qsvc.fidelity import MOST_CHANGE, MOST_ROUNDING, deployed_machine
from scorer.training.qsvc.file import read_qsvc, write_qsvc
from scorer.training.qsvc.machines import KernelMachine
from scorer.training.qsvc.model import train_imported
from scorer.training.starter.generator import generate_events

RECIPE = load_recipe("lateral")
FEATURES = 6


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of six features: ``V`` to train on and ``held`` to judge on, with labels; ``table`` holds the latter."""

    names: tuple[str, ...]
    V: Any
    y: Any
    held: Any
    held_y: Any
    ready: PreparedRows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    file = tmp_path_factory.mktemp("rows") / "events.csv"
    write_table(generate_events("lateral", 6_000, np.random.default_rng(1), 0.1), file)
    ready = prepared(RECIPE, read_table(file), Columns("label", None, "activity"))
    data = dataset(RECIPE, ready.rows, ready.columns)
    rng = np.random.default_rng(0)
    attacks, benign = (rng.permutation(np.flatnonzero(data.y == label)) for label in (1, 0))
    fit = np.concatenate([attacks[:150], benign[:300]])
    held = np.concatenate([attacks[150:300], benign[300:1100]])
    taken = PreparedRows(ready.rows.take(held), ready.columns, ready.grain, ready.remarks)
    X = data.X[:, :FEATURES]
    return Rows(data.names[:FEATURES], X[fit], data.y[fit], X[held], data.y[held], taken)


class MatrixKernel(FidelityStatevectorKernel):
    """The same kernel of the same statevectors of Qiskit's, as one product in place of two loops."""

    def evaluate(self, x_vec: Any, y_vec: Any = None) -> Any:
        left, right = (
            np.array([self._get_statevector(tuple(row)) for row in rows])
            for rows in (x_vec, x_vec if y_vec is None else y_vec)
        )
        return np.square(np.abs(left.conj() @ right.T))


def model_of(path: Path, rows: Rows) -> TrainedModel:
    stored = read_qsvc(path)
    options = TrainOptions(fpr=0.02, prevalence=0.01)
    ready = rows.ready
    return train_imported(RECIPE, stored, ready.rows, ready.columns, Provenance("rows"), options, ready.grain)


def trained(rows: Rows, high: float, path: Path) -> Any:
    """Decision values of the held rows by a QSVC on six qubits, which is written to ``path``."""
    scaler = MinMaxScaler((0.0, high))
    inputs = scaler.fit_transform(rows.V)
    qsvc = QSVC(quantum_kernel=MatrixKernel(feature_map=zz_feature_map(FEATURES)), C=1.0, class_weight="balanced")
    qsvc.fit(inputs, rows.y)
    write_qsvc(path, qsvc, features=rows.names, values=rows.V, inputs=inputs, labels=rows.y)
    return qsvc.decision_function(scaler.transform(rows.held))


def require_equal_figures(rows: Rows, found: Any, expected: Any) -> None:
    assert len(found) == 950
    assert np.abs(found - expected).max() <= 1e-4 * expected.std()
    assert abs(roc_auc_score(rows.held_y, found) - roc_auc_score(rows.held_y, expected)) <= 1e-4
    assert abs(average_precision_score(rows.held_y, found) - average_precision_score(rows.held_y, expected)) <= 1e-4


@pytest.mark.parametrize("high", [1.0, np.pi, 2 * np.pi], ids=["1", "pi", "2pi"])
def test_a_qsvc_on_six_qubits_is_as_good_deployed_as_it_was(high: float, rows: Rows, tmp_path: Path) -> None:
    expected = trained(rows, high, tmp_path / "m.json")
    stored = read_qsvc(tmp_path / "m.json")
    Z = stored.scaler.apply(rows.held)
    made = deployed_machine(stored.machine, stored.machine.collapsed(), Z, 0)
    require_equal_figures(rows, made.scores(Z), expected)
    assert (made.observable.rank, made.observable.tail, made.double) == (64, 0.0, False)


def test_report_and_card_say_so(rows: Rows, tmp_path: Path) -> None:
    expected = trained(rows, 2 * np.pi, tmp_path / "m.json")
    model = model_of(tmp_path / "m.json", rows)
    found = model.machine.scores(model.scaler.apply(rows.held))
    require_equal_figures(rows, found, expected)
    said = model.facts["imported"]
    assert (said["rank"], said["full_rank"], said["precision"], said["bound"]) == (64, 64, "float32", 0.0)
    assert said["roc_auc"]["before"] == pytest.approx(roc_auc_score(rows.held_y, expected), abs=1e-6)
    assert said["pr_auc"]["after"] == pytest.approx(average_precision_score(rows.held_y, found), abs=1e-6)
    assert said["distance"] <= 1e-4
    console = Console(record=True, width=400, file=io.StringIO())
    print_report(console, model)
    printed = console.export_text()
    assert "keeps all 64 eigenvalues of the imported machine and scores in float32" in printed
    assert f"ROC-AUC {said['roc_auc']['before']:.4f} as it came, {said['roc_auc']['after']:.4f} as deployed" in printed


def kernel_machine(circuit: Any, support: int, seed: int, size: float) -> KernelMachine:
    rng = np.random.default_rng(seed)
    Z = rng.uniform(0, 1, (support, circuit.features))
    return KernelMachine(circuit.plan, Z, size * rng.normal(0, 1, support), 0.3, (0, 1))


@pytest.mark.parametrize("bandwidth", [0.05, 0.5])
def test_up_to_eight_qubits_nothing_is_cut(bandwidth: float) -> None:
    for circuit in (ZZMap(5, bandwidth=bandwidth), ZZMap(8, bandwidth=bandwidth)):
        machine = kernel_machine(circuit, 400, 1, 1.0)
        whole = machine.collapsed()
        Z = np.random.default_rng(2).uniform(0, 1, (200, circuit.qubits))
        made = deployed_machine(machine, whole, Z, 0)
        assert made.observable.rank == whole.rank == 2**circuit.qubits
        assert made.observable.tail == 0.0


@pytest.mark.parametrize("bandwidth", [0.02, 0.3])
def test_above_eight_qubits_a_cut_is_as_small_as_is_said(bandwidth: float) -> None:
    machine = kernel_machine(ZZMap(9, bandwidth=bandwidth), 150, 1, 1.0)
    whole = machine.collapsed()
    Z = np.random.default_rng(2).uniform(0, 1, (300, 9))
    made = deployed_machine(machine, whole, Z, 0)
    exact = whole.exact_scores(machine.plan, Z)
    assert np.abs(made.scores(Z) - exact).max() <= (MOST_CHANGE + MOST_ROUNDING) * exact.std()
    if bandwidth < 0.1:
        assert made.observable.rank < whole.rank
    else:
        assert made.observable.rank > 64  # what a table would have kept
    assert np.abs(made.scores(Z) - exact).max() <= made.observable.tail + 1e-4 * exact.std()


def test_a_machine_that_float32_would_bend_is_scored_in_float64() -> None:
    """Coefficients of 10^7 whose kernel values almost cancel: what an enormous C makes."""
    circuit = ZZMap(4, bandwidth=0.05)
    rng = np.random.default_rng(0)
    Z = rng.uniform(0, 1, (60, 4))
    K = fidelity_kernel(*(amplitudes(circuit, Z),) * 2)
    alternating = np.linalg.solve(K + 1e-9 * np.eye(60), rng.choice([-1.0, 1.0], 60))
    machine = KernelMachine(circuit.plan, Z, alternating, 0.0, (0, 1))
    whole = machine.collapsed()
    fresh = rng.uniform(0, 1, (1500, 4))
    expected = fidelity_kernel(amplitudes(circuit, fresh), amplitudes(circuit, Z)) @ alternating
    made = deployed_machine(machine, whole, fresh, 0)
    assert made.double
    single = ObservableMachine(circuit, whole.truncated(whole.rank))
    assert np.abs(single.scores(fresh) - expected).max() > MOST_ROUNDING * expected.std()
    assert np.abs(made.scores(fresh) - expected).max() <= 1e-6 * expected.std()
    assert np.array_equal(made.scores(fresh)[:700], made.scores(fresh[:700]))
    assert made.scores(fresh[:0]).shape == (0,)


def test_such_a_model_goes_through_its_artifact(rows: Rows, tmp_path: Path) -> None:
    few = np.r_[0:20, 150:190]
    values = rows.V[few][:, [0, 2]]
    qsvc = QSVC(quantum_kernel=MatrixKernel(feature_map=zz_feature_map(2, reps=1))).fit(0.1 * values, rows.y[few])
    given: dict[str, Any] = {"values": values, "inputs": 0.1 * values, "labels": rows.y[few]}
    write_qsvc(tmp_path / "m.json", qsvc, features=(rows.names[0], rows.names[2]), **given)
    raw, stored = json.loads((tmp_path / "m.json").read_text()), read_qsvc(tmp_path / "m.json")
    Z = stored.scaler.apply(values)
    psi = amplitudes(stored.machine.plan, Z)
    enormous = np.linalg.solve(fidelity_kernel(psi, psi) + 1e-10 * np.eye(len(Z)), 2.0 * rows.y[few] - 1.0)
    raw |= {"support": Z.tolist(), "coefficients": enormous.tolist()}
    (tmp_path / "m.json").write_text(json.dumps(raw))
    model = model_of(tmp_path / "m.json", rows)
    assert model.facts["imported"]["precision"] == "float64"
    assert "scores in float64" in model.facts["imported"]["sentence"]
    description, arrays = to_parts(model)
    assert description["machine"]["precision"] == "float64"
    back = from_parts(description, {name: array.copy() for name, array in arrays.items()})
    held = model.scaler.apply(rows.held[:, [0, 2]])
    assert np.array_equal(back.scores(held), model.scores(held))


def test_rows_outside_of_what_is_scored_are_counted(rows: Rows, tmp_path: Path) -> None:
    few = rows.V[:, 0] <= np.quantile(rows.V[:, 0], 0.8)
    kernel = MatrixKernel(feature_map=zz_feature_map(2, reps=1), auto_clear_cache=False)
    values = rows.V[few][:, [0, 2]]
    inputs = 0.3 * values
    qsvc = QSVC(quantum_kernel=kernel).fit(inputs, rows.y[few])
    given: dict[str, Any] = {"values": values, "inputs": inputs, "labels": rows.y[few]}
    names = (rows.names[0], rows.names[2])
    write_qsvc(tmp_path / "m.json", qsvc, features=names, **given)
    said = model_of(tmp_path / "m.json", rows).facts["imported"]
    assert said["clipped"] > 0
    assert f"{said['clipped']} rows lie outside of the range that is scored" in said["sentence"]
    assert said["roc_auc"]["before"] == pytest.approx(
        roc_auc_score(rows.held_y, qsvc.decision_function(0.3 * rows.held[:, [0, 2]])), abs=1e-6
    )


def test_a_collapse_of_other_maps_is_whole_too() -> None:
    circuit = qft(3).plan
    Z = np.random.default_rng(0).uniform(0, 1, (20, 3))
    machine = KernelMachine(circuit, Z, np.ones(20), 0.0, (0, 1))
    whole = collapse(circuit, Z, np.ones(20), 0.0)
    made = deployed_machine(machine, whole, Z, 0)
    assert np.abs(made.exact_scores(Z) - whole.exact_scores(circuit, Z)).max() <= 1e-5
