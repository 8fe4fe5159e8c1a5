"""The ``svc`` family: a fidelity-kernel support vector machine as one observable, and its RBF twin.

A trained SVM scores f(x) = sum_i a_i |<psi_i|psi(x)>|^2 + b. With A = sum_i a_i |psi_i><psi_i| that is
<psi(x)|A|psi(x)> + b: the number of support vectors no longer matters, and A may be cut to its r largest eigenvalues.
scikit-learn is imported inside the functions that fit, because scoring must never load it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer
from scorer.engine.reference import amplitudes, expectation, fidelity_kernel

Array = NDArray[np.float64]
Vectors = NDArray[np.complex128] | NDArray[np.complex64]
ClassWeight = Literal["balanced"] | None

MAX_SUPPORT = 20_000
MAX_GAMMA = 1e3


class FitError(ValueError):
    """Rows or hyper-parameters that nothing can be fitted with."""


@dataclass(frozen=True, eq=False)
class Observable:
    """A = sum_k values_k |v_k><v_k| and an offset; eigenvalues by falling magnitude.

    ``values``: float64 (r,). ``vectors``: (r, 2^n), rows of unit norm; complex128 as collapsed, complex64 as deployed.
    """

    values: Array
    vectors: Vectors
    offset: float

    @property
    def rank(self) -> int:
        return len(self.values)

    def truncated(self, rank: int) -> Observable:
        """The ``rank`` largest eigenvalues, vectors rounded to complex64: what an artifact holds. Recalibrate after it.

        No score moves by more than the magnitude of the first eigenvalue left out (``spectral_tail``) and rounding.
        """
        return Observable(self.values[:rank].copy(), self.vectors[:rank].astype(np.complex64), self.offset)

    def spectral_tail(self, rank: int) -> float:
        """Magnitude of the largest eigenvalue beyond ``rank``; 0 when there is none."""
        return float(np.abs(self.values[rank:]).max(initial=0.0))

    def exact_scores(self, circuit: ZZMap, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n) in float64 throughout."""
        return expectation(self.values, self.vectors.astype(np.complex128), amplitudes(circuit, Z)) + self.offset

    def scores(self, circuit: ZZMap, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n) as the worker computes them: calibrate on these."""
        return ObservableScorer(circuit, self.values, self.vectors)(Z) + self.offset


@dataclass(frozen=True, eq=False)
class RbfTwin:
    """The same machine with k(x, s) = exp(-gamma |x - s|^2). ``support``: float32 (M, n). ``coefficients``: (M,)."""

    support: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    gamma: float
    offset: float

    def scores(self, Z: Array) -> Array:
        """Scores (N,) of scaled features Z (N, n)."""
        return self._scorer(Z) + self.offset

    @cached_property
    def _scorer(self) -> GaussianScorer:
        return GaussianScorer(self.support, self.coefficients, self.gamma)


def default_rank(qubits: int) -> int:
    """Rank at which held-out AUC is that of the whole observable within 0.001, as measured at 6 and 8 qubits."""
    return min(1 << qubits, 16 if qubits <= 6 else 32 if qubits <= 8 else 64)


def collapse(circuit: ZZMap, support: Array, coefficients: Array, offset: float) -> Observable:
    """The whole observable of support vectors (M, n), scaled, with dual coefficients (M,); float64, full rank."""
    psi = amplitudes(circuit, support)
    matrix = (psi.T * coefficients) @ psi.conj()
    # eigh reads one triangle and returns real eigenvalues; eig on a numerically Hermitian matrix is off by far more.
    values, columns = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    order = np.argsort(-np.abs(values), kind="stable")
    return Observable(values[order], np.ascontiguousarray(columns[:, order].T), float(offset))


def fit_svc(
    Z: Array,
    y: NDArray[np.integer],
    circuit: ZZMap,
    C: float,
    *,
    rank: int | None = None,
    class_weight: ClassWeight = None,
) -> Observable:
    """Fit on scaled features Z (N, n) with labels y (N,) of 0 and 1, collapse, and cut to ``rank``.

    ``rank``: None: default_rank; 2^n or more: the whole observable in float64. Raises FitError.
    """
    from sklearn.svm import SVC

    _check_rows(Z, y)
    psi = amplitudes(circuit, Z)
    machine = SVC(kernel="precomputed", C=_positive("C", C), class_weight=class_weight)
    machine.fit(fidelity_kernel(psi, psi), y)
    whole = collapse(circuit, Z[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
    wanted = default_rank(circuit.qubits) if rank is None else rank
    return whole if rank is not None and rank >= whole.rank else whole.truncated(wanted)


def fit_twin(Z: Array, y: NDArray[np.integer], gamma: float, C: float, *, class_weight: ClassWeight = None) -> RbfTwin:
    """Fit the RBF twin on the same rows, features and labels as ``fit_svc``. Raises FitError."""
    from sklearn.svm import SVC

    _check_rows(Z, y)
    if not 0.0 < gamma <= MAX_GAMMA:
        raise FitError(f"gamma is {gamma!r}; it must be above 0 and at most {MAX_GAMMA:g}")
    machine = SVC(kernel="rbf", gamma=gamma, C=_positive("C", C), class_weight=class_weight).fit(Z, y)
    return RbfTwin(
        np.ascontiguousarray(Z[machine.support_], np.float32),
        np.ascontiguousarray(machine.dual_coef_[0], np.float32),
        float(gamma),
        float(machine.intercept_[0]),
    )


def _check_rows(Z: Array, y: NDArray[np.integer]) -> None:
    if Z.ndim != 2 or y.shape != (len(Z),) or not np.isfinite(Z).all():
        raise FitError(f"finite rows and one label each are needed, not shapes {Z.shape} and {y.shape}")
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    if set(np.unique(y).tolist()) != {0, 1}:
        raise FitError("labels must be 0 and 1, and both must occur")


def _positive(name: str, value: float) -> float:
    if not (np.isfinite(value) and value > 0.0):
        raise FitError(f"{name} is {value!r}; it must be above 0")
    return float(value)
