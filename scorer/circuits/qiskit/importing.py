"""Any parametrised Qiskit circuit as one of ours. Needs the extra ``qiskit``; only training comes here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorer.circuits.circuit import Circuit
from scorer.circuits.errors import CircuitError
from scorer.circuits.evaluate import Evaluator
from scorer.circuits.expressions import Expression, apply, as_expression, constant, feature
from scorer.circuits.gates import SIGNATURES, Gate

if TYPE_CHECKING:
    from qiskit.circuit import QuantumCircuit

#: Operations of Qiskit's parameter expressions -> ours; those of two operands, and whether they come in reverse.
_UNARY = {
    "SIN": "sin",
    "COS": "cos",
    "TAN": "tan",
    "ASIN": "asin",
    "ACOS": "acos",
    "ATAN": "atan",
    "EXP": "exp",
    "LOG": "log",
    "ABS": "abs",
}
_BINARY = {"ADD": "add", "SUB": "sub", "MUL": "mul", "DIV": "div", "POW": "pow"}
_REVERSED = {"RSUB": "sub", "RDIV": "div", "RPOW": "pow"}
_NO_GATES = frozenset({"barrier", "delay", "id"})
#: Where imported formulas are compared with Qiskit's own values: any numbers without a pattern.
_PROBE = (0.37, 0.83, 0.59, 0.71, 0.43)
_AGREEMENT = 1e-9


def import_circuit(
    circuit: QuantumCircuit, parameters: Sequence[Any] | None = None, name: str | None = None, bandwidth: float = 1.0
) -> Circuit:
    """The circuit with its parameters as features, in Qiskit's order or the given one (parameters or their names).

    Raises CircuitError for what is no pure state of the features: measurements, resets, conditions; for formulas that
    have no counterpart here; and for a circuit without parameters.
    """
    _require_circuit(circuit)
    order = _ordered(circuit, parameters)
    basis = _in_known_gates(circuit)
    number = {parameter: index for index, parameter in enumerate(order)}
    gates = tuple(_gates(basis, number))
    phase = _expression(basis.global_phase, number)
    called = _printable(name or circuit.name or "imported")
    return Circuit(called, circuit.num_qubits, len(order), gates, phase, float(bandwidth))


def _require_circuit(circuit: Any) -> None:
    from qiskit.circuit import QuantumCircuit

    if not isinstance(circuit, QuantumCircuit):
        raise CircuitError(f"{type(circuit).__name__} is neither a feature map nor a Qiskit circuit")
    for instruction in circuit.data:
        _require_unitary(instruction.operation, bool(instruction.clbits))


def _require_unitary(operation: Any, classical: bool) -> None:
    from qiskit.circuit import ControlFlowOp, Gate

    if isinstance(operation, ControlFlowOp) or classical:
        raise CircuitError(
            f"the circuit holds {operation.name!r}, which uses classical bits; remove it before importing"
        )
    if operation.name in _NO_GATES or isinstance(operation, Gate):
        return
    inner = getattr(operation, "definition", None)
    if inner is None:
        raise CircuitError(f"the circuit holds {operation.name!r}, which is not a gate; remove it before importing")
    for instruction in inner.data:
        _require_unitary(instruction.operation, bool(instruction.clbits))


def _ordered(circuit: QuantumCircuit, parameters: Sequence[Any] | None) -> list[Any]:
    own = list(circuit.parameters)
    if not own:
        raise CircuitError(f"the circuit {circuit.name!r} has no parameters: every row would give the same state")
    if parameters is None:
        return own
    by_name = {parameter.name: parameter for parameter in own}
    order = [by_name.get(getattr(parameter, "name", str(parameter))) for parameter in parameters]
    if len(order) != len(own) or set(order) != set(own):
        raise CircuitError(f"the order must name each of the circuit's parameters once: {', '.join(by_name)}")
    return order


def _in_known_gates(circuit: QuantumCircuit) -> QuantumCircuit:
    """Level 0: gates are translated and nothing else, so that formulas stay as they were written."""
    from qiskit import transpile
    from qiskit.exceptions import QiskitError

    try:
        return transpile(circuit, basis_gates=sorted(SIGNATURES), optimization_level=0)
    except QiskitError as error:
        raise CircuitError(f"Qiskit cannot write the circuit {circuit.name!r} in basic gates: {error}") from error


def _gates(circuit: QuantumCircuit, number: Mapping[Any, int]) -> Iterator[Gate]:
    for instruction in circuit.data:
        operation = instruction.operation
        if operation.name in _NO_GATES:
            continue
        if operation.name not in SIGNATURES:
            raise CircuitError(f"the circuit holds {operation.name!r}, which cannot be imported")
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        yield Gate(operation.name, qubits, tuple(_expression(angle, number) for angle in operation.params))


def _expression(angle: Any, number: Mapping[Any, int]) -> Expression:
    """A Qiskit angle; checked against the values that Qiskit itself gives it."""
    from qiskit.circuit import ParameterExpression

    if not isinstance(angle, ParameterExpression):
        return constant(float(angle))
    if not angle.parameters:
        return constant(_real(angle.numeric(), angle))
    made = _replayed(angle, number)
    _require_agreement(made, angle, number)
    return made


def _require_agreement(made: Expression, angle: Any, number: Mapping[Any, int]) -> None:
    """How Qiskit keeps its formulas is its own affair: what was read must have the value that Qiskit computes."""
    point = {parameter: _PROBE[index % len(_PROBE)] + 0.01 * index for parameter, index in number.items()}
    theirs = _real(angle.bind({parameter: point[parameter] for parameter in angle.parameters}).numeric(), angle)
    ours = Evaluator([made], len(number)).values(np.array([[point[parameter]] for parameter in number]))[0, 0]
    if not math.isclose(ours, theirs, rel_tol=_AGREEMENT, abs_tol=_AGREEMENT):
        raise CircuitError(f"the angle {angle} was read as another formula ({ours} instead of {theirs})")


def _real(value: complex | float, angle: Any) -> float:
    if isinstance(value, complex):
        if abs(value.imag) > _AGREEMENT:
            raise CircuitError(f"the angle {angle} is a complex number")
        value = value.real
    return float(value)


def _replayed(angle: Any, number: Mapping[Any, int]) -> Expression:
    """Qiskit keeps how an expression was made: operations on a stack, whose operands are named or taken from it."""
    if angle in number:
        return feature(number[angle])
    stack: list[Expression] = []

    def operand(raw: Any) -> Expression:
        if raw is None:
            return stack.pop()
        return as_expression(raw) if isinstance(raw, int | float) else _replayed(raw, number)

    for instruction in angle._qpy_replay:
        made = _applied(instruction, operand, angle)  # takes its operands from the stack
        stack.append(made)
    return stack.pop()


def _applied(instruction: Any, operand: Any, angle: Any) -> Expression:
    operation = str(getattr(instruction, "op", instruction)).rpartition(".")[2]  # "OpCode.MUL"
    if operation in _UNARY:
        return apply(_UNARY[operation], operand(instruction.lhs))
    if operation == "CONJ":
        return operand(instruction.lhs)  # type: ignore[no-any-return]
    known = {**_BINARY, **_REVERSED}.get(operation)
    if known is None:
        raise CircuitError(f"the angle {angle} uses {operation.lower()}, which has no counterpart here")
    # The later operand lies on top of the stack.
    right = operand(instruction.rhs)
    left = operand(instruction.lhs)
    if operation in _REVERSED:
        left, right = right, left
    return _combined(known, left, right)


def _combined(operation: str, left: Expression, right: Expression) -> Expression:
    """By the operators, which keep constant factors in front, so that equal angles stay recognisable."""
    if operation == "add":
        return left + right
    if operation == "sub":
        return left - right
    return left * right if operation == "mul" else apply(operation, left, right)


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:100] or "imported"
