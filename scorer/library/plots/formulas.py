"""Formulas of angles as people write them: ``2 (π - x0) (π - x1)``."""

from __future__ import annotations

import math

from scorer.circuits.expressions import ARITY, Expression, Token

_SIGNS = {"add": " + ", "sub": " - ", "mul": " ", "div": " / ", "pow": "^"}
#: How closely an operation binds; a number or a feature binds closest.
_BINDS = {"add": 1, "sub": 1, "mul": 2, "div": 2, "pow": 3}
_LEAF = 4
_PARTS = (1, 2, 3, 4, 6, 8)


def formula(expression: Expression) -> str:
    """Write an expression in infix notation; numbers to four digits, multiples of π as such."""
    stack: list[tuple[str, int]] = []
    for token in expression.program:
        arity = ARITY.get(token, 0) if isinstance(token, str) else 0
        operands = stack[len(stack) - arity :]
        del stack[len(stack) - arity :]
        stack.append(_written(token, operands))
    return stack[0][0]


def _written(part: Token, operands: list[tuple[str, int]]) -> tuple[str, int]:
    if isinstance(part, float):
        return number(part), _LEAF if part >= 0.0 else _BINDS["add"]
    if not operands:
        return part, _LEAF
    if len(operands) == 2:
        return _joined(part, *operands)
    if part == "neg":
        return _negative(operands[0])
    return f"{part}({operands[0][0]})", _LEAF


def _joined(operation: str, left: tuple[str, int], right: tuple[str, int]) -> tuple[str, int]:
    if operation == "mul" and left[0] == "-1":
        return _negative(right)
    if operation == "add" and right[0].startswith("-"):
        return f"{left[0]} - {right[0].removeprefix('-')}", _BINDS["add"]
    binds = _BINDS[operation]
    # What stands to the right of a minus or a division, or is the base of a power, needs brackets at equal strength.
    first = _bracketed(left, binds + (operation == "pow"))
    return f"{first}{_SIGNS[operation]}{_bracketed(right, binds + (operation in ('sub', 'div')))}", binds


def _negative(operand: tuple[str, int]) -> tuple[str, int]:
    return f"-{_bracketed(operand, _BINDS['mul'])}", _BINDS["add"]


def _bracketed(operand: tuple[str, int], binds: int) -> str:
    text, own = operand
    return text if own >= binds else f"({text})"


def number(value: float) -> str:
    """Write a number to four digits, or as a multiple of π with a small denominator."""
    for part in _PARTS:
        times = value * part / math.pi
        if 0.5 < abs(times) < 100.5 and abs(times - round(times)) < 1e-9:
            whole = {1: "", -1: "-"}.get(round(times), str(round(times)))
            return f"{whole}π" + (f"/{part}" if part > 1 else "")
    return f"{value:.4g}"
