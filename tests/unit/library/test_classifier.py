"""QuantumKernelClassifier held against SVC, Qiskit's QSVC and the product's own machine; weights, labels, maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from sklearn.datasets import make_blobs
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from qscore import FidelityKernel, QuantumKernelClassifier, hardware_efficient, zz
from scorer.training.families.svc import fit_svc

Floats = NDArray[np.float64]


def task(rows: int = 80, features: int = 3, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features))
    return X, (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=rows) > 0).astype(np.int64)


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, math.pi])
def test_it_decides_as_qiskits_qsvc_does(bandwidth: float) -> None:
    X, y = task()
    inputs = MinMaxScaler((0, bandwidth)).fit_transform(X)
    theirs = QSVC(quantum_kernel=FidelityStatevectorKernel(feature_map=zz_feature_map(3)), C=2.0).fit(inputs, y)
    ours = QuantumKernelClassifier("zz", bandwidth=bandwidth, C=2.0).fit(X, y)
    # Both stop where libsvm's tolerance lets them, from rows in another order.
    assert np.abs(ours.decision_function(X) - theirs.decision_function(inputs)).max() < 5e-3
    sharp = QuantumKernelClassifier("zz", bandwidth=bandwidth, C=2.0, tol=1e-10).fit(X, y)
    exact = QSVC(quantum_kernel=FidelityStatevectorKernel(feature_map=zz_feature_map(3)), C=2.0, tol=1e-10)
    exact.fit(inputs, y)
    assert np.abs(sharp.decision_function(X) - exact.decision_function(inputs)).max() < 1e-8


def test_it_is_the_machine_of_the_family_svc() -> None:
    X, y = task(200, 4)
    ours = QuantumKernelClassifier(zz(4), bandwidth=0.4, C=3.0, class_weight="balanced", tol=1e-10).fit(X, y)
    Z = ours.scaled(X)
    circuit = zz(4, bandwidth=0.4)
    assert ours.circuit_ == circuit
    theirs: Floats = fit_svc(Z, y, circuit.plan, 3.0, rank=16, class_weight="balanced").exact_scores(circuit.plan, Z)
    assert np.abs(ours.decision_function(X) - theirs).max() < 5e-3


@pytest.mark.parametrize("rows", [20, 400])
def test_scores_are_those_of_the_support_vectors_however_many(rows: int) -> None:
    """Few support states are kept as they are, many become one observable."""
    X, y = task(rows, 3)
    fitted = QuantumKernelClassifier(bandwidth=1.0, C=1.0).fit(X, y)
    kernel = FidelityKernel(bandwidth=1.0).fit(X).pairwise(X, X[fitted.support_])
    assert np.abs(kernel @ fitted.dual_coef_[0] + fitted.intercept_ - fitted.decision_function(X)).max() < 1e-10
    assert len(fitted.observables_[0].values) == min(len(fitted.support_), 8)


def test_a_weight_is_worth_as_many_rows_of_any_order() -> None:
    X, y = task(60)
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, len(X))
    repeated = rng.permutation(np.repeat(np.arange(len(X)), weights))
    for class_weight in (None, "balanced", {0: 1.0, 1: 5.0}):
        machine = QuantumKernelClassifier(bandwidth=0.8, class_weight=class_weight)
        weighted = machine.fit(X, y, sample_weight=weights).decision_function(X)
        assert np.array_equal(weighted, machine.fit(X[repeated], y[repeated]).decision_function(X))


def test_equal_rows_of_both_labels_are_no_obstacle() -> None:
    X = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    fitted = QuantumKernelClassifier().fit(X, [0, 1, 0, 1, 1])
    assert fitted.predict([[1.0]]) == [1]


@pytest.mark.parametrize("labels", [("benign", "attack"), (True, False), (-1, 7), ("b'1", "ä")])
def test_labels_are_whatever_they_are(labels: tuple[Any, Any]) -> None:
    X, y = task()
    names = np.array(labels)[y]
    fitted = QuantumKernelClassifier(bandwidth=1.0, C=10.0).fit(X, names)
    assert list(fitted.classes_) == sorted(set(names.tolist()))
    assert set(fitted.predict(X).tolist()) <= set(names.tolist())
    assert fitted.score(X, names) > 0.8
    assert np.array_equal(fitted.decision_function(X) > 0, fitted.predict(X) == fitted.classes_[1])


def test_three_classes_are_told_one_from_the_rest() -> None:
    X, number = make_blobs(150, centers=[[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], random_state=3)
    y = np.array(["dos", "normal", "scan"])[number]
    fitted = QuantumKernelClassifier(bandwidth=0.6, C=10.0, tol=1e-9).fit(X, y)
    values = fitted.decision_function(X)
    assert values.shape == (150, 3)
    assert len(fitted.observables_) == 3
    assert fitted.score(X, y) > 0.9
    for column, name in enumerate(fitted.classes_):
        alone = QuantumKernelClassifier(bandwidth=0.6, C=10.0, tol=1e-9).fit(X, y == name)
        assert np.abs(alone.decision_function(X) - values[:, column]).max() < 1e-6


def own(features: int, turns: float = 1.0) -> QuantumCircuit:
    x = ParameterVector("x", features)
    circuit = QuantumCircuit(features)
    for qubit in range(features):
        circuit.ry(turns * x[qubit], qubit)
    circuit.cz(0, 1)
    for qubit in range(features):
        circuit.rx(x[qubit], qubit)
    return circuit


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ("hardware_efficient", {"reps": 1}),
        (hardware_efficient, {"reps": 1}),
        (hardware_efficient(3, reps=1), None),
        (hardware_efficient(3, reps=1).plan, None),
    ],
)
def test_a_map_may_be_given_in_any_way(given: Any, parameters: dict[str, Any] | None) -> None:
    X, y = task()
    wanted = QuantumKernelClassifier("hardware_efficient", bandwidth=0.5, map_parameters={"reps": 1}).fit(X, y)
    fitted = QuantumKernelClassifier(given, bandwidth=0.5, map_parameters=parameters).fit(X, y)
    assert np.abs(fitted.decision_function(X) - wanted.decision_function(X)).max() < 1e-12


@pytest.mark.parametrize("given", [own(3), own])
def test_a_circuit_of_qiskit_serves_as_it_is(given: Any) -> None:
    X, y = task()
    fitted = QuantumKernelClassifier(given, bandwidth=None, scale=False).fit(X, y)
    kernel = FidelityStatevectorKernel(feature_map=own(3)).evaluate(X)
    assert np.abs(FidelityKernel(given, scale=False).fit(X).transform(X) - kernel).max() < 1e-10
    theirs = SVC(kernel="precomputed").fit(kernel, y)
    assert np.abs(fitted.decision_function(X) - theirs.decision_function(kernel)).max() < 5e-3


def test_more_features_than_qubits_are_taken_in_turn() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 40))
    fitted = QuantumKernelClassifier().fit(X, (X[:, 0] > 0).astype(int))
    assert (fitted.circuit_.name, fitted.circuit_.qubits, fitted.circuit_.features) == ("reuploading", 8, 40)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"feature_map": "zzz"}, "no feature map 'zzz' is installed"),
        ({"feature_map": zz(2)}, "the map 'zz' takes 2 features; the rows have 3"),
        ({"feature_map": 3}, "int is neither a feature map nor a Qiskit circuit"),
        ({"bandwidth": -1.0}, "bandwidth"),
        ({"bandwidth": math.nan}, "bandwidth"),
        ({"C": 0.0}, "'C' parameter"),
        ({"class_weight": "heavy"}, "class_weight"),
        ({"map_parameters": {"layers": 2}}, "cannot be called so"),
        ({"feature_map": "pauli", "map_parameters": {"paulis": ["Z", "ZW"]}}, "Pauli word"),
    ],
)
def test_what_is_not_possible_is_said(parameters: dict[str, Any], said: str) -> None:
    X, y = task()
    with pytest.raises(ValueError, match=said):
        QuantumKernelClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 2.0], "shape"),
        (np.full(80, -1.0), "below 0"),
        (np.full(80, np.nan), "below 0 or none"),
        (np.zeros(80), "every sample_weight is zero"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, said: str) -> None:
    X, y = task()
    with pytest.raises(ValueError, match=said):
        QuantumKernelClassifier().fit(X, y, sample_weight=weights)


def test_a_map_of_too_many_qubits_is_refused_with_a_way_out() -> None:
    X, y = np.random.default_rng(0).normal(size=(20, 18)), np.arange(20) % 2
    with pytest.raises(
        ValueError, match=r"(?s)has 18 qubits; states are computed up to .* \(feature_map='reuploading'\)"
    ):
        QuantumKernelClassifier("zz").fit(X, y)
