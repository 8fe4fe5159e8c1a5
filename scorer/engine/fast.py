"""Float32 scores of whole batches: <psi(x)|A|psi(x)> for a ZZ map, and a sum of Gaussians for its classical twin.

Events are the columns of every array, so that each step is one matrix product or one pass over contiguous memory:

1. angles in float64, reduced modulo 2 pi there (float32 has no digits left for the turns), then cast;
2. phases of all basis states: one product of the 0/1 sign matrix with the angles; cosine and sine of them;
3. H^n as two small real matrices on the real and the imaginary plane, then the diagonal again, for each repetition;
4. one product with the weighted eigenvectors of A, squared and summed.

Rows are taken in chunks of one fixed size, the last one padded: every product has the same shape whatever batch a row
is in, so its score depends on its neighbours by at most a rounding error (``BATCH_BOUND``). Buffers belong to a thread
and are made once. BLAS threads are set by whoever starts the process (``OPENBLAS_NUM_THREADS``).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import ZZMap
from scorer.engine.reference import hadamard

Array = NDArray[np.float64]
Single = NDArray[np.float32]

#: Largest change of a score by the batch that a row is in, in units of sum |eigenvalue| (or sum |coefficient|).
BATCH_BOUND = 1e-6
#: Largest distance from the float64 score in the same unit.
FLOAT32_BOUND = 2e-5

_TURN = 2.0 * math.pi
_SMALLEST_EXPONENT = np.float32(-80.0)


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Working memory of one thread for chunks of c rows of N = 2^n amplitudes; leading 2: real and imaginary plane."""

    angles: Single  # (a, c)
    phases: Single  # (N, c)
    cosine: Single  # (N, c)
    sine: Single  # (N, c)
    states: Single  # (2, N, c)
    spare: Single  # (2, N, c)
    overlaps: Single  # (2 r, c)


class ObservableScorer:
    """sum_k values_k |<vector_k|psi(z)>|^2 for batches of scaled features z.

    ``values``: float64 (r,). ``vectors``: complex (r, 2^n), unit norm. Safe to call from several threads at once.
    """

    def __init__(self, circuit: ZZMap, values: Array, vectors: NDArray[np.complexfloating]) -> None:
        self.circuit = circuit
        self.chunk = _chunk(circuit.qubits)
        self._signs: Single = np.ascontiguousarray(circuit.signs.T, dtype=np.float32)
        low = circuit.qubits // 2
        self._low: Single = hadamard(low).astype(np.float32)
        self._high: Single = hadamard(circuit.qubits - low).astype(np.float32)
        # Every 2^(-n/2) of the Hadamards is taken here, once, instead of in each pass over the amplitudes.
        norm = 2.0 ** (-circuit.qubits * circuit.reps / 2)
        re, im = vectors.real * norm, vectors.imag * norm
        self._vectors: Single = np.block([[re, im], [-im, re]]).astype(np.float32)
        self._values: Single = np.tile(values, 2).astype(np.float32)
        self._local = threading.local()

    def __call__(self, Z: Array) -> Array:
        """Expectations (N,), float64, of scaled features Z (N, n), which must be finite."""
        out = np.empty(len(Z))
        for start in range(0, len(Z), self.chunk):
            block = Z[start : start + self.chunk]
            out[start : start + self.chunk] = self._score(_padded(block, self.chunk))[: len(block)]
        return out

    def _score(self, Z: Array) -> Single:
        buffers = self._buffers()
        self._diagonal(Z, buffers)
        states = self._evolve(buffers)
        np.matmul(self._vectors, states.reshape(-1, self.chunk), out=buffers.overlaps)
        np.square(buffers.overlaps, out=buffers.overlaps)
        return self._values @ buffers.overlaps

    def _diagonal(self, Z: Array, b: _Buffers) -> None:
        """Cosine and sine of every basis state's phase."""
        angles = self.circuit.angles(Z)
        angles -= np.rint(angles * (1.0 / _TURN)) * _TURN
        b.angles[...] = angles
        np.matmul(self._signs, b.angles, out=b.phases)
        np.cos(b.phases, out=b.cosine)
        np.sin(b.phases, out=b.sine)

    def _evolve(self, b: _Buffers) -> Single:
        """States (2, N, c) without their norm: (diagonal . H^n)^reps on |0...0>."""
        b.states[0], b.states[1] = b.cosine, b.sine
        for _ in range(self.circuit.reps - 1):
            self._hadamard(b.states, b.spare)
            np.multiply(b.states, b.sine, out=b.spare)
            np.multiply(b.states, b.cosine, out=b.states)
            np.subtract(b.states[0], b.spare[1], out=b.states[0])
            np.add(b.states[1], b.spare[0], out=b.states[1])
        return b.states

    def _hadamard(self, states: Single, spare: Single) -> None:
        """H^n, without its norm, on both planes in place."""
        high, low = len(self._high), len(self._low)
        np.matmul(self._high, states.reshape(2, high, -1), out=spare.reshape(2, high, -1))
        np.matmul(self._low, spare.reshape(2 * high, low, -1), out=states.reshape(2 * high, low, -1))

    def _buffers(self) -> _Buffers:
        buffers: _Buffers | None = getattr(self._local, "buffers", None)
        if buffers is None:
            buffers = self._local.buffers = self._allocate()
        return buffers

    def _allocate(self) -> _Buffers:
        amplitudes, angles = self._signs.shape
        c = self.chunk

        def empty(*shape: int) -> Single:
            return np.empty((*shape, c), np.float32)

        return _Buffers(
            angles=empty(angles),
            phases=empty(amplitudes),
            cosine=empty(amplitudes),
            sine=empty(amplitudes),
            states=empty(2, amplitudes),
            spare=empty(2, amplitudes),
            overlaps=empty(len(self._values)),
        )


class GaussianScorer:
    """sum_i coefficients_i exp(-gamma |z - support_i|^2) for batches of scaled features z (N, n).

    The exponent is one product: its terms in z, in |z|^2 and the constant stand side by side. ``support``: (M, n).
    """

    def __init__(self, support: NDArray[np.floating], coefficients: NDArray[np.floating], gamma: float) -> None:
        self.chunk = max(16, min(512, 2**18 // max(1, len(support)) // 16 * 16))
        # Distances do not change when both sides move; around the middle of [0, 1] the terms that cancel are small.
        centred = support.astype(np.float64) - 0.5
        squares = -gamma * np.square(centred).sum(1, keepdims=True)
        norms = np.full((len(support), 1), -gamma)
        self._left: Single = np.hstack([2.0 * gamma * centred, norms, squares]).astype(np.float32)
        self._coefficients: Single = coefficients.astype(np.float32)
        self._local = threading.local()

    def __call__(self, Z: Array) -> Array:
        """Sums (N,), float64, of scaled features Z (N, n), which must be finite."""
        out = np.empty(len(Z))
        for start in range(0, len(Z), self.chunk):
            block = Z[start : start + self.chunk]
            out[start : start + self.chunk] = self._score(_padded(block, self.chunk))[: len(block)]
        return out

    def _score(self, Z: Array) -> Single:
        right, kernel = self._buffers()
        centred = Z.T - 0.5
        right[:-2] = centred
        np.einsum("ij,ij->j", centred, centred, out=right[-2], casting="same_kind")
        np.matmul(self._left, right, out=kernel)
        # Below this, results would be denormal numbers, on which a processor is many times slower.
        np.maximum(kernel, _SMALLEST_EXPONENT, out=kernel)
        np.exp(kernel, out=kernel)
        return self._coefficients @ kernel

    def _buffers(self) -> tuple[Single, Single]:
        pair: tuple[Single, Single] | None = getattr(self._local, "pair", None)
        if pair is None:
            rows, columns = self._left.shape
            pair = (np.ones((columns, self.chunk), np.float32), np.empty((rows, self.chunk), np.float32))
            self._local.pair = pair
        return pair


def _chunk(qubits: int) -> int:
    """Rows at a time: the planes of a chunk should lie in a core's second-level cache, and calls into NumPy be few."""
    return max(128, min(512, (1 << 15) >> qubits))


def _padded(Z: Array, rows: int) -> Array:
    if len(Z) == rows:
        return Z
    return np.concatenate([Z, np.zeros((rows - len(Z), Z.shape[1]))])
