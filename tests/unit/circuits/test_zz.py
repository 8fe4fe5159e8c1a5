"""The ZZ map's definition: pairs, angles and signs, against Qiskit's own circuit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit.quantum_info import Statevector

from scorer.circuits.errors import CircuitError
from scorer.circuits.steps.kinds import Hadamards, Phases
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes


@pytest.mark.parametrize("qubits", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
@pytest.mark.parametrize("reps", [1, 2, 3])
def test_states_are_qiskits(qubits: int, entanglement: str, reps: int) -> None:
    rng = np.random.default_rng(qubits * 10 + reps)
    Z = rng.uniform(-0.5, 1.5, (2, qubits))
    bandwidth = 1.7
    states = amplitudes(ZZMap(qubits, reps, entanglement, bandwidth), Z)
    circuit = zz_feature_map(qubits, reps=reps, entanglement=entanglement)
    for z, state in zip(Z, states, strict=True):
        expected = Statevector(circuit.assign_parameters(bandwidth * z)).data
        assert np.abs(state - expected).max() <= 1e-12


@pytest.mark.parametrize("qubits", range(1, 13))
@pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
def test_the_plan_is_the_one_that_compiling_its_gates_gives(qubits: int, entanglement: str) -> None:
    for reps in (1, 2, 5):
        circuit = ZZMap(qubits, reps, entanglement, 1.7)
        assert circuit.plan == circuit.to_circuit().plan


def test_one_qubit_by_hand() -> None:
    # H then P(2x) on |0>: (1, e^(2ix)) / sqrt 2.
    state = amplitudes(ZZMap(1, 1), np.array([[0.3]]))[0]
    assert state == pytest.approx(np.array([1.0, np.exp(0.6j)]) / math.sqrt(2))


def test_pairs() -> None:
    assert ZZMap(3).pairs == ((0, 1), (0, 2), (1, 2))
    assert ZZMap(4, entanglement="linear").pairs == ((0, 1), (1, 2), (2, 3))
    assert ZZMap(4, entanglement="circular").pairs == ((3, 0), (0, 1), (1, 2), (2, 3))
    assert ZZMap(2, entanglement="circular").pairs == ((0, 1),)
    assert ZZMap(1).pairs == ()


def test_angles_and_terms_by_hand() -> None:
    plan = ZZMap(2, bandwidth=0.5).plan
    angles = plan.angles(np.array([[1.0, 2.0]]))[:, 0]
    assert angles.tolist() == pytest.approx([1.0, 2.0, 2 * (math.pi - 0.5) * (math.pi - 1.0)])
    assert plan.steps == (Hadamards(3), Phases(((1, 0), (2, 1), (3, 2)))) * 2


@pytest.mark.parametrize(
    "arguments",
    [(0,), (13,), (2.0,), (True,), (3, 0), (3, 7), (3, 2, "sca"), (3, 2, "full", 0.0), (3, 2, "full", math.nan)],
)
def test_impossible_maps_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(CircuitError):
        ZZMap(*arguments)


def test_features_of_another_width_are_refused() -> None:
    with pytest.raises(CircuitError, match="3 features"):
        ZZMap(3).plan.angles(np.zeros((1, 2)))


def test_a_map_survives_its_dictionary() -> None:
    circuit = ZZMap(5, 3, "circular", 0.7)
    assert ZZMap.from_dict(circuit.to_dict()) == circuit


@pytest.mark.parametrize("raw", [None, [], {"kind": "pauli"}, {"kind": "zz"}, {**ZZMap(2).to_dict(), "extra": 1}])
def test_other_dictionaries_are_refused(raw: Any) -> None:
    with pytest.raises(CircuitError):
        ZZMap.from_dict(raw)
