"""Line, bands and risk: by hand, and never at odds with one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.models.calibration import Platt
from scorer.models.decision import CRITICAL, HIGH, LOW, MAX_FPR, MEDIUM, DecisionError, DecisionRule


def test_the_line_by_hand() -> None:
    rule = DecisionRule(np.arange(999.0), 0.01)
    # 10 / 1000 = fpr: nine benign scores may be at least as high, 990 to 998.
    assert rule.line == 989.0
    p = rule.pvalues(np.array([989.0, 989.5, 990.0, 998.5]))
    assert p.tolist() == [0.011, 0.01, 0.01, 0.001]
    assert rule.bands(p).tolist() == [MEDIUM, HIGH, HIGH, CRITICAL]


def test_bands_by_hand() -> None:
    rule = DecisionRule(np.arange(9999.0), 0.01)
    p = np.array([1.0, 0.0501, 0.05, 0.0101, 0.01, 0.0011, 0.001, 0.0001])
    assert rule.bands(p).tolist() == [LOW, LOW, MEDIUM, MEDIUM, HIGH, HIGH, CRITICAL, CRITICAL]


def test_above_every_benign_row_is_critical_even_when_few_were_held_out() -> None:
    rule = DecisionRule(np.arange(99.0), 0.01)
    assert rule.bands(rule.pvalues(np.array([98.0, 98.1]))).tolist() == [MEDIUM, CRITICAL]


@settings(max_examples=200, deadline=None)
@given(
    benign=st.lists(st.floats(-3, 3), min_size=5, max_size=200),
    scores=st.lists(st.floats(-1e6, 1e6) | st.floats(-4, 4), min_size=2, max_size=40),
    fpr=st.floats(0.001, MAX_FPR),
)
def test_probability_pvalue_band_and_risk_never_contradict_each_other(
    benign: list[float], scores: list[float], fpr: float
) -> None:
    try:
        rule = DecisionRule(np.sort(np.array(benign)), fpr)
    except DecisionError:
        assert fpr * (len(benign) + 1) < 1.0
        return
    s = np.sort(np.array(scores + benign))
    p, probability = rule.pvalues(s), Platt(1.7, -2.0).probability(s)
    bands, risks = rule.bands(p), rule.risks(s, p)
    assert (np.diff(p) <= 0).all()
    assert (np.diff(probability) >= 0).all()
    assert (np.diff(bands) >= 0).all()
    assert (np.diff(risks) >= 0).all()
    assert ((p <= fpr) == (s > rule.line)).all()
    assert ((p <= fpr) == (bands >= HIGH)).all()
    assert ((risks >= 80) == (bands == CRITICAL)).all()
    assert ((risks >= 60) == (bands >= HIGH)).all()
    assert ((risks >= 40) == (bands >= MEDIUM)).all()
    assert risks.min() >= 0
    assert risks.max() <= 100


@pytest.mark.parametrize(
    ("benign", "fpr", "complaint"),
    [
        ([1.0, 0.0], 0.1, "sorted"),
        ([np.nan], 0.1, "finite"),
        ([0.0] * 98, 0.01, "98 held-out benign rows cannot set a line at 0.01; 99 can"),
        ([], 0.1, "cannot set a line"),
        ([0.0] * 100, 0.0, "false-positive rate of 0.0"),
        ([0.0] * 100, 0.2, "false-positive rate of 0.2"),
        ([0.0] * 100, np.nan, "false-positive rate of nan"),
    ],
)
def test_impossible_rules_are_refused(benign: list[float], fpr: float, complaint: str) -> None:
    with pytest.raises(DecisionError, match=complaint):
        DecisionRule(np.array(benign), fpr)
