"""The compiler: every gate means what Qiskit says, and circuits become the few steps that they are."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import Operator

from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.decompile import decompile
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import apply, constant, feature
from scorer.circuits.gates import SIGNATURES, Gate
from scorer.circuits.maps import hardware_efficient, pauli, qft
from scorer.circuits.qiskit.exporting import to_qiskit
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes
from tests.unit.circuits.dense import plan_states, qiskit_states

x, y = feature(0), feature(1)
Z = np.array([[0.37, 0.81], [1.3, -0.6]])
TOLERANCE = 1e-12


def kinds(steps: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


def reference(circuit: Circuit) -> Any:
    exported = to_qiskit(circuit)
    used = [parameter.index for parameter in exported.parameters]
    return qiskit_states(exported, Z[:, used])


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_gate_is_qiskits_on_every_order_of_its_qubits(name: str) -> None:
    """As an operator: a different state on each qubit before it shows every column of its matrix."""
    count, angles = SIGNATURES[name]
    values = [0.7, -1.1, 2.3][:angles]
    for qubits in permutations(range(3), count):
        builder = Builder("g", 3, 2)
        theirs = QuantumCircuit(3)
        for qubit in range(3):
            builder.u(0.4 + qubit, 0.9 * qubit, x * 0.3, qubit)
            theirs.u(0.4 + qubit, 0.9 * qubit, float(Z[0, 0]) * 0.3, qubit)
        builder.add(name, qubits, [value * y for value in values])
        getattr(theirs, name)(*(value * float(Z[0, 1]) for value in values), *qubits)
        expected = Operator(theirs).data[:, 0]
        assert np.abs(plan_states(builder.build().plan, Z[:1])[0] - expected).max() <= TOLERANCE


@pytest.mark.parametrize("reps", [1, 2, 3])
@pytest.mark.parametrize("entanglement", ["full", "linear", "circular"])
def test_a_zz_map_is_hadamards_and_one_diagonal_repeated(reps: int, entanglement: str) -> None:
    circuit = ZZMap(4, reps, entanglement, 0.8)
    plan = circuit.plan
    assert kinds(plan.steps) == ["Hadamards", "Phases"] * reps
    assert {step for step in plan.steps if isinstance(step, Phases)} == {plan.steps[1]}
    assert len(plan.expressions) == 4 + len(circuit.pairs)
    rows = np.random.default_rng(0).uniform(0, 1, (5, 4))
    scaled = 0.8 * rows.T
    together = [2.0 * ((np.pi - scaled[i]) * (np.pi - scaled[j])) for i, j in circuit.pairs]
    assert np.abs(plan.angles(rows) - np.concatenate([2.0 * scaled, together])).max() <= 1e-14


def test_a_ladder_around_a_rotation_is_one_diagonal() -> None:
    builder = Builder("ladder", 3, 2).h(0).h(1).h(2)
    builder.cx(0, 1).cx(1, 2).rz(x, 2).cx(1, 2).rz(y, 1).cx(0, 1)
    first, phases, last = builder.build().plan.steps
    assert first == Hadamards(0b111)
    assert isinstance(phases, Phases)
    assert [mask for mask, _ in phases.terms] == [0b111, 0b011]
    assert isinstance(last, Phases)
    assert [mask for mask, _ in last.terms] == [0]


def test_order_of_writing_does_not_matter() -> None:
    """Qubit by qubit or layer by layer: the same layers."""
    by_qubit = Builder("q", 3, 2)
    for qubit in range(3):
        by_qubit.h(qubit).p(x, qubit).h(qubit).p(y, qubit)
    by_qubit.cp(x, 0, 1)
    by_layer = Builder("q", 3, 2)
    for angle in (x, y):
        for qubit in range(3):
            by_layer.h(qubit)
        for qubit in range(3):
            by_layer.p(angle, qubit)
    by_layer.cp(x, 0, 1)
    made = by_qubit.build().plan
    assert made.steps == by_layer.build().plan.steps
    assert kinds(made.steps) == ["Local", "Local", "Local", "Phases"]


def test_gates_that_undo_each_other_leave_nothing() -> None:
    builder = Builder("nothing", 2, 2)
    builder.h(0).h(0).rx(x, 1).rx(-x, 1).cx(0, 1).cx(0, 1).x(0).x(0).cz(0, 1).cz(1, 0).s(1).sdg(1).swap(0, 1).swap(1, 0)
    assert builder.build().plan.steps == ()


def test_full_turns_are_a_sign() -> None:
    builder = Builder("turn", 1, 1).rx(math.pi, 0).rx(math.pi, 0)
    (step,) = builder.build().plan.steps
    assert isinstance(step, Phases)
    ((mask, angle),) = step.constants
    assert mask == 0
    assert angle == pytest.approx(math.pi)


def test_yy_blocks_share_their_turns() -> None:
    """The turns between neighbouring YY blocks cancel: one diagonal holds them all."""
    plan = pauli(5, ("YY",), reps=1, entanglement="full").plan
    assert kinds(plan.without_global_phase.steps) == ["Fixed", "Phases", "Fixed"]
    (phases,) = (step for step in plan.steps if isinstance(step, Phases) and step.terms)
    assert len(phases.terms) == 10


def test_single_qubit_data_needs_no_diagonal_of_all_states() -> None:
    plan = hardware_efficient(4, reps=3).plan.without_global_phase
    assert [kind for kind in kinds(plan.steps) if kind != "Local"] == ["Affine", "Affine"]
    assert len(plan.steps) == 3 * 4 + 2


def test_a_fourier_transform_is_one_fixed_run() -> None:
    steps = qft(5, swaps=False).plan.without_global_phase.steps
    assert kinds(steps) == ["Local"] * 5 + ["Fixed"] + ["Local"] * 5
    assert all(isinstance(step, Local) and step.gates[0] == ("h", None) for step in steps[:5])


def test_affine_runs_are_one_permutation() -> None:
    plan = Builder("a", 3, 1).ry(x, 0).cx(0, 1).x(1).swap(1, 2).cx(2, 0).build().plan
    local, affine = plan.steps
    assert isinstance(local, Local)
    # The last CX is undone by the first: qubit 2 takes b0 xor b1 xor 1.
    assert isinstance(affine, Affine)
    assert affine == Affine((0b010, 0b100, 0b011), 0b101)


def test_constants_before_the_first_row_angle_are_one_run() -> None:
    plan = Builder("c", 2, 1).h(0).cx(0, 1).h(1).ry(x, 0).build().plan
    assert isinstance(plan.steps[0], Fixed)
    assert kinds(plan.steps[0].steps) == ["Hadamards", "Affine", "Hadamards"]


angles = st.sampled_from(
    [x, y, 0.5 * x, x * y, apply("sin", x + y), constant(0.3), constant(math.pi / 2), constant(math.pi)]
)


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    qubits = draw(st.integers(1, 4))
    known = [name for name, (count, _) in SIGNATURES.items() if count <= qubits]
    gates = []
    for _ in range(draw(st.integers(1, 25))):
        name = draw(st.sampled_from(known))
        count, parameters = SIGNATURES[name]
        chosen = draw(st.permutations(range(qubits)))[:count]
        gates.append(Gate(name, tuple(chosen), tuple(draw(angles) for _ in range(parameters))))
    return Circuit("random", qubits, 2, tuple(gates), draw(angles), 0.9)


@settings(deadline=None, max_examples=120)
@given(circuits())
def test_any_circuit_keeps_its_amplitudes(circuit: Circuit) -> None:
    expected = reference(circuit)
    assert np.abs(plan_states(circuit.plan, Z) - expected).max() <= TOLERANCE
    assert np.abs(amplitudes(circuit, Z) - expected).max() <= TOLERANCE
    assert np.abs(plan_states(decompile(circuit.plan).plan, Z) - expected).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate("mcx", (0, 1)), "no gate 'mcx'"),
        (Gate("cx", (0,)), "2 qubits"),
        (Gate("cx", (0, 0)), "on the qubits"),
        (Gate("h", (2,)), "on the qubits"),
        (Gate("rx", (0,)), "1 angles"),
        (Gate("rx", (0,), (feature(5),)), "no feature below x2"),
    ],
)
def test_impossible_gates_are_refused(gate: Gate, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        Circuit("bad", 2, 2, (gate,))


def test_circuits_too_large_are_refused() -> None:
    with pytest.raises(CircuitError, match="20001 gates"):
        Circuit("long", 1, 1, (Gate("h", (0,)),) * 20_001)
    with pytest.raises(AttributeError, match="no gate 'toffoli'"):
        Builder("b", 1, 1).toffoli(0)
