"""Features and scaling, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scorer.rows.recipe import load_recipe
from scorer.rows.recipe.parts import Feature
from scorer.rows.transform import (
    CLIP,
    FeatureError,
    Scaler,
    derive,
    in_units,
    in_words,
    range_defects,
    required_inputs,
)

RECIPE = load_recipe("lateral")
NAMES = ("log_events", "failure_ratio", "signatures")


def test_required_inputs_stand_in_the_recipes_order_without_repetition() -> None:
    assert required_inputs(RECIPE, ("signatures", "failure_ratio", "log_events")) == (
        "events",
        "failures",
        "signatures",
    )


def test_features_by_hand() -> None:
    columns = {"events": [4.0, 0.0], "failures": [1.0, 0.0], "signatures": [2.0, 7.0]}
    X = derive(RECIPE, NAMES, columns)
    assert X.tolist() == [[math.log(5.0), 0.25, 2.0], [0.0, 0.0, 7.0]]
    assert X.dtype == np.float64


def test_no_rows_are_possible_and_nan_stays_nan() -> None:
    empty: dict[str, Any] = {"events": [], "failures": [], "signatures": []}
    assert derive(RECIPE, NAMES, empty).shape == (0, 3)
    X = derive(RECIPE, NAMES, {"events": [np.nan], "failures": [1.0], "signatures": [1.0]})
    assert np.isnan(X[0, :2]).all()
    assert X[0, 2] == 1.0


def test_unknown_names_are_named() -> None:
    with pytest.raises(FeatureError, match="no feature 'entropy'"):
        required_inputs(RECIPE, ("entropy",))
    with pytest.raises(FeatureError, match="failures is absent"):
        derive(RECIPE, ("failure_ratio",), {"events": [1.0]})


def test_impossible_inputs_are_named_by_row() -> None:
    columns = {
        "events": [1.0, 0.0, 1e300, 3.0, np.nan],
        "failures": [0.0, 0.0, 0.0, 4.0, -1.0],
        "signatures": [1.0] * 5,
    }
    found = range_defects(RECIPE, NAMES, columns)
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1].startswith("events is 0; possible is 1")
    assert found[2].startswith("events is 1e+300")
    assert found[3] == "failures is 4, more than events (3)"
    assert found[4].startswith("failures is -1")


def _words(feature: Feature, value: float, usual: float) -> str:
    return in_words(feature, value, in_units(feature, usual))


def test_words_use_the_units_of_the_inputs() -> None:
    by_name = RECIPE.feature_by_name
    assert _words(by_name["failure_ratio"], 0.8333, 0.0) == "share of failures 0.83 (usual 0)"
    assert _words(by_name["log_events"], math.log1p(12), math.log1p(3)) == "authentication events 12 (usual 3)"
    assert _words(by_name["signatures"], 1234.5, 0.0004) == "kinds of authentication event 1234 (usual 0.0004)"


def test_scaler_takes_percentiles_and_falls_back_to_the_ends() -> None:
    rare = np.zeros(1000)
    rare[0] = 1.0  # beyond both percentiles: they meet at 0
    X = np.stack([np.arange(1000.0), rare], axis=1)
    scaler = Scaler.fit(X)
    assert scaler.low.tolist() == pytest.approx([9.99, 0.0])
    assert scaler.high.tolist() == pytest.approx([989.01, 1.0])


def test_constant_features_are_refused_by_name() -> None:
    X = np.stack([np.arange(5.0), np.full(5, 3.0)], axis=1)
    with pytest.raises(FeatureError, match="constant on every training row: b"):
        Scaler.fit(X, ("a", "b"))


@pytest.mark.parametrize("X", [np.empty((0, 2)), np.array([[np.nan, 1.0]]), np.arange(3.0)])
def test_rows_that_cannot_be_scaled_are_refused(X: Any) -> None:
    with pytest.raises(FeatureError, match="finite rows"):
        Scaler.fit(X)


@pytest.mark.parametrize(("low", "high"), [([0.0], [0.0]), ([0.0], [np.inf]), ([1.0, 0.0], [2.0])])
def test_impossible_bounds_are_refused(low: list[float], high: list[float]) -> None:
    with pytest.raises(FeatureError):
        Scaler(np.array(low), np.array(high))


@settings(deadline=None)
@given(arrays(np.float64, (20, 3), elements=st.floats(-1e12, 1e12)))
def test_scaled_rows_keep_their_order_and_stay_in_range(X: Any) -> None:
    try:
        scaler = Scaler.fit(X)
    except FeatureError:
        return
    Z = scaler.apply(X)
    assert Z.min() >= CLIP[0]
    assert Z.max() <= CLIP[1]
    for k in range(3):
        order = np.argsort(X[:, k], kind="stable")
        assert (np.diff(Z[order, k]) >= 0).all()
