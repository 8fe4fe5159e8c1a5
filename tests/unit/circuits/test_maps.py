"""Every feature map against Qiskit: every entanglement, every number of qubits to 8, and 10 and 12."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.circuit.library import QFTGate, pauli_feature_map, zz_feature_map

from scorer.circuits.circuit import FeatureMap
from scorer.circuits.entanglement import ENTANGLEMENTS, groups
from scorer.circuits.errors import CircuitError
from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading, zz
from scorer.engine.reference import amplitudes, fidelity_kernel
from tests.unit.circuits.dense import qiskit_states

TOLERANCE = 1e-12
BANDWIDTH = 0.8
QUBITS = range(1, 9)
SPOTS = (10, 12)


def rows(features: int, count: int = 2) -> Any:
    return np.random.default_rng(features).uniform(-0.3, 1.4, (count, features))


def agree(ours: FeatureMap, theirs: QuantumCircuit, count: int = 2) -> None:
    Z = rows(ours.features, count)
    assert np.abs(amplitudes(ours, Z) - qiskit_states(theirs, BANDWIDTH * Z)).max() <= TOLERANCE


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("features", range(2, 9))
def test_zz(features: int, entanglement: str) -> None:
    for reps in (1, 2, 3):
        theirs = zz_feature_map(features, reps=reps, entanglement=entanglement)
        agree(zz(features, reps, entanglement, BANDWIDTH), theirs, 1)


WORDS = [("Z", "ZZ"), ("Z", "YY"), ("X", "ZY"), ("Y", "XYZ"), ("ZZZ",)]


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("features", QUBITS)
@pytest.mark.parametrize("words", WORDS, ids=["-".join(words) for words in WORDS])
def test_pauli(features: int, entanglement: str, words: tuple[str, ...]) -> None:
    if features < max(map(len, words)):
        with pytest.raises(CircuitError, match="groups of"):
            pauli(features, words, entanglement=entanglement)
        return
    for reps in (1, 2):
        theirs = pauli_feature_map(features, reps, entanglement=entanglement, alpha=1.3, paulis=list(words))
        agree(pauli(features, words, reps, entanglement, 1.3, BANDWIDTH), theirs, 1)


def qiskit_qft_map(features: int, reps: int, again: bool) -> QuantumCircuit:
    x = ParameterVector("x", features)
    circuit = QuantumCircuit(features)
    circuit.h(range(features))
    for _ in range(reps):
        for i in range(features):
            circuit.p(x[i], i)
        circuit.append(QFTGate(features), range(features))
    for i in range(features if again else 0):
        circuit.p(x[i], i)
    return circuit


@pytest.mark.parametrize("features", QUBITS)
def test_qft(features: int) -> None:
    for reps, again in ((1, True), (2, True), (1, False)):
        agree(qft(features, reps, again, bandwidth=BANDWIDTH), qiskit_qft_map(features, reps, again))


def test_qft_without_data_after_it_changes_no_kernel() -> None:
    """Said in the map's documentation; with data again it does."""
    Z = rows(4, 6)
    plain = fidelity_kernel(*2 * [amplitudes(pauli(4, ("Z",), 1, alpha=1.0), Z)])
    for again, same in ((False, True), (True, False)):
        transformed = fidelity_kernel(*2 * [amplitudes(qft(4, again=again), Z)])
        assert bool(np.abs(transformed - plain).max() <= 1e-12) is same


def qiskit_reuploading(features: int, qubits: int, layers: int, entanglement: str) -> QuantumCircuit:
    """Written again, after the text of the documentation."""
    x = ParameterVector("x", features)
    circuit = QuantumCircuit(qubits)
    visits = layers * math.ceil(features / (2 * qubits))
    b = np.random.default_rng(7).uniform(-math.pi, math.pi, (visits, qubits, 2))
    turn = 0
    for visit in range(visits):
        if visit and qubits > 1:
            for pair in groups(qubits, 2, entanglement):
                circuit.cx(*pair)
        for qubit in range(qubits):
            circuit.ry(x[turn % features] + float(b[visit, qubit, 0]), qubit)
            circuit.rz(x[(turn + 1) % features] + float(b[visit, qubit, 1]), qubit)
            turn += 2
    return circuit


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("qubits", QUBITS)
def test_reuploading(qubits: int, entanglement: str) -> None:
    for features, layers in ((qubits, 2), (2 * qubits + 3, 2), (qubits + 1, 3)):
        ours = reuploading(features, qubits, layers, entanglement, bandwidth=BANDWIDTH)
        agree(ours, qiskit_reuploading(features, qubits, layers, entanglement))


def qiskit_hardware_efficient(features: int, reps: int, entanglement: str) -> QuantumCircuit:
    x = ParameterVector("x", features)
    circuit = QuantumCircuit(features)
    weights = np.random.default_rng(7).uniform(-math.pi, math.pi, (reps, features, 2))
    for rep in range(reps):
        for i in range(features if rep else 0):
            circuit.ry(float(weights[rep, i, 0]), i)
            circuit.rz(float(weights[rep, i, 1]), i)
        if rep and features > 1:
            for pair in groups(features, 2, entanglement):
                circuit.cx(*pair)
        for i in range(features):
            circuit.ry(x[i], i)
            circuit.rz(x[i], i)
    return circuit


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("features", QUBITS)
def test_hardware_efficient(features: int, entanglement: str) -> None:
    for reps in (1, 2, 3):
        ours = hardware_efficient(features, reps, entanglement, bandwidth=BANDWIDTH)
        agree(ours, qiskit_hardware_efficient(features, reps, entanglement))


@pytest.mark.parametrize("n", SPOTS)
def test_spots_at_ten_and_twelve_qubits(n: int) -> None:
    agree(zz(n, bandwidth=BANDWIDTH), zz_feature_map(n, reps=2), 1)
    theirs = pauli_feature_map(n, 2, entanglement="linear", paulis=["Z", "YY"])
    agree(pauli(n, ("Z", "YY"), entanglement="linear", bandwidth=BANDWIDTH), theirs, 1)
    agree(qft(n, bandwidth=BANDWIDTH), qiskit_qft_map(n, 1, True), 1)
    agree(reuploading(n, bandwidth=BANDWIDTH), qiskit_reuploading(n, n, 2, "linear"), 1)
    agree(hardware_efficient(n, 3, "circular", bandwidth=BANDWIDTH), qiskit_hardware_efficient(n, 3, "circular"), 1)


def test_entangled_groups_are_in_qiskits_order() -> None:
    assert groups(3, 2, "full") == ((0, 1), (0, 2), (1, 2))
    assert groups(4, 2, "circular") == ((3, 0), (0, 1), (1, 2), (2, 3))
    assert groups(4, 3, "circular") == ((2, 3, 0), (3, 0, 1), (0, 1, 2), (1, 2, 3))
    assert groups(2, 2, "circular") == ((0, 1),)
    assert groups(3, 1, "linear") == ((0,), (1,), (2,))


def test_another_seed_is_another_map() -> None:
    Z = rows(3)
    for build in (reuploading, hardware_efficient):
        assert np.abs(amplitudes(build(3, seed=1), Z) - amplitudes(build(3, seed=2), Z)).max() > 0.01


def test_more_qubits_than_the_exact_engine_has_are_a_circuit() -> None:
    wide = zz(14)
    assert (wide.name, wide.qubits, len(wide.plan.steps)) == ("zz", 14, 4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pauli(3, ("ZA",)), "'ZA'"),
        (lambda: pauli(3, ("",)), "Pauli word"),
        (lambda: pauli(3, ("Z", 5)), "'5'"),  # type: ignore[arg-type]
        (lambda: pauli(3, entanglement="sca"), "known are full, linear, circular"),
        (lambda: qft(3, reps=0), "from 1 to 32"),
        (lambda: qft(3, reps=2.0), "2.0 repetitions"),  # type: ignore[arg-type]
        (lambda: qft(21), "qubits is 21"),
        (lambda: qft(0), "qubits is 0"),
        (lambda: reuploading(5, 0), "qubits is 0"),
        (lambda: reuploading(65, 4), "features is 65"),
        (lambda: hardware_efficient(3, entanglement="ring"), "'ring'"),
        (lambda: hardware_efficient(3, bandwidth=-1.0), "bandwidth is -1.0"),
    ],
)
def test_impossible_maps_are_refused(build: Any, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        build()
