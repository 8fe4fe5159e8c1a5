"""Qiskit's angles as formulas of ours, held against the values that Qiskit itself gives them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scorer.circuits.errors import AngleError, CircuitError
from scorer.circuits.evaluate import Evaluator
from scorer.circuits.expressions import Expression, apply, as_expression, constant, feature

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
#: Where imported formulas are compared with Qiskit's own values: any numbers without a pattern.
_PROBE = (0.37, 0.83, 0.59, 0.71, 0.43)
#: The probe is also shifted and shrunk by these: a formula may have no value on a part of the line.
_PLACES = ((0.0, 1.0), (0.0, 0.3), (-1.0, 1.0), (0.5, 6.0), (0.0, -1.0))
_AGREEMENT = 1e-9


def expression_of(angle: Any, number: Mapping[Any, int]) -> Expression:
    """Read a Qiskit angle, a number or an expression of the parameters in ``number``; raises CircuitError."""
    from qiskit.circuit import ParameterExpression

    if not isinstance(angle, ParameterExpression):
        return constant(_real(angle, angle))
    if not angle.parameters:
        return constant(_real(angle.numeric(), angle))
    unknown = sorted(parameter.name for parameter in angle.parameters if parameter not in number)
    if unknown:
        raise CircuitError(f"the angle {angle} holds {', '.join(unknown)}, which the circuit does not list")
    made = _replayed(angle, number)
    _require_agreement(made, angle, number)
    return made


def _require_agreement(made: Expression, angle: Any, number: Mapping[Any, int]) -> None:
    """Compare what was read with Qiskit's own values: how Qiskit keeps its formulas is its own affair."""
    ours, evaluator = None, Evaluator([made], len(number))
    for shift, factor in _PLACES:
        point = {p: shift + factor * (_PROBE[index % len(_PROBE)] + 0.01 * index) for p, index in number.items()}
        try:
            ours = evaluator.values(np.array([[point[parameter]] for parameter in number]))[0, 0]
        except AngleError:
            continue
        theirs = _real(angle.bind({parameter: point[parameter] for parameter in angle.parameters}).numeric(), angle)
        if not math.isclose(ours, theirs, rel_tol=_AGREEMENT, abs_tol=_AGREEMENT):
            raise CircuitError(f"the angle {angle} was read as another formula ({ours} instead of {theirs})")
    if ours is None:
        raise CircuitError(f"the angle {angle} has no value at any point where it was tried, from -1 to 6")


def _real(value: Any, angle: Any) -> float:
    if isinstance(value, complex):
        if abs(value.imag) > _AGREEMENT:
            raise CircuitError(f"the angle {angle} is a complex number")
        value = value.real
    return float(value)


def _replayed(angle: Any, number: Mapping[Any, int]) -> Expression:
    """Qiskit keeps how an expression was made: operations on a stack, whose operands are named or taken from it."""
    from qiskit.circuit import Parameter

    # By class: Qiskit 2.6 cannot hash every expression, 0 * x - 0.3 for one.
    if isinstance(angle, Parameter):
        return feature(number[angle])
    stack: list[Expression] = []

    def operand(raw: Any) -> Expression:
        if raw is None:
            return stack.pop()
        if isinstance(raw, complex):
            return constant(_real(raw, angle))
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
