"""Platt's sigmoid and conformal p-values against independent computations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from scorer.models.calibration import CalibrationError, Platt, Ranks, fit_platt, pvalues


def sample(seed: int, count: int = 500) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = (rng.random(count) < 0.2).astype(np.int64)
    return rng.normal(y * 1.5, 1.0), y


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1000.0, 1e-3), (-5.0, 1e4)])
def test_newton_finds_the_minimum_of_platts_loss(shift: float, scale: float) -> None:
    s, y = sample(0)
    positives, negatives = y.sum(), (1 - y).sum()
    targets = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(theta: Any) -> float:
        logit = theta[0] * s + theta[1]
        return float(np.sum(np.logaddexp(0, logit) - targets * logit))

    best = minimize(loss, [1.0, 0.0], method="BFGS", options={"gtol": 1e-9, "maxiter": 500})
    platt = fit_platt(s * scale + shift, y)
    # In the units of the unscaled scores.
    found = [platt.slope * scale, platt.intercept + platt.slope * shift]
    assert found == pytest.approx(best.x, rel=1e-5)


def test_probabilities_are_calibrated_on_what_they_were_fitted_on() -> None:
    s, y = sample(1, 20_000)
    p = fit_platt(s, y).probability(s)
    assert p.mean() == pytest.approx(y.mean(), abs=1e-3)


def test_separable_scores_stay_finite() -> None:
    s = np.concatenate([np.zeros(50), np.ones(5)])
    p = fit_platt(s, (s > 0.5).astype(np.int64)).probability(s)
    assert 0.0 < p.min() < 0.05
    assert 0.8 < p.max() < 1.0


def test_prevalence_moves_odds_by_the_ratio_of_priors() -> None:
    platt = Platt(2.0, -1.0)
    rare = platt.at_prevalence(0.5, 0.01)
    p, q = platt.probability([0.3])[0], rare.probability([0.3])[0]
    assert (q / (1 - q)) / (p / (1 - p)) == pytest.approx((0.01 / 0.99) / (0.5 / 0.5))
    s, y = sample(2)
    assert fit_platt(s, y, prevalence=0.001) == fit_platt(s, y).at_prevalence(y.mean(), 0.001)


@pytest.mark.parametrize(
    ("scores", "labels", "complaint"),
    [
        ([1.0, 2.0, 3.0], [1, 0, 0], "do not mean more attacks"),
        ([1.0, 1.0], [0, 1], "same score"),
        ([1.0, 2.0], [0, 0], "both classes"),
        ([1.0, np.inf], [0, 1], "finite scores"),
        ([1.0, 2.0], [0, 2], "0 and 1"),
        ([1.0], [0, 1], "as many labels"),
    ],
)
def test_scores_that_cannot_be_calibrated_are_refused(scores: list[float], labels: list[int], complaint: str) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        fit_platt(scores, labels)


@pytest.mark.parametrize(("slope", "intercept"), [(0.0, 0.0), (-1.0, 0.0), (np.nan, 0.0), (1.0, np.inf)])
def test_a_falling_calibration_is_refused(slope: float, intercept: float) -> None:
    with pytest.raises(CalibrationError):
        Platt(slope, intercept)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_impossible_prevalence_is_refused(share: float) -> None:
    with pytest.raises(CalibrationError, match="share of attacks"):
        Platt(1.0, 0.0).at_prevalence(0.5, share)


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.lists(st.floats(-6, 6), min_size=1, max_size=10))
def test_pvalues_are_counts(benign: list[float], scores: list[float]) -> None:
    held = np.sort(np.array(benign))
    expected = [(1 + sum(b >= s for b in benign)) / (len(benign) + 1) for s in scores]
    assert pvalues(held, scores).tolist() == pytest.approx(expected)


def test_without_attacks_the_probability_is_the_share_of_normal_rows_that_score_lower() -> None:
    benign = np.arange(1.0, 100.0)  # 99 normal rows
    got = Ranks(benign).probability(np.array([0.5, 50.0, 200.0]))
    np.testing.assert_allclose(got, [0.0, 0.49, 0.99], atol=1e-12)
