"""Labelled rows with weights as the fits take them: equal rows once, in one order, with the sum of their weights.

So a row of weight 3 and the row three times give one and the same machine, to the last digit, and so do rows in
another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_class_weight

from scorer.models.twins import MAX_SUPPORT

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class WeightedRows:
    """N different labelled rows.

    ``X``: (N, n). ``classes``: (k,), sorted. ``codes``: position of each row's class in it (N,). ``weights``: (N,),
    above 0. ``first``: where each row came first among those that were given (N,).
    """

    X: Floats
    classes: NDArray[Any]
    codes: Ints
    weights: Floats
    first: Ints

    def __len__(self) -> int:
        return len(self.X)

    def balanced(self, class_weight: Mapping[Any, float] | str | None) -> Floats:
        """Weigh the rows by their classes too, as scikit-learn does: (N,). Raises ValueError for odd class weights.

        ``"balanced"``: every class weighs the same in sum.
        """
        if class_weight == "balanced":
            sums = np.bincount(self.codes, self.weights)
            factors: Floats = sums.sum() / (len(sums) * sums)
        else:
            factors = compute_class_weight(class_weight, classes=self.classes, y=self.classes[self.codes])
        return self.weights * factors[self.codes]


def weighted_rows(X: Floats, y: NDArray[Any], sample_weight: ArrayLike | None) -> WeightedRows:
    """Gather labelled rows X (N, n), y (N,) of any labels.

    Rows of weight 0 count as absent. Raises ValueError for weights that are none, for less than two classes, and for
    more rows than a kernel machine can hold.
    """
    given = _weights(sample_weight, len(X))
    used = np.flatnonzero(given > 0)
    if not len(used):
        raise ValueError("every sample_weight is zero: no row is left to fit on")
    classes, codes = np.unique(y[used], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"a classifier needs rows of two classes or more; these are of {len(classes)} class")
    together = np.column_stack([X[used] + 0.0, codes])  # -0.0 and 0.0 are one value
    rows, first, where = np.unique(together, axis=0, return_index=True, return_inverse=True)
    if len(rows) > MAX_SUPPORT:
        raise ValueError(f"{len(rows)} different rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    weights: Floats = np.bincount(where.ravel(), given[used]).astype(np.float64)
    return WeightedRows(rows[:, :-1].copy(), classes, rows[:, -1].astype(np.intp), weights, used[first])


def _weights(given: ArrayLike | None, rows: int) -> Floats:
    weights = np.ones(rows) if given is None else np.asarray(given, np.float64)
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight of shape {weights.shape}; one number for each of {rows} rows is needed")
    if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
        raise ValueError("sample_weight holds numbers below 0 or none; each must be 0 or more")
    return weights
