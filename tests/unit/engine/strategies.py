"""Hypothesis strategies: plans of every kind of step, rows for them, observables. They shrink to few steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from scorer.circuits.expressions import Expression, apply, feature
from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, LocalGate, Phases, Step

Array = NDArray[np.float64]

_ANGLES = 3
_FACTORS = st.floats(-3.0, 3.0, allow_nan=False).map(lambda value: round(value, 3) or 0.5)
_RADIANS = st.floats(-7.0, 7.0, allow_nan=False).map(lambda value: round(value, 3))


@st.composite
def expressions(draw: st.DrawFn, features: int) -> Expression:
    """A formula that depends on the row, and has a slope everywhere."""
    first, second = (feature(draw(st.integers(0, features - 1))) for _ in range(2))
    kind = draw(st.sampled_from(("linear", "product", "sine")))
    if kind == "linear":
        return draw(_FACTORS) * first
    return draw(_FACTORS) * (first * second if kind == "product" else apply("sin", first + second))


def masks(qubits: int) -> st.SearchStrategy[int]:
    """Sets of qubits that are not empty."""
    return st.integers(1, 2**qubits - 1)


def hadamards(qubits: int) -> st.SearchStrategy[Step]:
    return st.one_of(st.just(Hadamards(2**qubits - 1)), masks(qubits).map(Hadamards))


@st.composite
def phases(draw: st.DrawFn, qubits: int, constant: bool) -> Step:
    terms = st.tuples(masks(qubits), st.integers(0, _ANGLES - 1))
    drawn = () if constant else tuple(draw(st.lists(terms, min_size=1, max_size=4)))
    constants = draw(st.lists(st.tuples(masks(qubits), _RADIANS), min_size=int(constant), max_size=2))
    return Phases(drawn, tuple(constants))


@st.composite
def affine(draw: st.DrawFn, qubits: int) -> Step:
    """CX after CX: every map that has an inverse is one of these."""
    rows = [1 << i for i in range(qubits)]
    pairs = st.tuples(st.integers(0, qubits - 1), st.integers(0, qubits - 1))
    for target, control in draw(st.lists(pairs, max_size=6)):
        if target != control:
            rows[target] ^= rows[control]
    return Affine(tuple(rows), draw(st.integers(0, 2**qubits - 1)))


@st.composite
def local(draw: st.DrawFn, qubits: int, constant: bool) -> Step:
    def gate(name: str) -> st.SearchStrategy[LocalGate]:
        if name in ("h", "x"):
            return st.just((name, None))
        angle = _RADIANS if constant else st.one_of(_RADIANS, st.integers(0, _ANGLES - 1))
        return st.tuples(st.just(name), angle)

    gates = st.sampled_from(("rx", "ry", "rz", "p", "h", "x")).flatmap(gate)
    return Local(draw(st.integers(0, qubits - 1)), tuple(draw(st.lists(gates, min_size=1, max_size=3))))


def constant_steps(qubits: int) -> st.SearchStrategy[Step]:
    """Steps that no row's angle changes."""
    return st.one_of(hadamards(qubits), phases(qubits, True), affine(qubits), local(qubits, True))


def steps(qubits: int) -> st.SearchStrategy[Step]:
    fixed = st.lists(constant_steps(qubits), min_size=1, max_size=3).map(lambda run: Fixed(tuple(run)))
    return st.one_of(hadamards(qubits), phases(qubits, False), affine(qubits), local(qubits, False), fixed)


@st.composite
def plans(draw: st.DrawFn, most_qubits: int = 5, most_steps: int = 8) -> Plan:
    """Any plan; as many features as qubits."""
    qubits = draw(st.integers(1, most_qubits))
    angles = tuple(draw(expressions(qubits)) for _ in range(_ANGLES))
    drawn = draw(st.lists(steps(qubits), max_size=most_steps))
    return Plan("drawn", qubits, qubits, draw(st.sampled_from((0.3, 1.0, 2.5))), angles, tuple(drawn))


@st.composite
def rows(draw: st.DrawFn, features: int, most: int = 6) -> Array:
    """Scaled features (N, features)."""
    values = st.floats(-0.5, 1.5, allow_nan=False, width=32)
    row = st.lists(values, min_size=features, max_size=features)
    return np.array(draw(st.lists(row, min_size=1, max_size=most)), np.float64)


@st.composite
def plans_with_rows(draw: st.DrawFn, most_qubits: int = 5, most_rows: int = 6) -> tuple[Plan, Array]:
    plan = draw(plans(most_qubits))
    return plan, draw(rows(plan.features, most_rows))


@st.composite
def observables(draw: st.DrawFn, qubits: int) -> tuple[Array, NDArray[np.complex128]]:
    """Eigenvalues (r,) and orthonormal vectors (r, 2^n)."""
    rank = draw(st.integers(1, 2**qubits))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    square: Any = rng.normal(size=(2**qubits, rank)) + 1j * rng.normal(size=(2**qubits, rank))
    return rng.normal(size=rank), np.ascontiguousarray(np.linalg.qr(square)[0].T)
