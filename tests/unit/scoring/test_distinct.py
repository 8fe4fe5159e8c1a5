from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.scoring.distinct import distinct


@given(seed=st.integers(0, 10_000), values=st.integers(1, 4), width=st.integers(1, 6), rows=st.integers(256, 3000))
def test_equal_rows_are_found_and_every_row_comes_back(seed: int, values: int, width: int, rows: int) -> None:
    X = np.random.default_rng(seed).integers(0, values, (rows, width)).astype(np.float64) / 3.0
    found = distinct(X)
    different = len(np.unique(X, axis=0))
    if found is None:
        assert different > 0.5 * min(rows, 1024)
        return
    first, inverse = found
    assert len(first) == different
    assert np.array_equal(X[first][inverse], X)


def test_rows_that_differ_are_left_alone() -> None:
    assert distinct(np.random.default_rng(0).random((5000, 4))) is None


def test_few_rows_are_not_looked_at() -> None:
    assert distinct(np.zeros((100, 3))) is None


def test_a_collision_of_hashes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.scoring.distinct._hashes", lambda X: (X[:, 0]).astype(np.uint64))
    X = np.zeros((2000, 2))
    X[1500, 1] = 1.0
    assert distinct(X) is None
