"""Matrices over GF(2) as tuples of row masks: what a program's pending map is worked out with."""

from __future__ import annotations

from scorer.circuits.steps import bits

Rows = tuple[int, ...]


def image(rows: Rows, state: int) -> int:
    """M b: bit i is the parity of ``state`` under row i."""
    return bits.mask_of(i for i, row in enumerate(rows) if (row & state).bit_count() & 1)


def column(rows: Rows, index: int) -> int:
    """Column ``index``, as a mask."""
    return bits.mask_of(i for i, row in enumerate(rows) if row >> index & 1)


def inverse(rows: Rows) -> Rows:
    """M^-1 by elimination; M must have one, as a plan's maps do."""
    left, right = list(rows), list(bits.identity(len(rows)))
    for i in range(len(rows)):
        pivot = next(k for k in range(i, len(rows)) if left[k] >> i & 1)
        left[i], left[pivot] = left[pivot], left[i]
        right[i], right[pivot] = right[pivot], right[i]
        for k in range(len(rows)):
            if k != i and left[k] >> i & 1:
                left[k] ^= left[i]
                right[k] ^= right[i]
    return tuple(right)


def inverse_transposed(rows: Rows) -> Rows:
    """M^-T."""
    inverted = inverse(rows)
    return tuple(column(inverted, i) for i in range(len(rows)))
