"""Figures, intervals and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from scorer.training.dataset import Dataset
from scorer.training.evaluate import Evaluation, average_precision, evaluate, wilson_recall
from scorer.training.yardsticks import boosted_apart


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), st.integers(0, 1), st.integers(0, 3)), min_size=2, max_size=30
    )
)
def test_average_precision_is_scikit_learns(rows: list[tuple[float, int, int]]) -> None:
    scores, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    if (weights * y).sum() == 0:
        return
    expected = average_precision_score(y, scores, sample_weight=weights)
    assert average_precision(y, scores, weights.astype(float)) == pytest.approx(expected, abs=1e-12)


def test_recall_counts_only_lines_that_keep_the_false_positive_rate() -> None:
    y = np.array([0] * 100 + [1] * 10)
    scores = np.concatenate([np.arange(100.0), np.array([200.0] * 4 + [98.5] * 3 + [97.5] * 2 + [50.0])])
    assert wilson_recall(y, scores, 0.01).value == pytest.approx(0.7)
    assert wilson_recall(y, scores, 0.02).value == pytest.approx(0.9)
    assert wilson_recall(y, scores, 0.0).value == pytest.approx(0.4)
    inside = wilson_recall(y, scores, 0.01)
    assert 0.3 < inside.low < 0.7 < inside.high < 0.95


def test_intervals_are_of_whole_groups_where_rows_have_groups() -> None:
    """Thirty copies of each row tell nothing new: the interval is that of one copy, not of thirty times the rows."""
    rng = np.random.default_rng(2)
    y = (np.arange(60) % 3 == 0).astype(np.int64)
    scores = {"quantum": y + rng.normal(size=60), "twin": y + rng.normal(size=60)}
    copies = {name: np.repeat(values, 30) for name, values in scores.items()}
    once = evaluate(y, scores, None, 0.05, 0)
    rows = evaluate(np.repeat(y, 30), copies, None, 0.05, 0)
    groups = evaluate(np.repeat(y, 30), copies, np.repeat(np.arange(60), 30), 0.05, 0)

    def width(found: Evaluation) -> float:
        return found.metrics["quantum"].pr_auc.high - found.metrics["quantum"].pr_auc.low

    assert width(groups) == pytest.approx(width(once), rel=0.2)
    assert width(rows) < 0.5 * width(groups)
    assert (rows.attack_groups, groups.attack_groups) == (600, 20)


def test_a_difference_is_taken_on_the_same_draws_and_said_where_its_interval_says_it() -> None:
    rng = np.random.default_rng(4)
    y = (np.arange(600) % 10 == 0).astype(np.int64)
    shared = 1.5 * y + rng.normal(size=600)
    scores = {"quantum": shared, "twin": shared + 0.05 * rng.normal(size=600)}
    found = evaluate(y, scores, None, 0.01, 0)
    difference, own = found.minus["twin"], found.metrics["quantum"].pr_auc
    assert difference.high - difference.low < 0.3 * (own.high - own.low)
    assert difference.low < 0.0 < difference.high
    assert difference.value != 0.0
    assert found.verdict.startswith("No measurable difference")
    other = evaluate(y, {"quantum": scores["twin"], "twin": scores["quantum"]}, None, 0.01, 0)
    assert other.minus["twin"].value == -difference.value
    assert other.verdict.startswith("No measurable difference")


def judged(quantum: float, twin: float, groups: int) -> str:
    rng = np.random.default_rng(0)
    y = (np.arange(600) % 10 == 0).astype(np.int64)
    noise = rng.normal(size=600)
    scores = {
        name: strength * y + noise for name, strength in (("quantum", quantum), ("twin", twin), ("boosting", 1.0))
    }
    result = evaluate(y, scores, np.arange(600) % (10 * groups) // 10, 0.01, 0)
    assert result.to_dict()["base_rate"] == pytest.approx(0.1)
    return result.verdict


def test_the_verdict_says_no_more_than_was_measured() -> None:
    assert judged(3.0, 1.0, 30).startswith("The quantum model is better")
    assert judged(1.0, 3.0, 30).startswith("The RBF twin is better")
    assert judged(1.5, 1.5, 30).startswith("No measurable difference")
    assert "cannot be said: only 5 groups" in judged(3.0, 1.0, 5)


def test_boosting_beside_a_novelty_model_is_judged_on_rows_that_it_did_not_see() -> None:
    rng = np.random.default_rng(3)
    noise = Dataset(("a", "b"), rng.normal(size=(400, 2)), rng.integers(0, 2, 400), rng.integers(0, 40, 400))
    found = boosted_apart(noise, 0)
    assert found is not None
    assert 0.35 < roc_auc_score(noise.y, found) < 0.65  # near 1 on rows that it was fitted on
