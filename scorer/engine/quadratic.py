"""Float32 quadratic forms of Gaussians: what the twin of the leverage score is.

Rows are taken in chunks of one fixed size, the last one padded, as in ``scorer.engine.fast``: a score depends on the
batch that its row is in by at most a rounding error.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Single = NDArray[np.float32]

_SMALLEST_EXPONENT = np.float32(-80.0)


class QuadraticScorer:
    """sum_k values_k (vectors_k . k(z))^2 with k_j(z) = exp(-gamma |z - support_j|^2), for batches z (N, n).

    ``support``: (m, n). ``vectors``: (r, m). ``values``: (r,). Safe to call from several threads at once.
    """

    def __init__(
        self, support: NDArray[np.floating], vectors: NDArray[np.floating], values: Array, gamma: float
    ) -> None:
        self.chunk = max(16, min(512, 2**18 // max(1, len(support)) // 16 * 16))
        # Around the middle of [0, 1] the terms of the distance that cancel are small.
        centred = support.astype(np.float64) - 0.5
        squares = -gamma * np.square(centred).sum(1, keepdims=True)
        norms = np.full((len(support), 1), -gamma)
        self._left: Single = np.hstack([2.0 * gamma * centred, norms, squares]).astype(np.float32)
        self._vectors: Single = np.ascontiguousarray(vectors, np.float32)
        self._values: Single = values.astype(np.float32)
        self._local = threading.local()

    def __call__(self, Z: Array) -> Array:
        """Return values (N,), float64, of scaled, finite features Z (N, n)."""
        out = np.empty(len(Z))
        for start in range(0, len(Z), self.chunk):
            block = Z[start : start + self.chunk]
            out[start : start + self.chunk] = self._score(block)[: len(block)]
        return out

    def _score(self, block: Array) -> Single:
        right, kernel, projected = self._buffers()
        centred = block.T - 0.5
        right[:-1] = 0.0
        right[:-2, : len(block)] = centred
        right[-2, : len(block)] = np.einsum("ij,ij->j", centred, centred)
        np.matmul(self._left, right, out=kernel)
        # Below this, results would be denormal numbers, on which a processor is many times slower.
        np.maximum(kernel, _SMALLEST_EXPONENT, out=kernel)
        np.exp(kernel, out=kernel)
        np.matmul(self._vectors, kernel, out=projected)
        np.square(projected, out=projected)
        return self._values @ projected

    def _buffers(self) -> tuple[Single, Single, Single]:
        held: tuple[Single, Single, Single] | None = getattr(self._local, "held", None)
        if held is None:
            rows, columns = self._left.shape
            shapes = ((columns, self.chunk), (rows, self.chunk), (len(self._vectors), self.chunk))
            right, kernel, projected = (np.ones(shape, np.float32) for shape in shapes)
            held = self._local.held = (right, kernel, projected)
        return held
