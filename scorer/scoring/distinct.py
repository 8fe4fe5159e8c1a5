"""Rows that are equal are scored once: windows of counts repeat themselves, often many times in one batch."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_LEAST_ROWS = 256
_LOOKED_AT = 1024  # rows, at most, from which to tell whether looking for equal ones is worth it
_WORTH = 0.7  # share of different rows up to which it is: finding them costs about a tenth of scoring them
_SEED = 0x9E3779B97F4A7C15


def distinct(X: Array) -> tuple[Index, Index] | None:
    """Find (first, inverse) with ``X[first][inverse] == X`` for finite rows X (N, n); None where few rows are equal.

    Rows are compared by a 64-bit hash of their bytes and then, all of them, value by value: a collision costs the
    short cut and never a wrong score.
    """
    if len(X) < _LEAST_ROWS:
        return None
    step = max(1, len(X) // _LOOKED_AT)
    sample = _hashes(X[::step])
    if _different(sample) > _WORTH:
        return None
    hashes = sample if step == 1 else _hashes(X)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return (first, inverse) if np.array_equal(X[first][inverse], X) else None


def _different(hashes: NDArray[np.uint64]) -> float:
    """The share of different ones."""
    ordered = np.sort(hashes)
    return (np.count_nonzero(ordered[1:] != ordered[:-1]) + 1) / len(ordered)


def _hashes(X: Array) -> NDArray[np.uint64]:
    """One hash (N,) for each row: a sum of odd multiples of its values' bits, mixed before and after."""
    bits = np.ascontiguousarray(X).view(np.uint64)
    # The low bits of counts as floats are all zero: fold the high ones down first.
    mixed = (bits ^ (bits >> np.uint64(32))) @ _odd(X.shape[1])
    return mixed ^ (mixed >> np.uint64(29))


@cache
def _odd(columns: int) -> NDArray[np.uint64]:
    """The multipliers."""
    return np.random.default_rng(_SEED).integers(1 << 62, 1 << 63, columns, dtype=np.uint64) | np.uint64(1)
