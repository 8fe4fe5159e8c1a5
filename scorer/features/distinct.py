"""Rows that are equal are scored once: windows of counts repeat themselves, often many times in one batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_LEAST_ROWS = 256
_LOOKED_AT = 1024  # rows, at most, from which to tell whether looking for equal ones is worth it
_WORTH = 0.7  # share of different rows up to which it is: finding them costs about a tenth of scoring them
_SEED = 0x9E3779B97F4A7C15


def distinct(X: Array) -> tuple[Index, Index] | None:
    """(first, inverse) with ``X[first][inverse] == X`` for finite rows X (N, n); None where few rows are equal.

    Rows are compared by a 64-bit hash of their bytes and then, all of them, value by value: a collision costs the
    short cut and never a wrong score.
    """
    if len(X) < _LEAST_ROWS or _different(X[:: max(1, len(X) // _LOOKED_AT)]) > _WORTH:
        return None
    _, first, inverse = np.unique(_hashes(X), return_index=True, return_inverse=True)
    return (first, inverse) if np.array_equal(X[first][inverse], X) else None


def _different(X: Array) -> float:
    return len(np.unique(_hashes(X))) / len(X)


def _hashes(X: Array) -> NDArray[np.uint64]:
    """One hash (N,) for each row: a sum of odd multiples of its values' bits, mixed before and after."""
    bits = np.ascontiguousarray(X).view(np.uint64)
    odd = np.random.default_rng(_SEED).integers(1 << 62, 1 << 63, X.shape[1], dtype=np.uint64) | np.uint64(1)
    # The low bits of counts as floats are all zero: fold the high ones down first.
    mixed = (bits ^ (bits >> np.uint64(32))) @ odd
    return mixed ^ (mixed >> np.uint64(29))
