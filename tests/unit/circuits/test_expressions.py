"""Angles as formulas: their values and slopes for whole batches, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.errors import AngleError, CircuitError
from scorer.circuits.evaluate import Evaluator
from scorer.circuits.expressions import (
    ARITY,
    BINARY,
    UNARY,
    Expression,
    apply,
    check_program,
    constant,
    feature,
    largest,
    split_factor,
)

x, y, z = feature(0), feature(1), feature(2)
ROWS = np.random.default_rng(3).uniform(0.2, 0.9, (3, 7))


def by_hand(expression: Expression, row: np.ndarray[Any, Any]) -> float:
    """The value of one row by a stack in plain Python."""
    stack: list[float] = []
    for token in expression.program:
        if isinstance(token, float):
            stack.append(token)
        elif token in ARITY:
            operands = [stack.pop() for _ in range(ARITY[token])][::-1]
            functions: dict[str, Callable[..., float]] = {**UNARY, **BINARY}
            stack.append(functions[token](*operands))
        else:
            stack.append(float(row[int(token[1:])]))
    (value,) = stack
    return value


ALL = [apply(name, x * y + 0.05) for name in UNARY] + [apply(name, x + 0.3, y * 2.0) for name in BINARY]


@pytest.mark.parametrize("expression", ALL, ids=[*UNARY, *BINARY])
def test_every_operation_has_its_value_and_its_slope(expression: Expression) -> None:
    evaluator = Evaluator([expression], 3)
    values = evaluator.values(ROWS)[0]
    assert values == pytest.approx([by_hand(expression, row) for row in ROWS.T], rel=1e-14)
    slopes = evaluator.pullback(ROWS, np.ones((1, ROWS.shape[1])))
    for k in range(3):
        step = np.zeros((3, 1))
        step[k] = 1e-6
        expected = (evaluator.values(ROWS + step) - evaluator.values(ROWS - step))[0] / 2e-6
        assert slopes[k] == pytest.approx(expected, rel=1e-6, abs=1e-8)


leaves = st.one_of(st.sampled_from([x, y, z]), st.floats(-3, 3).map(constant))


def _binary(operands: tuple[str, Expression, Expression]) -> Expression:
    return apply(*operands)


formulas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul"]), inner, inner).map(_binary),
        inner.map(lambda e: apply("sin", e)),
        inner.map(lambda e: apply("atan", e)),
        inner.map(lambda e: -e),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(formulas, min_size=1, max_size=6))
def test_batches_of_formulas_that_share_parts(expressions: list[Expression]) -> None:
    evaluator = Evaluator(expressions, 3)
    expected = [[by_hand(expression, row) for row in ROWS.T] for expression in expressions]
    assert evaluator.values(ROWS) == pytest.approx(np.array(expected), rel=1e-12, abs=1e-12)
    weights = np.arange(1.0, len(expressions) + 1)[:, None] * np.ones(ROWS.shape[1])
    slopes = evaluator.pullback(ROWS, weights)
    step = np.zeros((3, 1))
    step[0] = 1e-6
    change = (weights * (evaluator.values(ROWS + step) - evaluator.values(ROWS - step))).sum(0) / 2e-6
    assert slopes[0] == pytest.approx(change, rel=1e-5, abs=1e-4)


def test_constants_are_folded_and_factors_meet() -> None:
    assert (constant(2.0) + 3.0).value == 5.0
    assert (0.5 * (2.0 * x)) == x
    assert split_factor(3.0 * (x + y)) == (3.0, x + y)
    assert split_factor(x * y) == (1.0, x * y)
    assert (x + 0.0) == x
    assert (0.0 * x).value == 0.0


@pytest.mark.parametrize(
    ("expression", "row"), [(apply("log", x), 0.0), (1.0 / x, 0.0), (apply("sqrt", x), -1.0), (apply("exp", x), 1e4)]
)
def test_a_row_without_an_angle_is_named(expression: Expression, row: float) -> None:
    with pytest.raises(AngleError, match="angle 1 has no finite value, or one beyond 1e\\+09, on 1 of 2 rows"):
        Evaluator([x, expression], 1).values(np.array([[0.5, row]]))


def test_angles_of_which_float64_has_no_digits_left_are_none() -> None:
    """Phases add angles up: those of 1e308 gave states of NaN."""
    rows = np.array([[1.0, 10.0, -10.0, 1e308]])
    for size in (1.0, 1e308):
        made = Evaluator([size * x, 1e8 * x], 1)
        expected = [size == 1.0] + [size == 1.0] * 2 + [False]
        assert made.defined(rows).tolist() == expected
        with pytest.raises(AngleError, match=f"on {4 - sum(expected)} of 4 rows"):
            made.values(rows)
    assert Evaluator([1e8 * x], 1).values(np.full((1, 3000), 10.0)).tolist() == [[1e9] * 3000]


@pytest.mark.parametrize(
    "expression",
    [
        2.0 * ((math.pi - x) * (math.pi - x)),
        x - 3.0 * apply("sin", x * x * x),
        apply("abs", -1.0 * x) + apply("cos", x) * apply("atan", 1e6 * x),
        apply("neg", x) - 0.5,
    ],
)
def test_a_formulas_bound_holds(expression: Expression) -> None:
    values = Evaluator([expression], 1).values(np.linspace(-7.0, 7.0, 4001)[None])
    bound = largest(expression, 7.0)
    assert np.abs(values).max() <= bound < 1e3


def test_formulas_of_which_nothing_can_be_said_have_no_bound() -> None:
    for expression in (1.0 / x, apply("exp", x), x**2, 1e300 * x * x, apply("sin", (1e300 * x) * (1e300 * x))):
        assert not largest(expression, 100.0) <= 1e9


def test_a_formula_without_a_slope_costs_its_feature_and_row_alone() -> None:
    made = Evaluator([apply("sqrt", x), y * y], 2).pullback(np.array([[0.0, 0.25], [3.0, 4.0]]), np.ones((2, 2)))
    assert made.tolist() == [[math.inf, 1.0], [6.0, 8.0]]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ((), "leaves 0 values"),
        (("add",), "lacks an operand"),
        (("x0", "add"), "lacks an operand"),
        (("x0", "x1"), "leaves 2 values"),
        (("x2",), "no feature below x2"),
        (("x01",), "no operation"),
        (("system",), "no operation"),
        ((math.nan,), "finite"),
        ((math.inf,), "finite"),
        ((1,), "finite floating-point"),
        ((True,), "finite floating-point"),
        ((None,), "finite floating-point"),
        ((["x0"],), "finite floating-point"),
    ],
)
def test_hostile_programs_are_refused(program: tuple[Any, ...], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        check_program(program, 2)


def test_constants_without_a_value_are_refused() -> None:
    builds: list[Callable[[], Expression]] = [
        lambda: constant(math.inf),
        lambda: apply("log", constant(0.0)),
        lambda: constant(1.0) / 0.0,
    ]
    for build in builds:
        with pytest.raises(CircuitError):
            build()
    with pytest.raises(CircuitError):
        Evaluator([Expression((0.0, "log"))], 1)


def test_features_are_numbered_within_bounds() -> None:
    for index in (-1, 64, 1.0, True):
        with pytest.raises(CircuitError):
            feature(index)  # type: ignore[arg-type]
