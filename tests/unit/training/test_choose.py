"""Which features a model gets, and the made-up rows that normal ones are told from."""

from __future__ import annotations

import numpy as np

from scorer.training.background import background
from scorer.training.choose import choose_features, choose_normal_features
from scorer.training.dataset import Dataset


def test_constant_and_repeated_features_are_dropped_with_their_reason() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.3).astype(np.int64)
    signal = y + rng.normal(0, 0.4, 400)
    X = np.column_stack([np.ones(400), signal, np.exp(signal), rng.normal(size=400), rng.normal(size=400)])
    choice = choose_features(Dataset(("one", "s", "exp_s", "n1", "n2"), X, y, None), 2, 0)
    assert len(choice.chosen) == 2
    assert choice.chosen[0] in ("s", "exp_s")
    assert choice.dropped["one"] == "constant on every training row"
    assert sorted(choice.dropped.values())[1:] == [
        "not among the 2 most important",
        f"says the same as {choice.chosen[0]}",
    ]
    assert set(choice.chosen) | set(choice.dropped) == {"one", "s", "exp_s", "n1", "n2"}


def test_only_constant_features_leave_nothing_to_choose() -> None:
    choice = choose_features(Dataset(("a",), np.ones((40, 1)), np.arange(40) % 2, None), 6, 0)
    assert choice.chosen == ()


def test_made_up_rows_keep_the_values_or_the_range_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(2000)
    X = np.column_stack([a, a])
    made_up = background(X, rng)
    assert made_up.shape == X.shape
    assert abs(np.asarray(np.corrcoef(made_up.T))[0, 1]) < 0.1
    assert 0.0 <= made_up.min() < made_up.max() <= 1.0
    assert 0.4 < np.isin(made_up[:, 0], a).mean() < 0.6


def test_features_of_normal_rows_are_chosen_without_labels() -> None:
    rng = np.random.default_rng(0)
    tight = rng.normal(0.0, 1.0, 500) ** 3  # concentrated: what normal rows agree on
    X = np.column_stack([rng.random(500), tight, np.full(500, 2.0)])
    choice = choose_normal_features(Dataset(("even", "tight", "one"), X, np.zeros(500, np.int64), None), 1, 0)
    assert choice.chosen == ("tight",)
    assert choice.dropped["one"] == "constant on every training row"
