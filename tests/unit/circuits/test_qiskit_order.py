"""Which parameter is which feature: never permuted in silence, whatever the names and their number."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from qiskit import qasm3
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit

from scorer.circuits.circuit import Builder
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import feature
from scorer.circuits.gates import SIGNATURES
from scorer.circuits.maps import hardware_efficient, pauli, reuploading
from scorer.circuits.qiskit.exporting import to_qasm3, to_qiskit
from scorer.circuits.qiskit.importing import import_circuit
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes
from tests.unit.circuits.dense import qiskit_states

TOLERANCE = 1e-12


def with_names(names: list[str]) -> QuantumCircuit:
    """One rotation for each parameter, in the order of the names."""
    circuit = QuantumCircuit(3)
    for k, name in enumerate(names):
        circuit.ry(Parameter(name), k % 3)
        circuit.rz(0.3 + k, k % 3)
    return circuit


def rows(features: int) -> Any:
    return np.random.default_rng(4).uniform(0, 1, (2, features))


def up_to_a_phase(states: Any, others: Any) -> float:
    """The largest difference of an amplitude: Qiskit writes no global phases into OpenQASM 3; no kernel sees them."""
    turned = np.exp(1j * np.angle(np.sum(others.conj() * states, axis=1, keepdims=True)))
    return float(np.abs(states - turned * others).max())


NUMBERED = [f"x{k}" for k in range(12)]


def test_scalars_whose_two_orders_differ_are_asked_about() -> None:
    with pytest.raises(CircuitError) as raised:
        import_circuit(with_names(NUMBERED))
    said = str(raised.value)
    assert "Qiskit's order is ..., x1, x10, x11, x2" in said
    assert "numbers in the names is ..., x1, x2, x3" in said
    assert "parameters='qiskit'" in said
    assert "parameters='natural'" in said


def test_either_order_can_be_said() -> None:
    circuit, Z = with_names(NUMBERED), rows(12)
    as_qiskit = import_circuit(circuit, parameters="qiskit")
    assert np.abs(amplitudes(as_qiskit, Z) - qiskit_states(circuit, Z)).max() <= TOLERANCE
    natural = import_circuit(circuit, parameters="natural")
    by_name = circuit.parameters
    columns = [NUMBERED.index(parameter.name) for parameter in by_name]
    assert np.abs(amplitudes(natural, Z) - qiskit_states(circuit, Z[:, columns])).max() <= TOLERANCE
    listed = import_circuit(circuit, parameters=NUMBERED)
    assert np.array_equal(amplitudes(listed, Z), amplitudes(natural, Z))
    with pytest.raises(CircuitError, match="parameters is 'sorted'; it may be 'natural', 'qiskit' or a list"):
        import_circuit(circuit, parameters="sorted")


@pytest.mark.parametrize(
    "names",
    [
        [f"x{k:02d}" for k in range(12)],
        [f"x{k}" for k in range(10)],
        ["x", "x1", "x2"],
        ["a", "b2", "c10"],
        ["theta", "φ", "λ"],
        ["1", "2", "3"],
    ],
)
def test_names_that_only_one_order_can_be_meant_by_are_not_asked_about(names: list[str]) -> None:
    circuit = with_names(names)
    Z = rows(len(names))
    assert np.abs(amplitudes(import_circuit(circuit), Z) - qiskit_states(circuit, Z)).max() <= TOLERANCE


@pytest.mark.parametrize("names", [["x1", "x10", "x2"], ["v2b9", "v10b1"], ["a9", "a10", "b"], ["9", "10"]])
def test_numbers_anywhere_in_a_name_count(names: list[str]) -> None:
    with pytest.raises(CircuitError, match="which parameter is which feature"):
        import_circuit(with_names(names))


def test_elements_of_vectors_are_in_the_order_of_their_numbers() -> None:
    x = ParameterVector("x", 15)
    circuit = QuantumCircuit(2)
    for k in (14, 3, 10, 2, *range(15)):
        circuit.ry((k + 1) * x[k], k % 2)
        circuit.h(k % 2)
    Z = rows(15)
    assert np.abs(amplitudes(import_circuit(circuit), Z) - qiskit_states(circuit, Z)).max() <= TOLERANCE


def test_vectors_whose_own_names_are_numbered_are_asked_about() -> None:
    circuit = QuantumCircuit(1)
    for vector in (ParameterVector("v2", 2), ParameterVector("v10", 2)):
        circuit.ry(vector[0] + 2 * vector[1], 0)
    with pytest.raises(CircuitError, match="which parameter is which feature"):
        import_circuit(circuit)


@pytest.mark.parametrize(
    "ours",
    [
        ZZMap(2),
        ZZMap(10, 1, "linear", 0.7),
        ZZMap(11, 1, "linear", 0.7),
        ZZMap(12, 1, "linear", 0.7),
        reuploading(25, 3, 1),
        hardware_efficient(12, 1),
        pauli(11, ("Z", "YY"), 1, "linear"),
    ],
    ids=lambda ours: f"{ours.name}-{ours.features}",
)
def test_openqasm_3_comes_back_as_it_went(ours: Any) -> None:
    read = qasm3.loads(to_qasm3(ours))
    Z = rows(ours.features)
    assert up_to_a_phase(amplitudes(import_circuit(read), Z), amplitudes(ours, Z)) <= TOLERANCE


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_gate_comes_back_from_openqasm_3(name: str) -> None:
    qubits, angles = SIGNATURES[name]
    builder = Builder("one", 3, 3)
    for k in range(3):
        builder.ry(feature(k), k)
    builder.cx(0, 2).add(name, range(qubits), [feature(0) * feature(1) + 0.2] * angles)
    ours, Z = builder.build(), rows(3)
    assert up_to_a_phase(amplitudes(import_circuit(qasm3.loads(to_qasm3(ours))), Z), amplitudes(ours, Z)) <= TOLERANCE


def test_openqasm_3_of_as_many_features_as_a_circuit_may_have() -> None:
    builder = Builder("wide", 2, 64)
    for k in range(64):
        builder.ry((k + 1) * feature(k), k % 2).h(k % 2)
    ours = builder.build()
    text = to_qasm3(ours)
    assert re.findall(r"input float\[64\] (\w+);", text) == [f"_x_{k:02d}_" for k in range(64)]
    Z = rows(64)
    assert np.abs(amplitudes(import_circuit(qasm3.loads(text)), Z) - amplitudes(ours, Z)).max() <= TOLERANCE


def test_names_of_up_to_ten_features_are_as_they_were() -> None:
    assert re.findall(r"input float\[64\] (\w+);", to_qasm3(ZZMap(3))) == ["_x_0_", "_x_1_", "_x_2_"]


def test_text_of_earlier_versions_is_asked_about_and_read_in_natural_order() -> None:
    """They wrote _x_10_ between _x_0_ and _x_1_."""
    ours = ZZMap(12, 1, "linear", 0.7)
    read = qasm3.loads(qasm3.dumps(to_qiskit(ours)))
    with pytest.raises(CircuitError, match="which parameter is which feature"):
        import_circuit(read)
    Z = rows(12)
    assert np.abs(amplitudes(import_circuit(read, parameters="natural"), Z) - amplitudes(ours, Z)).max() <= TOLERANCE
