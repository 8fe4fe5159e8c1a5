"""Rows for tests of training's stages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from scorer.rows.recipe import load_recipe
from scorer.training.dataset import Dataset
from scorer.training.starter.model import starter_rows

RECIPE = load_recipe("lateral")


def generated(rows: int = 600) -> pa.Table:
    """Rows of generated activity, with a label and a group."""
    return starter_rows(RECIPE, rows).rows


def replaced(table: pa.Table, name: str, values: list[object]) -> pa.Table:
    """The table with one column of other values."""
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def made(n: int, positives: int, groups: int | None = None, seed: int = 0) -> Dataset:
    """``n`` rows of three features, of which two tell the ``positives`` malicious ones apart."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n, dtype=np.int64)
    y[rng.choice(n, positives, replace=False)] = 1
    X = rng.normal(size=(n, 3)) + y[:, None] * np.array([2.0, 1.0, 0.0])
    return Dataset(("a", "b", "c"), X, y, None if groups is None else rng.integers(0, groups, n))
