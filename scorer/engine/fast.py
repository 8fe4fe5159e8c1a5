"""Float32 scores of whole batches: <psi(x)|A|psi(x)> for any plan, and a sum of Gaussians for its classical twin.

1. angles in float64, reduced modulo 2 pi there (float32 has no digits left for the turns), then cast;
2. amplitudes, events along the last axis: NumPy (``batched``), or compiled code (``compiled``) in a process that has
   called ``enable_compiled``;
3. products with the eigenvectors of A, or with A itself, whichever takes less, and their sums (``forms``).

Rows are taken in chunks of one fixed size, the last one padded: every product has the same shape whatever batch a row
is in, so its score depends on its neighbours by at most a rounding error (1e-6 of sum |eigenvalue|). Buffers belong to
a thread and are made once: memory does not grow with the batch. BLAS threads are set by whoever starts the process
(``OPENBLAS_NUM_THREADS``); nothing here starts any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.steps.kinds import Fixed, Local, Step
from scorer.engine.batched import BatchedStates
from scorer.engine.forms import form_of
from scorer.engine.program import Program, prepared
from scorer.engine.rows import EngineError, HasPlan, checked

Array = NDArray[np.float64]
Single = NDArray[np.float32]

#: What each gate of a run on one qubit, and each other step, may add to it; rounding errors of ten are always allowed.
_STEP_BOUND, _FEWEST_STEPS = 4e-7, 10

#: Exponents below this would give denormal numbers, on which a processor is many times slower.
_SMALLEST_EXPONENT = np.float32(-80.0)
#: Numbers in a block of angles that are computed at once.
_ANGLES = 1 << 16

_compiled: ModuleType | None = None


def enable_compiled() -> bool:
    """Run the scorers of this process compiled from now on; False, and no change, where numba is not installed.

    Compiles first (or loads what was compiled before): a second, or several. A worker does so in a thread at its start;
    NumPy scores meanwhile, and no batch waits.
    """
    global _compiled  # one switch a process
    try:
        from scorer.engine.compiled import paths
    except ImportError:
        return False
    paths.warm_up()
    _compiled = paths
    return True


def compiled_enabled() -> bool:
    """Tell whether this process has the compiled path."""
    return _compiled is not None


def float32_bound(circuit: HasPlan) -> float:
    """Bound the distance of a score from the float64 score, by either path, in units of sum |eigenvalue|.

    Tested up to a thousand steps; grows with them: every rotation and every diagonal is rounded.
    """
    return _STEP_BOUND * max(_FEWEST_STEPS, sum(map(_steps, circuit.plan.steps)))


def _steps(step: Step) -> int:
    if isinstance(step, Fixed):
        return sum(map(_steps, step.steps))
    return len(step.gates) if isinstance(step, Local) else 1


@dataclass(frozen=True, eq=False)
class _Path:
    """One way to compute, and each thread's memory for it."""

    run: Any
    compiled: bool
    local: threading.local


class _Switch:
    """The path to take now: the one asked for, or compiled as soon as the process has that."""

    def __init__(self, make: Callable[[bool], Any], compiled: bool | None) -> None:
        self._make, self._follow = make, compiled is None
        self._path = self._made(compiled_enabled() if compiled is None else compiled)

    def __call__(self) -> _Path:
        # Threads that get here at once make two equal paths, of which one stays.
        if self._follow and not self._path.compiled and compiled_enabled():
            self._path = self._made(True)
        return self._path

    def _made(self, compiled: bool) -> _Path:
        return _Path(self._make(compiled), compiled, threading.local())


class ObservableScorer:
    """sum_k values_k |<vector_k|psi(z)>|^2 for batches of scaled features z.

    ``values``: float64 (r,). ``vectors``: complex (r, 2^n), unit norm. Safe to call from several threads at once.
    ``compiled``: which path; as the process has it, also when that changes, unless said.
    """

    def __init__(
        self,
        circuit: HasPlan,
        values: Array,
        vectors: NDArray[np.complexfloating],
        *,
        compiled: bool | None = None,
    ) -> None:
        self.circuit = circuit
        qubits = circuit.plan.qubits
        if qubits > MAX_QUBITS:
            raise EngineError(f"{qubits} qubits; the exact engine takes {MAX_QUBITS} at most: use the projected family")
        program = prepared(circuit.plan)
        self._plan = program.plan
        self._switch = _Switch(lambda fast: _states(program, fast), compiled)
        self._form = form_of(values.astype(np.float64), program.vectors(vectors))

    @property
    def compiled(self) -> bool:
        """True where the next call runs compiled."""
        return self._switch().compiled

    @property
    def chunk(self) -> int:
        """Rows at a time."""
        rows: int = self._switch().run.chunk
        return rows

    def __call__(self, Z: Array) -> Array:
        """Return expectations (N,), float64, in the eigenvalues' unit, of scaled features Z (N, features).

        Raises RowsError for another shape, NaN and infinity, AngleError where an angle is not finite.
        """
        Z = checked(Z, self._plan.features)
        out = np.empty(len(Z))
        path = self._switch()
        chunk: int = path.run.chunk
        # Angles of several chunks at once: they are many short passes.
        rows = chunk * max(1, min(8, _ANGLES // (chunk * max(1, len(self._plan.expressions)))))
        for start in range(0, len(Z), rows):
            out[start : start + rows] = self._block(path, Z[start : start + rows])
        return out

    def _block(self, path: _Path, Z: Array) -> Single:
        """Scores of a few chunks of rows."""
        chunk: int = path.run.chunk
        padded = _padded(Z, chunk)
        angles = path.run.reduced(self._plan.angles(padded))
        return np.concatenate([self._score(path, angles, first) for first in range(0, len(padded), chunk)])[: len(Z)]

    def _score(self, path: _Path, angles: Any, first: int) -> Single:
        """Scores of the chunk whose angles begin at the column ``first``."""
        work, planes, room = self._buffers(path)
        path.run(angles, first, work, planes)
        return self._form(planes, room, path.run)

    def _buffers(self, path: _Path) -> tuple[Any, Single, Any]:
        """Workspace, planes (blocks, 3, 2^n, width) and room for products of this thread."""
        buffers: tuple[Any, Single, Any] | None = getattr(path.local, "buffers", None)
        if buffers is None:
            run = path.run
            planes = np.empty((run.chunk // run.width, 3, 2**self._plan.qubits, run.width), np.float32)
            buffers = path.local.buffers = (run.workspace(), planes, self._form.room(planes))
        return buffers


def _states(program: Program, compiled: bool) -> Any:
    if not compiled:
        return BatchedStates(program)
    from scorer.engine.compiled.paths import CompiledStates

    return CompiledStates(program)


class GaussianScorer:
    """sum_i coefficients_i exp(-gamma |z - support_i|^2) for batches of scaled features z (N, n).

    The exponent is one product: its terms in z, in |z|^2 and the constant stand side by side. ``support``: (M, n).
    ``compiled`` as for ObservableScorer.
    """

    def __init__(
        self,
        support: NDArray[np.floating],
        coefficients: NDArray[np.floating],
        gamma: float,
        *,
        compiled: bool | None = None,
    ) -> None:
        # Distances do not change when both sides move; around the middle of [0, 1] the terms that cancel are small.
        centred = support.astype(np.float64) - 0.5
        squares = -gamma * np.square(centred).sum(1, keepdims=True)
        norms = np.full((len(support), 1), -gamma)
        table = np.hstack([2.0 * gamma * centred, norms, squares])
        self._features = support.shape[1]
        weights = coefficients.astype(np.float64)
        self._switch = _Switch(lambda fast: _sums(table, weights, fast), compiled)

    @property
    def compiled(self) -> bool:
        """True where the next call runs compiled."""
        return self._switch().compiled

    def __call__(self, Z: Array) -> Array:
        """Return sums (N,), float64, in the coefficients' unit, of scaled features Z (N, n).

        Raises RowsError for another shape, NaN and infinity.
        """
        Z = checked(Z, self._features)
        out = np.empty(len(Z))
        path = self._switch()
        chunk: int = path.run.chunk
        for start in range(0, len(Z), chunk):
            block = Z[start : start + chunk]
            out[start : start + chunk] = self._score(path, _padded(block, chunk))[: len(block)]
        return out

    def _score(self, path: _Path, Z: Array) -> Single:
        columns, work = self._buffers(path)
        centred = Z.T - 0.5
        columns[:-2] = centred
        np.einsum("ij,ij->j", centred, centred, out=columns[-2], casting="same_kind")
        sums: Single = path.run(columns, work)
        return sums

    def _buffers(self, path: _Path) -> tuple[Single, Any]:
        pair: tuple[Single, Any] | None = getattr(path.local, "pair", None)
        if pair is None:
            columns = np.ones((self._features + 2, path.run.chunk), np.float32)
            pair = path.local.pair = (columns, path.run.workspace())
        return pair


class _BatchedGaussians:
    """sum_j weights_j exp(table_j . column), ``table`` (M, k), for columns (k, chunk)."""

    def __init__(self, table: Array, weights: Array) -> None:
        self.chunk = max(16, min(512, 2**18 // max(1, len(table)) // 16 * 16))
        self._table: Single = table.astype(np.float32)
        self._weights: Single = weights.astype(np.float32)

    def workspace(self) -> Single:
        return np.empty((len(self._table), self.chunk), np.float32)

    def __call__(self, columns: Single, work: Single) -> Single:
        np.matmul(self._table, columns, out=work)
        np.maximum(work, _SMALLEST_EXPONENT, out=work)
        np.exp(work, out=work)
        return self._weights @ work


def _sums(table: Array, weights: Array, compiled: bool) -> Any:
    if not compiled:
        return _BatchedGaussians(table, weights)
    from scorer.engine.compiled.paths import CompiledGaussians

    return CompiledGaussians(table, weights)


def _padded(Z: Array, rows: int) -> Array:
    """Z and its last row again, up to the next multiple of ``rows``: values that the circuit takes for certain."""
    missing = -len(Z) % rows
    return np.concatenate([Z, np.repeat(Z[-1:], missing, axis=0)]) if missing else Z
