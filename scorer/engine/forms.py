"""<psi|A|psi> of a chunk of rows, in one of two forms; which one takes less is a matter of A's rank.

Amplitudes psi = x + i y come as planes (blocks, 3, 2^n, width): x, y and s = x + y, rows along the last axis.

``Overlaps``   sum_k values_k |<v_k|psi>|^2. A complex product takes three real ones: with v = a + i b, p = a s,
               q = (a - b) y, r = (a + b) x give <v|psi> = (p - q) + i (p - r). 3 r 2^n multiplications a row.
``Quadratic``  with A = S + i K, S symmetric and K antisymmetric, f = s^T S s - 2 x^T (S + K) y: one product with a
               matrix, and one with the half of a symmetric one. 1.5 4^n multiplications a row, whatever the rank.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import States

Array = NDArray[np.float64]
Single = NDArray[np.float32]

#: Rows of one product with the eigenvectors: what BLAS packs of them stays in the nearest caches.
_COLUMNS = 64
#: Rows of the triangle that are multiplied at a time, from the diagonal on.
_STEP = 32
#: Rank, as a share of the basis states, above which the quadratic form takes less (measured at 6 and 8 qubits).
_DENSE = 0.6
#: Qubits above which the matrix, 4^n numbers, is not made.
_MOST_QUBITS = 10


class Sums(Protocol):
    """The last loops of a score, as a path of the engine has them."""

    def weighed(self, overlaps: Single, values: Single) -> Single:
        """Return sum_k values_k ((p_k - q_k)^2 + (p_k - r_k)^2) for overlaps (parts, 3, rank, columns)."""

    def paired(self, planes: Single, products: Single, scores: Single) -> None:
        """Write sum_b (s_b p_b - x_b q_b), (w,), for planes (3, 2^n, w) with x, y and s, and products (2, 2^n, w)."""


class Form(Protocol):
    """One way to compute <psi|A|psi>."""

    def room(self, planes: Single) -> Any:
        """Make the memory of one thread for planes of this shape."""

    def __call__(self, planes: Single, room: Any, sums: Sums) -> Single:
        """Return f of every row of the planes, (blocks * width,)."""


def form_of(values: Array, vectors: States) -> Form:
    """Choose the form that takes less for eigenvalues (r,) and vectors (r, 2^n), of any norm."""
    rank, states = vectors.shape
    dense = rank > _DENSE * states and states <= 2**_MOST_QUBITS
    return Quadratic(values, vectors) if dense else Overlaps(values, vectors)


class Overlaps:
    """The sum of squared overlaps with each eigenvector."""

    def __init__(self, values: Array, vectors: States) -> None:
        re, im = vectors.real, vectors.imag
        self._vectors: Single = np.stack([re + im, re - im, re]).astype(np.float32)
        self._values: Single = values.astype(np.float32)

    def room(self, planes: Single) -> Single:
        """Make the overlaps' memory, (parts, 3, rank, columns), for planes (blocks, 3, 2^n, width)."""
        blocks, _, _, width = planes.shape
        columns = min(width, _COLUMNS)
        return np.empty((blocks * (width // columns), 3, len(self._values), columns), np.float32)

    def __call__(self, planes: Single, room: Single, sums: Sums) -> Single:
        """Return f of every row of the planes, (blocks * width,)."""
        blocks, _, states, width = planes.shape
        columns = room.shape[3]
        parts = planes.reshape(blocks, 3, states, width // columns, columns).transpose(0, 3, 1, 2, 4)
        np.matmul(self._vectors, parts, out=room.reshape(*parts.shape[:3], *room.shape[2:]))
        return sums.weighed(room, self._values)


class Quadratic:
    """The quadratic form of the real and imaginary parts."""

    def __init__(self, values: Array, vectors: States) -> None:
        # An overlap is with the vectors' conjugates.
        matrix = (vectors.T * values) @ vectors.conj()
        symmetric, antisymmetric = matrix.real, matrix.imag
        self._crossed: Single = (2.0 * (symmetric + antisymmetric)).astype(np.float32)
        triangle = (np.triu(symmetric, 1) * 2.0 + np.diag(np.diag(symmetric))).astype(np.float32)
        self._steps = [(k, np.ascontiguousarray(triangle[k : k + _STEP, k:])) for k in range(0, len(triangle), _STEP)]

    def room(self, planes: Single) -> Single:
        """Make the products' memory, (2, 2^n, width), for planes (blocks, 3, 2^n, width)."""
        return np.empty((2, *planes.shape[2:]), np.float32)

    def __call__(self, planes: Single, room: Single, sums: Sums) -> Single:
        """Return f of every row of the planes, (blocks * width,)."""
        scores = np.empty((len(planes), planes.shape[3]), np.float32)
        for part, out in zip(planes, scores, strict=True):
            np.matmul(self._crossed, part[1], out=room[1])
            for k, rows in self._steps:
                np.matmul(rows, part[2, k:], out=room[0, k : k + len(rows)])
            sums.paired(part, room, out)
        return scores.reshape(-1)
