"""Both float32 paths on any plan: within the stated bound of the reference, of one another, and of other batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Hadamards, Phases
from scorer.engine.fast import GaussianScorer, ObservableScorer, float32_bound
from scorer.engine.quadratic import QuadraticScorer
from scorer.engine.reference import amplitudes, expectation
from scorer.engine.rows import RowsError, checked
from tests.unit.engine.bounds import BATCH_BOUND
from tests.unit.engine.strategies import observables, plans, plans_with_rows

PATHS = pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
SOME = settings(max_examples=80, deadline=None)
FEW = settings(max_examples=25, deadline=None)


def many_rows(features: int, count: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).uniform(-0.5, 1.5, (count, features))


@PATHS
@SOME
@given(data=st.data())
def test_any_plan_scores_as_the_reference_within_the_bound(compiled: bool, data: st.DataObject) -> None:
    plan, Z = data.draw(plans_with_rows(most_qubits=6))
    values, vectors = data.draw(observables(plan.qubits))
    scores = ObservableScorer(plan, values, vectors, compiled=compiled)(Z)
    exact = expectation(values, vectors, amplitudes(plan, Z))
    assert np.abs(scores - exact).max() <= float32_bound(plan) * np.abs(values).sum()


@SOME
@given(data=st.data())
def test_the_compiled_path_is_numpys_within_twice_the_bound(data: st.DataObject) -> None:
    plan = data.draw(plans(most_qubits=7))
    values, vectors = data.draw(observables(plan.qubits))
    Z = many_rows(plan.features, 150)
    numpy, compiled = (ObservableScorer(plan, values, vectors, compiled=path)(Z) for path in (False, True))
    assert np.abs(numpy - compiled).max() <= 2.0 * float32_bound(plan) * np.abs(values).sum()


@PATHS
@FEW
@given(data=st.data())
def test_any_plans_scores_do_not_depend_on_the_batch(compiled: bool, data: st.DataObject) -> None:
    plan = data.draw(plans(most_qubits=6))
    values, vectors = data.draw(observables(plan.qubits))
    scorer = ObservableScorer(plan, values, vectors, compiled=compiled)
    Z = many_rows(plan.features, 2 * scorer.chunk + 3)
    together, limit = scorer(Z), BATCH_BOUND * np.abs(values).sum()
    order = np.random.default_rng(2).permutation(len(Z))
    assert np.abs(scorer(Z[order]) - together[order]).max() <= limit
    size = data.draw(st.integers(1, 2 * scorer.chunk))
    first = data.draw(st.integers(0, len(Z) - size))
    assert np.abs(scorer(Z[first : first + size]) - together[first : first + size]).max() <= limit


@PATHS
@FEW
@given(case=plans_with_rows(most_qubits=5))
def test_the_identity_gives_every_row_its_norm(compiled: bool, case: tuple[Plan, Any]) -> None:
    plan, Z = case
    size = 2**plan.qubits
    scores = ObservableScorer(plan, np.ones(size), np.eye(size, dtype=np.complex128), compiled=compiled)(Z)
    assert np.abs(scores - 1.0).max() <= float32_bound(plan) * size


@PATHS
@FEW
@given(case=plans_with_rows(most_qubits=5))
def test_a_rows_own_state_gives_it_one(compiled: bool, case: tuple[Plan, Any]) -> None:
    plan, Z = case
    own = amplitudes(plan, Z[:1])
    score = ObservableScorer(plan, np.ones(1), own, compiled=compiled)(Z)[0]
    assert abs(score - 1.0) <= float32_bound(plan)


@PATHS
@pytest.mark.parametrize("qubits", range(1, 13))
def test_every_number_of_qubits_is_transformed(qubits: int, compiled: bool) -> None:
    """Passes over runs of qubits are cut in other places for every number: each place is looked at."""
    phases = Phases(tuple((1 << k, k) for k in range(qubits)))
    plan = ObservablePlan(qubits, (Hadamards(2**qubits - 1), phases, Hadamards(2**qubits - 1), phases))
    Z = many_rows(qubits, 5)
    psi = amplitudes(plan.plan, Z)
    scores = ObservableScorer(plan, np.ones(1), psi[:1], compiled=compiled)(Z)
    assert np.abs(scores - np.abs(psi @ psi[0].conj()) ** 2).max() <= float32_bound(plan)


@PATHS
@pytest.mark.parametrize("mask", [0b1, 0b1000, 0b110, 0b1011010, 0b1111000, 0b1110111])
def test_hadamards_on_some_qubits_are_transformed_where_they_lie(mask: int, compiled: bool) -> None:
    everything, phases = 2**7 - 1, Phases(tuple((1 << k | 1 << (k + 1) % 7, k) for k in range(7)))
    plan = ObservablePlan(7, (Hadamards(everything), phases, Hadamards(mask), phases, Hadamards(mask), phases))
    Z = many_rows(7, 9)
    psi = amplitudes(plan.plan, Z)
    scores = ObservableScorer(plan, np.ones(1), psi[3:4], compiled=compiled)(Z)
    assert np.abs(scores - np.abs(psi @ psi[3].conj()) ** 2).max() <= float32_bound(plan)


class ObservablePlan:
    """A feature map that has a plan and nothing else: all that a scorer may ask for."""

    def __init__(self, qubits: int, steps: Any) -> None:
        from scorer.circuits.expressions import feature

        angles = tuple((1.0 + 0.1 * k) * feature(k) for k in range(qubits))
        self.plan = Plan("small", qubits, qubits, 1.0, angles, tuple(steps))


@PATHS
@SOME
@given(data=st.data())
def test_gaussians_are_the_textbooks_within_the_bound(compiled: bool, data: st.DataObject) -> None:
    features, support = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 12))
    gamma = data.draw(st.floats(0.01, 50.0))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    S, weights, Z = rng.random((support, features)), rng.normal(size=support), rng.random((7, features))
    exact = np.exp(-gamma * np.square(Z[:, None] - S).sum(-1)) @ weights
    found = GaussianScorer(S, weights, gamma, compiled=compiled)(Z)
    assert np.abs(found - exact).max() <= 1e-6 * (1.0 + gamma * features / 4.0) * np.abs(weights).sum()


@PATHS
@pytest.mark.parametrize("gamma", [1e4, 1e6])
def test_gaussians_far_from_every_support_are_nothing(gamma: float, compiled: bool) -> None:
    scorer = GaussianScorer(np.zeros((5, 3)), np.ones(5), gamma, compiled=compiled)
    assert np.abs(scorer(np.ones((4, 3)))).max() <= 1e-30


@SOME
@given(st.integers(1, 6), st.integers(1, 40), st.floats(0.1, 5.0), st.integers(0, 99))
def test_quadratic_forms_are_the_textbooks(features: int, support: int, gamma: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    S, vectors, values = rng.random((support, features)), rng.normal(size=(3, support)), rng.normal(size=3)
    Z = rng.random((6, features))
    kernel = np.exp(-gamma * np.square(Z[:, None] - S).sum(-1))
    exact = np.square(kernel @ vectors.T) @ values
    most = float(np.abs(values) @ np.abs(vectors).sum(1) ** 2)
    assert np.abs(QuadraticScorer(S, vectors, values, gamma)(Z) - exact).max() <= 1e-5 * most


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513])
def test_quadratic_forms_take_any_number_of_rows(count: int) -> None:
    scorer = QuadraticScorer(np.full((2, 3), 0.5), np.eye(2), np.ones(2), 1.0)
    Z = many_rows(3, count)
    exact = 2.0 * np.exp(-2.0 * np.square(Z - 0.5).sum(1))
    assert scorer(Z).shape == (count,)
    assert np.abs(scorer(Z) - exact).max(initial=0.0) <= 1e-5


@given(st.integers(1, 5), st.integers(0, 5), st.data())
def test_rows_are_named_where_they_hold_no_number(features: int, count: int, data: st.DataObject) -> None:
    Z = np.ones((count + 1, features))
    row = data.draw(st.integers(0, count))
    Z[row, data.draw(st.integers(0, features - 1))] = data.draw(st.sampled_from((np.nan, np.inf, -np.inf)))
    with pytest.raises(RowsError, match=f"1 of {count + 1} rows hold NaN or infinity, row {row} first"):
        checked(Z, features)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3,), "one row of 3 numbers, where a table of rows is needed"),
        ((3, 3, 1), r"rows of shape \(3, 3, 1\); a table is needed"),
        ((2, 4), "this model takes 3 scaled features each"),
    ],
)
def test_rows_of_another_shape_are_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(RowsError, match=words):
        checked(np.zeros(shape), 3)


def test_rows_are_handed_on_as_float64() -> None:
    assert checked(np.ones((2, 3), np.float32), 3).dtype == np.float64
    huge = np.full((2, 3), 1e308)
    assert checked(huge, 3) is huge
