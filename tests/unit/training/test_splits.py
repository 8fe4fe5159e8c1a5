"""Which rows fit a model and which judge it."""

from __future__ import annotations

import numpy as np
import pytest

from scorer.training.splits import folds, inner_folds, split, split_normal, subsample
from scorer.wire.errors import BadTrainingData
from tests.unit.training.made_rows import made


def test_many_rows_hold_a_third_out_and_few_are_cross_fitted() -> None:
    assert split(made(1800, 180), 0).kind == "held-out"
    few = split(made(1800, 120), 0)
    assert few.kind == "cross-fitting"
    assert sorted(np.concatenate([held for _, held in few.pairs]).tolist()) == list(range(1800))


@pytest.mark.parametrize("n", [300, 3000])
def test_no_group_stands_on_both_sides(n: int) -> None:
    data = made(n, n // 5, groups=25)
    assert data.groups is not None
    for fit, held in split(data, 1).pairs:
        assert not set(data.groups[fit]) & set(data.groups[held])
        assert data.y[fit].any()


def test_no_group_stands_on_both_sides_of_the_searchs_folds() -> None:
    data = made(600, 120, groups=25)
    assert data.groups is not None
    pairs = inner_folds(data.y, data.groups, 4, 1)
    assert len(pairs) >= 2
    for fit, held in pairs:
        assert not set(data.groups[fit]) & set(data.groups[held])


def test_attacks_in_a_single_group_cannot_be_judged() -> None:
    y = np.array([1] * 30 + [0] * 70)
    with pytest.raises(BadTrainingData, match="all malicious rows are in one group"):
        folds(y, np.where(y == 1, 0, np.arange(100)), 5, 0)
    assert len(inner_folds(y, np.where(y == 1, 0, np.arange(100)), 3, 0)) == 3


def test_a_subsample_prefers_malicious_rows_and_is_seeded() -> None:
    y = np.array([1] * 300 + [0] * 1700)
    kept = subsample(y, 400, np.random.default_rng(0))
    assert len(np.unique(kept)) == 400
    assert y[kept].sum() == 200
    assert np.array_equal(kept, subsample(y, 400, np.random.default_rng(0)))
    assert y[subsample(1 - y, 1000, np.random.default_rng(0))].sum() == 300 == (1 - y)[:1000].size - 700
    assert len(subsample(y, 5000, np.random.default_rng(0))) == 2000


@pytest.mark.parametrize(("n", "kind"), [(1900, "held-out"), (400, "cross-fitting")])
def test_normal_rows_alone_are_fitted_and_every_attack_is_judged_once(n: int, kind: str) -> None:
    data = made(n, 60, groups=25)
    assert data.groups is not None
    parts = split_normal(data, 0)
    assert parts.kind == kind
    for fit, held in parts.pairs:
        assert data.y[fit].sum() == 0
        assert not set(data.groups[fit]) & set(data.groups[held][data.y[held] == 0])
    judged = np.concatenate([held for _, held in parts.pairs])
    assert sorted(judged[data.y[judged] == 1].tolist()) == np.flatnonzero(data.y == 1).tolist()
    assert len(np.unique(judged)) == len(judged)
