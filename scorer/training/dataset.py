"""Labelled rows as arrays, checked: what can a model be trained on, and what not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.rows.builder import Columns, labels
from scorer.rows.fields import input_numbers
from scorer.rows.recipe import Recipe
from scorer.rows.transform import derive, range_defects, required_inputs
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_POSITIVES = 20
_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Dataset:
    """N rows. ``X``: features (N, m) by ``names``, unscaled, finite. ``y``: 0 or 1 (N,). ``groups``: (N,) or None."""

    names: tuple[str, ...]
    X: Floats
    y: Ints
    groups: Ints | None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def positives(self) -> int:
        return int(self.y.sum())

    def take(self, index: Ints) -> Dataset:
        """Take the rows at these positions (k,)."""
        groups = None if self.groups is None else self.groups[index]
        return Dataset(self.names, self.X[index], self.y[index], groups)

    def without(self, dropped: Sequence[str]) -> Dataset:
        """Leave out the features of these names."""
        kept = [k for k, name in enumerate(self.names) if name not in dropped]
        return Dataset(tuple(self.names[k] for k in kept), self.X[:, kept], self.y, self.groups)


def dataset(recipe: Recipe, rows: pa.Table, columns: Columns, normal: bool = False) -> Dataset:
    """Compute every feature of the recipe for labelled rows.

    ``normal``: benign rows are enough to learn from; without a label column every row is taken for benign. Raises
    BadTrainingData when a label or group is absent, only one class occurs, fewer than MIN_POSITIVES rows are malicious,
    or a cell is empty, text, infinite or impossible.
    """
    target = np.zeros(rows.num_rows, np.int64) if normal and columns.label is None else _target(rows, columns)
    _check_classes(target, 0 if normal else MIN_POSITIVES)
    names = tuple(f.name for f in recipe.features)
    inputs: dict[str, Any] = {name: _input(recipe, rows, name) for name in required_inputs(recipe, names)}
    _check_ranges(recipe, names, inputs)
    return Dataset(names, derive(recipe, names, inputs), target, _groups(rows, columns.group))


def _target(rows: pa.Table, columns: Columns) -> Ints:
    y = labels(rows, columns)
    if y.null_count:
        raise BadTrainingData(f"{y.null_count} rows have no label", "Label every row or remove those without.")
    target: Ints = y.to_numpy(zero_copy_only=False).astype(np.int64)
    return target


def _check_classes(y: Ints, least: int) -> None:
    positives = int(y.sum())
    if positives == len(y):
        raise BadTrainingData(f"all {len(y)} rows are malicious", "Add benign rows: every model learns from them.")
    if positives < least:
        raise BadTrainingData(
            f"{positives} of {len(y)} rows are malicious; training needs {MIN_POSITIVES}",
            "Add labelled attacks, check --label and --positive, or make every event a row of its own: --grain event.",
        )


def _input(recipe: Recipe, rows: pa.Table, name: str) -> Floats:
    """One input (N,); absent cells become 0 where the recipe says that nothing was seen."""
    zero = recipe.input_by_name[name].missing == "zero"
    if name not in rows.column_names:
        if zero:
            return np.zeros(rows.num_rows)
        raise BadTrainingData(
            f"the rows have no column {name}", f"Build rows with `qscore rows --model {recipe.name}`."
        )
    values = input_numbers(name, rows[name].combine_chunks())
    if zero:
        values = np.where(np.isnan(values), 0.0, values)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        where = ", ".join(str(int(k) + 1) for k in wrong[:_EXAMPLES])
        raise BadTrainingData(f"{name} is empty or infinite on {wrong.size} rows (first: {where})", "Correct them.")
    return values


def _check_ranges(recipe: Recipe, names: tuple[str, ...], inputs: dict[str, Any]) -> None:
    defects = range_defects(recipe, names, inputs)
    if defects:
        row, text = next(iter(sorted(defects.items())))
        raise BadTrainingData(f"row {row + 1}: {text} ({len(defects)} such rows)", "Correct or remove these rows.")


def _groups(rows: pa.Table, name: str | None) -> Ints | None:
    if name is None:
        return None
    if name not in rows.column_names:
        raise BadTrainingData(
            f"there is no group column {name!r}", f"Columns found: {', '.join(rows.column_names[:30])}."
        )
    codes = rows[name].combine_chunks().cast(pa.string()).fill_null("").dictionary_encode().indices
    groups: Ints = codes.to_numpy(zero_copy_only=False).astype(np.int64)
    return groups
