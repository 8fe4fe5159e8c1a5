"""What is asked of rows and hyper-parameters before anything is fitted with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.engine.rows import RowsError, as_table, gaps_in
from scorer.models.twins import MAX_GAMMA, MAX_SUPPORT

Array = NDArray[np.float64]
Labels = NDArray[np.integer]


class FitError(ValueError):
    """Rows or hyper-parameters that nothing can be fitted with."""


def labelled(Z: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
    """Return rows (N, n) as finite float64 and labels (N,) of 0 and 1 as integers, both of which occur.

    Lists are taken, and labels that are true and false or 0.0 and 1.0. Raises FitError naming what is wrong.
    """
    rows = _finite(Z)
    return rows, _labels(y, len(rows))


def kernel_rows(Z: ArrayLike, y: ArrayLike) -> tuple[Array, Labels]:
    """Return rows and labels as ``labelled`` does, of which a kernel machine can hold N. Raises FitError."""
    rows = _finite(Z)
    if len(rows) > MAX_SUPPORT:
        raise FitError(f"{len(rows)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    return rows, _labels(y, len(rows))


def normal(Z: ArrayLike) -> Array:
    """Return rows (N, n), at least one, as finite float64; lists are taken. Raises FitError."""
    rows = _finite(Z)
    if len(rows) == 0:
        raise FitError("no rows: at least one is needed")
    return rows


def _finite(Z: ArrayLike) -> Array:
    try:
        rows = as_table(Z)
    except RowsError as error:
        raise FitError(str(error)) from None
    gaps = gaps_in(rows)
    if gaps:
        raise FitError(f"{gaps}: fill them in or leave such rows out before fitting")
    return rows


def _labels(y: ArrayLike, rows: int) -> Labels:
    if hasattr(y, "toarray"):
        raise FitError(f"labels in a sparse {type(y).__name__}: give .toarray().ravel()")
    found = np.asarray(y)
    if found.ndim != 1:
        raise FitError(f"labels of shape {found.shape}; one number for each row is needed, shape (N,)")
    if len(found) != rows:
        raise FitError(f"{rows} rows and {len(found)} labels; one label for each row is needed")
    values = list(dict.fromkeys(found.tolist()))
    if set(values) != {0, 1} or found.dtype.kind not in "biuf":
        shown = ", ".join(repr(value) for value in values[:4]) + ", ..." * (len(values) > 4)
        raise FitError(f"labels must be 0 and 1, and both must occur; here they are {shown or 'none'}")
    return found.astype(np.int64)


def checked_gamma(gamma: float) -> float:
    """Return ``gamma``; raises FitError where no Gaussian has that width."""
    if not 0.0 < gamma <= MAX_GAMMA:
        raise FitError(f"gamma is {gamma!r}; it must be above 0 and at most {MAX_GAMMA:g}")
    return float(gamma)


def positive(name: str, value: float) -> float:
    """Return ``value``; raises FitError, which calls it ``name``, where it is not finite and above 0."""
    if not (np.isfinite(value) and value > 0.0):
        raise FitError(f"{name} is {value!r}; it must be above 0")
    return float(value)
