"""Angles as functions of the features: postfix programs, built with the usual operators, checked when they are read.

A program is a tuple of tokens: ``"x3"`` pushes feature 3, a float pushes itself, an operation takes its operands from
the stack and pushes its result. ``2 (pi - x0)`` is ``(2.0, 3.14159..., "x0", "sub", "mul")``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from scorer.circuits.errors import CircuitError
from scorer.circuits.scalars import real, whole

MAX_FEATURES = 64
#: Radians. Beyond, float64 has too few digits left to say where on the circle an angle is, and sums may overflow.
MAX_ANGLE = 1e9

UNARY: dict[str, Callable[[float], float]] = {
    "neg": lambda a: -a,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "exp": math.exp,
    "log": math.log,
    "abs": abs,
    "sqrt": math.sqrt,
}
BINARY: dict[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": math.pow,
}
ARITY = {**dict.fromkeys(UNARY, 1), **dict.fromkeys(BINARY, 2)}
#: Operations that have no value, or none in floating point, on some numbers.
PARTIAL = frozenset(("div", "pow", "tan", "asin", "acos", "exp", "log", "sqrt"))

Token = str | float
_FEATURES = {f"x{i}": i for i in range(MAX_FEATURES)}


@dataclass(frozen=True)
class Expression:
    """A real function of the features x. Equal programs are equal expressions. Build with ``feature`` and operators."""

    program: tuple[Token, ...]
    #: NumPy's scalars leave operators to this class.
    __array_ufunc__ = None

    @property
    def value(self) -> float | None:
        """The number that it is, or None where it depends on a feature."""
        token = self.program[0]
        return token if len(self.program) == 1 and isinstance(token, float) else None

    def __add__(self, other: Expression | float) -> Expression:
        return add(self, as_expression(other))

    def __radd__(self, other: float) -> Expression:
        return add(as_expression(other), self)

    def __sub__(self, other: Expression | float) -> Expression:
        other = as_expression(other)
        return self if other.value == 0.0 else apply("sub", self, other)

    def __rsub__(self, other: float) -> Expression:
        return apply("sub", as_expression(other), self)

    def __mul__(self, other: Expression | float) -> Expression:
        return mul(self, as_expression(other))

    def __rmul__(self, other: float) -> Expression:
        return mul(as_expression(other), self)

    def __truediv__(self, other: Expression | float) -> Expression:
        return apply("div", self, as_expression(other))

    def __rtruediv__(self, other: float) -> Expression:
        return apply("div", as_expression(other), self)

    def __pow__(self, other: Expression | float) -> Expression:
        return apply("pow", self, as_expression(other))

    def __rpow__(self, other: float) -> Expression:
        return apply("pow", as_expression(other), self)

    def __neg__(self) -> Expression:
        return mul(constant(-1.0), self)


def feature(index: int) -> Expression:
    """Make the expression of feature ``index``, already multiplied by the bandwidth.

    Raises CircuitError where ``index`` is not from 0 to MAX_FEATURES - 1.
    """
    index = whole(index)
    if type(index) is not int or not 0 <= index < MAX_FEATURES:
        raise CircuitError(f"feature {index!r}; features are numbered from 0 to {MAX_FEATURES - 1}")
    return Expression((f"x{index}",))


def constant(value: float) -> Expression:
    """Make the expression of a number that no row changes. Raises CircuitError where it is none, or not finite."""
    number = real(value)
    if type(number) is not float:
        raise CircuitError(f"an angle holds {str(value)[:40]!r}, which is neither a number nor a formula of features")
    if not math.isfinite(number):
        raise CircuitError(f"an angle holds the constant {value!r}; constants must be finite")
    return Expression((number,))


ZERO = constant(0.0)


def as_expression(value: Expression | float) -> Expression:
    """Make a constant of a number; raises CircuitError where it is not finite."""
    return value if isinstance(value, Expression) else constant(value)


def apply(operation: str, *operands: Expression) -> Expression:
    """Apply the operation to its operands; constants are folded."""
    values = [operand.value for operand in operands]
    if all(value is not None for value in values):
        return _folded(operation, [value for value in values if value is not None])
    return Expression((*(token for operand in operands for token in operand.program), operation))


def add(left: Expression, right: Expression) -> Expression:
    """Add left and right; zeros are left out."""
    if left.value == 0.0:
        return right
    return left if right.value == 0.0 else apply("add", left, right)


def mul(left: Expression, right: Expression) -> Expression:
    """Multiply left and right; a constant factor stands first and meets the constant factor of the other side."""
    if right.value is not None and left.value is None:
        left, right = right, left
    if left.value is None or right.value is not None:
        return apply("mul", left, right)
    factor, rest = split_factor(right)
    factor *= left.value
    if factor == 0.0:
        return constant(0.0)
    return rest if factor == 1.0 else apply("mul", constant(factor), rest)


def split_factor(expression: Expression) -> tuple[float, Expression]:
    """Split ``c * rest`` into (c, rest) where the expression is made so; else give (1, expression)."""
    program = expression.program
    if len(program) > 2 and program[-1] == "mul" and isinstance(program[0], float) and _is_one_value(program[1:-1]):
        return program[0], Expression(program[1:-1])
    return 1.0, expression


def check_program(program: Iterable[Any], features: int) -> int:
    """Check a program that may come from anywhere and count its tokens; raises CircuitError naming the token."""
    depth = count = 0
    for token in program:
        count += 1
        if isinstance(token, str) and token in ARITY:
            depth -= ARITY[token] - 1
            if depth < 1:
                raise CircuitError(f"an angle's {token!r} (token {count}) lacks an operand")
            continue
        _check_leaf(token, count, features)
        depth += 1
    if depth != 1:
        raise CircuitError(f"an angle's program leaves {depth} values instead of one")
    return count


def _check_leaf(token: Any, count: int, features: int) -> None:
    if isinstance(token, str):
        if _FEATURES.get(token, MAX_FEATURES) < features:
            return
        raise CircuitError(
            f"an angle's token {count} is {token[:40]!r}: no operation, and no feature below x{features}"
        )
    if type(token) is not float or not math.isfinite(token):
        raise CircuitError(f"an angle's token {count} is {str(token)[:40]!r}, not a finite floating-point number")


def largest(expression: Expression, size: float) -> float:
    """Bound |value| where no feature is larger than ``size``; infinite or NaN where nothing can be said."""
    stack: list[float] = []
    for token in expression.program:
        if isinstance(token, float):
            stack.append(abs(token))
        elif token not in ARITY:
            stack.append(size)
        elif token in PARTIAL:
            return math.inf
        elif token in ("sin", "cos", "atan"):
            # Of an infinite number, which a product may overflow to, sine and cosine have no value.
            stack[-1] = math.pi / 2.0 if stack[-1] < math.inf else math.inf
        elif token in BINARY:
            right = stack.pop()
            stack[-1] = stack[-1] + right if token in ("add", "sub") else stack[-1] * right
    return stack[0]


def feature_number(token: str) -> int | None:
    """Give the number of the feature that a token pushes, or None for an operation."""
    return _FEATURES.get(token)


def _folded(operation: str, values: list[float]) -> Expression:
    try:
        result = {**UNARY, **BINARY}[operation](*values)  # type: ignore[operator]
    except (ValueError, ArithmeticError):
        raise CircuitError(f"an angle holds {operation} of {values}, which has no value") from None
    return constant(result)


def _is_one_value(program: tuple[Token, ...]) -> bool:
    """Tell whether the tokens leave exactly one value and never reach below their own start."""
    depth = 0
    for token in program:
        depth += 1 - ARITY.get(token, 0) if isinstance(token, str) else 1
        if depth < 1:
            return False
    return depth == 1
