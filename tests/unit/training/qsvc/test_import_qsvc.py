"""Trained machines of qiskit-machine-learning, imported: the same decision function, whatever kernel class it had."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import pauli_feature_map, zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from qiskit_machine_learning.kernels import (
    FidelityQuantumKernel,
    FidelityStatevectorKernel,
    TrainableFidelityStatevectorKernel,
)
from sklearn.svm import SVC

from scorer.circuits.errors import CircuitError
from scorer.training.qsvc.convert import ImportRefused, import_kernel_machine, import_qsvc


def rows(count: int, features: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.uniform(0.0, 2.0, (count, features))
    return X, (X[:, 0] + X[:, 1] ** 2 + rng.normal(0.0, 0.3, count) > 2.2).astype(np.int64)


def own_circuit() -> QuantumCircuit:
    """No structure that anything could rely on; parameters named against their order of use."""
    x = ParameterVector("x", 3)
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.ry(2 * x[2], 1)
    circuit.crx(x[0] * x[1], 0, 2)
    circuit.u(x[1], 0.3, -x[0], 2)
    circuit.rzz(np.pi - x[2], 1, 2)
    return circuit


@pytest.mark.parametrize(
    "circuit",
    [
        zz_feature_map(4, reps=2, entanglement="full"),
        pauli_feature_map(3, reps=1, paulis=["Z", "YY"], entanglement="linear"),
        own_circuit(),
    ],
    ids=["zz", "pauli", "own"],
)
def test_the_decision_function_is_reproduced_on_a_thousand_rows(circuit: QuantumCircuit) -> None:
    X, y = rows(60, circuit.num_parameters)
    fresh, _ = rows(1000, circuit.num_parameters, seed=1)
    kernel = FidelityStatevectorKernel(feature_map=circuit, auto_clear_cache=False)
    qsvc = QSVC(quantum_kernel=kernel, C=1.0).fit(X, y)
    imported = import_qsvc(qsvc)
    expected = qsvc.decision_function(fresh)
    assert np.abs(imported.exact_scores(fresh) - expected).max() <= 1e-10
    assert np.array_equal(imported.predict(fresh), qsvc.predict(fresh))
    assert np.abs(imported.scores(fresh) - expected).max() <= 2e-5 * np.abs(imported.observable.values).sum()
    assert imported.labels == (0, 1)


def test_a_kernel_measured_with_shots_is_given_its_expectation() -> None:
    X, y = rows(14, 2)
    fresh, _ = rows(6, 2, seed=1)
    qsvc = QSVC(quantum_kernel=FidelityQuantumKernel(feature_map=zz_feature_map(2))).fit(X, y)
    distance = np.abs(import_qsvc(qsvc).exact_scores(fresh) - qsvc.decision_function(fresh)).max()
    # 1,024 shots a kernel value: errors of up to 1 / (2 sqrt(1024)) each, times the dual coefficients.
    assert 0.0 < distance <= 5.0 * np.sqrt(np.square(qsvc.dual_coef_).sum()) / 64.0


def test_text_labels_keep_their_order_and_can_be_turned() -> None:
    X, y = rows(40, 2)
    words = np.where(y == 1, "attack", "benign")  # "attack" sorts first: scikit-learn scores benign rows high
    kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(2))
    qsvc = QSVC(quantum_kernel=kernel).fit(X, words)
    fresh, _ = rows(30, 2, seed=1)
    as_fitted, turned = import_qsvc(qsvc), import_qsvc(qsvc, positive="attack")
    assert as_fitted.labels == ("attack", "benign")
    assert turned.labels == ("benign", "attack")
    assert np.allclose(turned.exact_scores(fresh), -qsvc.decision_function(fresh), atol=1e-10)
    assert np.array_equal(turned.predict(fresh), qsvc.predict(fresh))
    with pytest.raises(ImportRefused, match=r"positive is 'evil'.*'attack' and 'benign'"):
        import_qsvc(qsvc, positive="evil")


def test_a_machine_on_a_precomputed_kernel_is_imported_from_its_parts() -> None:
    X, y = rows(40, 3)
    fresh, _ = rows(30, 3, seed=1)
    kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(3))
    machine = SVC(kernel="precomputed").fit(kernel.evaluate(X), y)
    expected = machine.decision_function(kernel.evaluate(fresh, X))
    with pytest.raises(ImportRefused, match="import_kernel_machine"):
        import_qsvc(machine, X)
    parts = (X[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    for source in (kernel, kernel.feature_map):
        imported = import_kernel_machine(source, *parts)
        assert np.abs(imported.exact_scores(fresh) - expected).max() <= 1e-10


def trained_kernel() -> tuple[TrainableFidelityStatevectorKernel, list[Parameter]]:
    x, t = ParameterVector("x", 2), ParameterVector("t", 2)
    circuit = QuantumCircuit(2)
    for k in range(2):
        circuit.h(k)
        circuit.ry(t[k], k)
        circuit.rz(x[k] * t[k], k)
    circuit.cx(0, 1)
    return TrainableFidelityStatevectorKernel(feature_map=circuit, training_parameters=list(t)), list(t)


def test_trained_parameters_are_bound_and_untrained_ones_refused() -> None:
    X, y = rows(30, 2)
    fresh, _ = rows(30, 2, seed=1)
    kernel, _ = trained_kernel()
    kernel.assign_training_parameters([0.7, -1.1])
    qsvc = QSVC(quantum_kernel=kernel).fit(X, y)
    assert np.abs(import_qsvc(qsvc).exact_scores(fresh) - qsvc.decision_function(fresh)).max() <= 1e-10
    untrained, _ = trained_kernel()
    with pytest.raises(ImportRefused, match=r"t\[0\], t\[1\] have no values"):
        import_kernel_machine(untrained, X, np.ones(30), 0.0)


def test_a_kernels_rows_are_in_qiskits_order_of_parameters_and_a_bare_circuits_are_asked_about() -> None:
    circuit = QuantumCircuit(2)
    for k in range(12):
        circuit.ry((1 + k / 7) * Parameter(f"x{k}"), k % 2)
        circuit.cx(k % 2, 1 - k % 2)
    X, y = rows(25, 12)
    fresh, _ = rows(20, 12, seed=1)
    kernel = FidelityStatevectorKernel(feature_map=circuit)
    qsvc = QSVC(quantum_kernel=kernel).fit(X, y)
    expected = qsvc.decision_function(fresh)
    assert np.abs(import_qsvc(qsvc).exact_scores(fresh) - expected).max() <= 1e-10
    parts = (X[qsvc.support_], qsvc.dual_coef_[0], float(qsvc.intercept_[0]))
    assert np.abs(import_kernel_machine(kernel, *parts).exact_scores(fresh) - expected).max() <= 1e-10
    with pytest.raises(CircuitError, match="which parameter is which feature"):
        import_kernel_machine(circuit, *parts)
    said = import_kernel_machine(circuit, *parts, parameters="qiskit")
    assert np.abs(said.exact_scores(fresh) - expected).max() <= 1e-10


def test_what_cannot_be_imported_says_why() -> None:
    X, y = rows(30, 2)
    kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(2))
    with pytest.raises(ImportRefused, match="has not been fitted"):
        import_qsvc(QSVC(quantum_kernel=kernel))
    with pytest.raises(ImportRefused, match="3 classes"):
        import_qsvc(QSVC(quantum_kernel=kernel).fit(X, np.arange(30) % 3))
    with pytest.raises(ImportRefused, match="fitted on 30 rows"):
        import_qsvc(QSVC(quantum_kernel=kernel).fit(X, y), X[:20])
    with pytest.raises(ImportRefused, match="29 dual coefficients for 30"):
        import_kernel_machine(kernel, X, np.ones(29), 0.0)
    with pytest.raises(ImportRefused, match=r"shape \(30, 3\)"):
        import_kernel_machine(kernel, np.ones((30, 3)), np.ones(30), 0.0)
    with pytest.raises(ImportRefused, match="must be finite"):
        import_kernel_machine(kernel, X, np.full(30, np.nan), 0.0)
    with pytest.raises(ImportRefused, match="13 qubits"):
        import_kernel_machine(zz_feature_map(13, reps=1, entanglement="linear"), np.ones((3, 13)), np.ones(3), 0.0)
    measured = zz_feature_map(2)
    measured.measure_all()
    with pytest.raises(CircuitError, match="classical bits"):
        import_kernel_machine(measured, X, np.ones(30), 0.0)
    with pytest.raises(CircuitError, match="neither a fidelity kernel nor a circuit"):
        import_kernel_machine(object(), X, np.ones(30), 0.0)
