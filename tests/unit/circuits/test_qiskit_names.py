"""Gates of one's own under any name: imported as they are defined, or refused by that name; never as another gate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from qiskit import qasm2, qasm3
from qiskit.circuit import AnnotatedOperation, Gate, InverseModifier, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.library import HGate, MCMTGate, PauliEvolutionGate, QFTGate, RXGate, XGate
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector

from scorer.circuits.errors import CircuitError
from scorer.circuits.qiskit.importing import import_circuit
from scorer.engine.reference import amplitudes
from tests.unit.circuits.dense import qiskit_states

TOLERANCE = 1e-12
a, b = Parameter("a"), Parameter("b")
#: Names of standard gates with and without angles, of what is no gate, and of what Qiskit synthesises by name.
NAMES = (
    *("rx", "p", "rz", "u", "h", "x", "t", "sx", "cx", "swap", "cp", "rzz", "ccx", "mcx", "id", "barrier", "delay"),
    *("measure", "reset", "snapshot", "initialize", "unitary", "qft", "permutation", "clifford", "annotated"),
    *("PauliEvolution", "global_phase", "if_else", "mine"),
)


def own(name: str, qubits: int = 1, angle: Parameter | float = a) -> QuantumCircuit:
    """What no standard gate of any name does."""
    inner = QuantumCircuit(qubits, name=name, global_phase=0.2)
    inner.h(0)
    inner.p(angle, 0)
    inner.ry(0.4, 0)
    for qubit in range(1, qubits):
        inner.crx(0.7, 0, qubit)
        inner.sx(qubit)
    return inner


def around(gate: object, *qubits: int, of: int = 3) -> QuantumCircuit:
    """The gate between standard ones, on a state that it changes."""
    circuit = QuantumCircuit(of)
    circuit.ry(b, range(of))
    circuit.cx(0, of - 1)
    circuit.append(gate, list(qubits))
    circuit.rx(0.3, of - 1)
    return circuit


def check(circuit: QuantumCircuit, expected: QuantumCircuit | None = None) -> None:
    Z = np.random.default_rng(1).uniform(0.1, 1.0, (2, len(circuit.parameters)))
    found = amplitudes(import_circuit(circuit), Z)
    assert np.abs(found - qiskit_states(circuit if expected is None else expected, Z)).max() <= TOLERANCE


@pytest.mark.parametrize(("name", "qubits"), [(name, 1 + number % 2) for number, name in enumerate(NAMES)])
def test_a_gate_of_ones_own_is_what_it_is_defined_as(name: str, qubits: int) -> None:
    on = tuple(range(qubits))
    check(around(own(name, qubits).to_gate(), *on))
    check(around(own(name, qubits).to_instruction(), *on))
    check(around(own(name, qubits, 0.8).to_gate(), *on))
    check(around(own(name, qubits).to_gate().inverse(), *on))
    nested = QuantumCircuit(qubits, name="outer")
    nested.append(own(name, qubits).to_gate(), on)
    nested.append(own(name, qubits, 0.1).to_instruction(), on)
    check(around(nested.to_instruction(), *on))


def refused_or_right(circuit: QuantumCircuit, expected: QuantumCircuit, name: str) -> None:
    try:
        check(circuit, expected)
    except CircuitError as refused:
        assert f"{name!r} is not Qiskit's gate of that name" in str(refused)  # noqa: PT017 - either way is right


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("qubits", "controls", "wrapped"), [(1, 1, False), (2, 2, True)])
def test_its_control_is_its_control_or_refused_by_its_name(
    name: str, qubits: int, controls: int, wrapped: bool
) -> None:
    """``Gate.control`` goes by the name, so that Qiskit itself may run another gate there."""
    inner = own(name, qubits)
    if wrapped:
        outer = QuantumCircuit(qubits, name="outer")
        outer.append(inner.to_gate(), range(qubits))
        inner = outer
    on = range(qubits + controls)
    expected = around(inner.to_gate().control(controls, annotated=True, ctrl_state=controls), *on, of=4)
    check(expected)
    try:
        circuit = around(inner.to_gate().control(controls, ctrl_state=controls), *on, of=4)
    except Exception:
        return  # Qiskit makes no such control
    refused_or_right(circuit, expected, name)


def test_qiskit_takes_a_gate_of_ones_own_for_the_standard_one_under_a_control() -> None:
    """Why controls are looked at: where this ends, ``scorer.circuits.qiskit.controls`` can go."""
    inner = own("rx").to_gate()
    with pytest.raises(CircuitError, match=r"'crx'.*'rx' is not Qiskit's gate of that name"):
        import_circuit(around(inner.control(1), 0, 1))


QASM2 = {
    "rx": "gate rx(t) q {U(t,0,0) q;}",
    "rz": "gate rz(t) q {U(t,0.3,0) q;}",
    "h": "gate h q {U(0.3,0.2,0.1) q;}",
    "delay": "gate delay q {U(0.3,0.2,0.1) q;}",
    "id": "gate id q {U(0.3,0.2,0.1) q;}",
    "snapshot": "gate snapshot q {U(0.3,0.2,0.1) q;}",
    "cx": "gate cx c,q {CX q,c; U(0.3,0.2,0.1) q;}",
    "swap": "gate swap c,q {CX q,c; U(0.3,0.2,0.1) q;}",
    "outer": "gate t q {U(0.3,0.2,0.1) q;} gate outer c,q {t q; CX c,q; t c;}",
}


@pytest.mark.parametrize("name", QASM2)
def test_gates_defined_in_openqasm_2(name: str) -> None:
    angle = "(0.3)" if "(t)" in QASM2[name] else ""
    on = "q[0],q[1]" if "c,q" in QASM2[name] else "q[0]"
    read = qasm2.loads(f"OPENQASM 2.0; {QASM2[name]} qreg q[2]; U(0.4,0.1,0.2) q[0]; {name}{angle} {on};")
    circuit = QuantumCircuit(2)
    circuit.ry(b, [0, 1])
    circuit.compose(read, inplace=True)
    check(circuit)


@pytest.mark.parametrize("name", ["p", "rx", "h", "cx", "id", "snapshot"])
def test_gates_defined_in_openqasm_3(name: str) -> None:
    angle = name in ("p", "rx")
    head = f"OPENQASM 3.0; gate {name}{'(t)' if angle else ''} q {{U({'t' if angle else 0.7},0.2,0.1) q;}}"
    text = f"{head} input float[64] x; qubit[2] r; U(x,0.4,0.1) r[0]; {name}{'(x)' if angle else ''} r[0];"
    check(qasm3.loads(text))
    expected = QuantumCircuit(2)
    expected.u(a, 0.4, 0.1, 0)
    expected.u(a if angle else 0.7, 0.2, 0.1, 0)
    expected.u(0.4, 0.5, 0.6, 1)
    expected.cu(0.3 if angle else 0.7, 0.2, 0.1, 0, 1, 0)
    try:
        controlled = qasm3.loads(f"{text} U(0.4,0.5,0.6) r[1]; ctrl @ {name}{'(0.3)' if angle else ''} r[1], r[0];")
    except Exception:
        return  # Qiskit makes no such control
    refused_or_right(controlled, expected, name)


class Lying(Gate):  # type: ignore[misc]
    """Its matrix is another gate than its definition."""

    def __init__(self) -> None:
        super().__init__("lying", 1, [])

    def _define(self) -> None:
        self.definition = own("lying", 1, 0.8)

    def __array__(self, dtype: object = None, copy: object = None) -> object:
        return np.array([[0, 1], [1, 0]], complex)


class Turned(RXGate):  # type: ignore[misc]
    """A class derived from a standard one that does something else."""

    def _define(self) -> None:
        self.definition = own("rx", 1, self.params[0])

    def __array__(self, dtype: object = None, copy: object = None) -> object:
        return Operator(self.definition).data


def test_a_gate_whose_matrix_is_not_its_definition_is_named() -> None:
    circuit = around(Lying(), 1)
    circuit.append(own("fine").to_gate(), [0])
    with pytest.raises(CircuitError, match=r"the gate 'lying' on the qubits \(1,\) was read as another gate"):
        import_circuit(circuit)
    large = QuantumCircuit(18)
    large.ry(b, range(18))
    large.append(Lying(), [17])
    with pytest.raises(CircuitError, match=r"the gate 'lying' on the qubits \(17,\)"):
        import_circuit(large)


def test_a_class_derived_from_a_standard_gate_that_qiskit_itself_runs_as_the_standard_one() -> None:
    with pytest.raises(CircuitError, match="the gate 'rx'"):
        import_circuit(around(Turned(0.7), 1))


def _annotated() -> object:
    return AnnotatedOperation(own("h").to_gate(), [InverseModifier()])


@pytest.mark.parametrize(
    ("gate", "qubits"),
    [
        (lambda: RXGate(a).control(1, annotated=True), 2),
        (lambda: own("t").to_gate().control(2, annotated=True, ctrl_state=1), 3),
        (_annotated, 1),
        (lambda: AnnotatedOperation(XGate().control(1, annotated=True), [InverseModifier()]), 2),
        (lambda: MCMTGate(HGate(), 2, 1), 3),
        (lambda: QFTGate(3), 3),
        (lambda: XGate().control(2, ctrl_state=1), 3),
    ],
)
def test_annotated_and_library_gates(gate: Callable[[], object], qubits: int) -> None:
    check(around(gate(), *range(qubits)))


def test_wide_gates_are_compared_without_their_matrices() -> None:
    """The matrix of a gate on 14 qubits would take 4 GiB."""
    circuit = QuantumCircuit(14)
    circuit.ry(a, range(14))
    circuit.append(XGate().control(13), range(14))
    assert import_circuit(circuit).qubits == 14


def test_an_evolution_inside_other_gates_is_the_product_formula() -> None:
    inner = QuantumCircuit(2, name="barrier")
    inner.append(PauliEvolutionGate(SparsePauliOp(["ZZ", "XX", "IY"]), time=a), [0, 1])
    circuit = around(inner.to_gate(), 0, 2)
    Z = np.random.default_rng(1).uniform(0, 1, (2, 2))
    expected = qiskit_states(circuit.decompose().decompose(), Z)
    assert np.abs(amplitudes(import_circuit(circuit), Z) - expected).max() <= TOLERANCE


CANCELLING: list[Callable[[Parameter], object]] = [
    lambda p: 0 * p - 0.3,
    lambda p: p - p - 0.3,
    lambda p: p / p - 2,
    lambda p: 0 * p,
    lambda p: 0 * p * b - 0.3 + b,
    lambda p: p**0 - 3,
]


@pytest.mark.parametrize("number", range(len(CANCELLING)))
def test_parameters_that_cancel(number: int) -> None:
    circuit = QuantumCircuit(1, global_phase=CANCELLING[number](a))
    circuit.ry(CANCELLING[number](a), 0)
    circuit.rx(b, 0)
    Z = np.array([[0.3, 0.4], [0.9, 0.2]])
    found = amplitudes(import_circuit(circuit), Z)
    expected = np.array([Statevector(circuit.assign_parameters({a: row[0], b: row[1]})).data for row in Z])
    assert np.abs(found - expected).max() <= TOLERANCE


def test_formulas_with_values_on_a_part_of_the_line_only() -> None:
    x = ParameterVector("x", 2)
    circuit = QuantumCircuit(2)
    circuit.ry((2 * x[0]).arcsin(), 0)
    circuit.rx((x[1] - 0.9).log(), 1)
    Z = np.array([[0.2, 1.3], [0.4, 2.0]])
    found = amplitudes(import_circuit(circuit), Z)
    assert np.abs(found - qiskit_states(circuit, Z)).max() <= TOLERANCE
    never = QuantumCircuit(1)
    never.ry((x[0] + 100).arcsin(), 0)
    with pytest.raises(CircuitError, match="has no value at any point"):
        import_circuit(never)


def test_a_gate_without_a_definition_is_named() -> None:
    with pytest.raises(CircuitError, match="'opaque', which is not a gate"):
        import_circuit(around(Gate("opaque", 1, []), 0))


def test_large_angles_are_compared_as_well_as_float64_can() -> None:
    circuit = QuantumCircuit(1)
    circuit.ry(1e7 * a / math.pi, 0)
    assert import_circuit(circuit).features == 1
