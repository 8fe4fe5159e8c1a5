"""Classical twins: machines of the same family on the Gaussian kernel k(z, s) = exp(-gamma |z - s|^2).

A twin gets the same rows, features and number of tries as its quantum model, and its score stands beside in every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scorer.engine.fast import GaussianScorer
from scorer.engine.quadratic import QuadraticScorer
from scorer.models.parts import (
    Arrays,
    ArtifactFormatError,
    Layout,
    check_finite,
    check_keys,
    check_score,
    magnitude,
    number,
    stored,
)

Array = NDArray[np.float64]

MAX_SUPPORT = 20_000
MAX_LANDMARKS = 1_000
MAX_GAMMA = 1e3
#: How far from 0 a support vector may lie; scaled features lie around 0 to 1. Squares stay within float32.
MAX_PLACE = 1e6
#: What rounding to float32 may change between two ways of adding up Gaussians: by the sum, in units of
#: sum |coefficient|, and by the exponents, whose largest terms are of the size of gamma, in units of the largest one.
_SUM, _EXPONENT = 2e-7, 4e-6
#: Gaussians at a time where each is computed in float64: memory is bounded whatever the batch and the support.
_EXACT = 1 << 20


def gaussian_kernel(left: Array, right: Array, gamma: float) -> Array:
    """Compute exp(-gamma |left_i - right_j|^2) for rows (N, n) and (M, n): (N, M), float64."""
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)[None, :] - 2.0 * left @ right.T
    kernel: Array = np.exp(-gamma * np.maximum(squares, 0.0))
    return kernel


@dataclass(frozen=True, eq=False)
class RbfTwin:
    """f(z) = sum_j coefficients_j k(z, support_j) + offset: the twin of svc, nystrom-logistic, vqc, density, projected.

    ``support``: float32 (M, n): support vectors, landmarks, or the rows of a density. ``coefficients``: float32 (M,).
    """

    LAYOUT: ClassVar[Layout] = {"support": ("<f4", 2), "coefficients": ("<f4", 1)}

    support: NDArray[np.float32]
    coefficients: NDArray[np.float32]
    gamma: float
    offset: float

    def __post_init__(self) -> None:
        _check_gaussians(self.support, self.gamma, self.offset, MAX_SUPPORT)
        check_finite("a twin's coefficients", self.coefficients, self.support.shape[:1])
        check_score("a twin", magnitude(self.coefficients), self.offset)

    @property
    def features(self) -> int:
        return int(self.support.shape[1])

    def scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n): (N,)."""
        return self._scorer(Z) + self.offset

    def exact_scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n) in float64 throughout: (N,)."""
        support, weights = self.support.astype(np.float64), self.coefficients.astype(np.float64)
        exact = _exact(Z, len(support), lambda block: gaussian_kernel(block, support, self.gamma) @ weights)
        return exact + self.offset

    @property
    def rounding(self) -> float:
        """How far apart two scores of one row may come out: compiled or not, whatever batch it is in."""
        largest = float(np.abs(self.coefficients).max())
        return _SUM * magnitude(self.coefficients) + _EXPONENT * (1.0 + self.gamma) * largest

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) of Z (N, n) and their derivatives by each feature (N, n), float64."""
        support = self.support.astype(np.float64)
        terms = gaussian_kernel(Z, support, self.gamma) * self.coefficients.astype(np.float64)
        gradient = -2.0 * self.gamma * (Z * terms.sum(1, keepdims=True) - terms @ support)
        return terms.sum(1) + self.offset, gradient

    def to_dict(self) -> dict[str, Any]:
        """Write gamma and offset, JSON-able."""
        return {"gamma": self.gamma, "offset": self.offset}

    def to_arrays(self) -> Arrays:
        """Give support (M, n) and coefficients (M,)."""
        return stored({"support": self.support, "coefficients": self.coefficients}, self.LAYOUT)

    @classmethod
    def from_parts(cls, raw: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> RbfTwin:
        """Read ``to_dict`` and ``to_arrays`` of unknown origin. Raises ArtifactFormatError."""
        check_keys(raw, {"gamma", "offset"}, "twin")
        return cls(arrays["support"], arrays["coefficients"], number(raw, "gamma"), number(raw, "offset"))

    @cached_property
    def _scorer(self) -> GaussianScorer:
        return GaussianScorer(self.support, self.coefficients, self.gamma)


@dataclass(frozen=True, eq=False)
class LeverageTwin:
    """f(z) = offset + sum_k values_k (vectors_k . k(z))^2: the twin of leverage, a quadratic form of Gaussians.

    ``support``: landmarks, float32 (m, n). ``vectors``: float32 (r, m). ``values``: float64 (r,).
    """

    LAYOUT: ClassVar[Layout] = {"support": ("<f4", 2), "vectors": ("<f4", 2), "values": ("<f8", 1)}

    support: NDArray[np.float32]
    vectors: NDArray[np.float32]
    values: Array
    gamma: float
    offset: float

    def __post_init__(self) -> None:
        _check_gaussians(self.support, self.gamma, self.offset, MAX_LANDMARKS)
        rank, landmarks = len(self.values), len(self.support)
        if not 1 <= rank <= landmarks:
            raise ArtifactFormatError(f"a twin of rank {rank} on {landmarks} landmarks")
        check_finite("a twin's vectors", self.vectors, (rank, landmarks))
        check_finite("a twin's values", self.values, (rank,))
        with np.errstate(over="ignore"):
            most = magnitude(self.values * np.abs(self.vectors).sum(1, dtype=np.float64) ** 2)
        check_score("a twin", most, self.offset)

    @property
    def features(self) -> int:
        return int(self.support.shape[1])

    def scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n): (N,)."""
        return self._scorer(Z) + self.offset

    def exact_scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n) in float64 throughout: (N,)."""
        support, vectors = self.support.astype(np.float64), self.vectors.astype(np.float64)

        def block(rows: Array) -> Array:
            squares: Array = (gaussian_kernel(rows, support, self.gamma) @ vectors.T) ** 2
            return squares @ self.values

        return _exact(Z, len(support), block) + self.offset

    @property
    def rounding(self) -> float:
        """How far apart two scores of one row may come out, whatever batch it is in; there is one way to compute it."""
        return _EXPONENT * (1.0 + self.gamma) * magnitude(self.values)

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) of Z (N, n) and their derivatives by each feature (N, n), float64."""
        support, vectors = self.support.astype(np.float64), self.vectors.astype(np.float64)
        kernel = gaussian_kernel(Z, support, self.gamma)
        projected = kernel @ vectors.T
        terms = kernel * ((2.0 * self.values * projected) @ vectors)
        gradient = -2.0 * self.gamma * (Z * terms.sum(1, keepdims=True) - terms @ support)
        return projected**2 @ self.values + self.offset, gradient

    def to_dict(self) -> dict[str, Any]:
        """Write gamma and offset, JSON-able."""
        return {"gamma": self.gamma, "offset": self.offset}

    def to_arrays(self) -> Arrays:
        """Give support (m, n), vectors (r, m) and values (r,)."""
        return stored({"support": self.support, "vectors": self.vectors, "values": self.values}, self.LAYOUT)

    @classmethod
    def from_parts(cls, raw: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LeverageTwin:
        """Read ``to_dict`` and ``to_arrays`` of unknown origin. Raises ArtifactFormatError."""
        check_keys(raw, {"gamma", "offset"}, "twin")
        numbers = number(raw, "gamma"), number(raw, "offset")
        return cls(arrays["support"], arrays["vectors"], arrays["values"], *numbers)

    @cached_property
    def _scorer(self) -> QuadraticScorer:
        return QuadraticScorer(self.support, self.vectors, self.values, self.gamma)


def _exact(Z: Array, support: int, of_block: Any) -> Array:
    out, rows = np.empty(len(Z)), max(1, _EXACT // support)
    for start in range(0, len(Z), rows):
        out[start : start + rows] = of_block(Z[start : start + rows])
    return out


def _check_gaussians(support: NDArray[Any], gamma: float, offset: float, most: int) -> None:
    if support.ndim != 2 or not 1 <= len(support) <= most or support.dtype != np.float32:
        raise ArtifactFormatError(f"a twin with support vectors of shape {support.shape} and type {support.dtype}")
    if not np.isfinite(offset) or not 0.0 < gamma <= MAX_GAMMA:
        raise ArtifactFormatError(f"a twin with gamma {gamma!r} and offset {offset!r}")
    if not (np.abs(support) <= MAX_PLACE).all():
        raise ArtifactFormatError(f"a twin with support vectors beyond {MAX_PLACE:g} or without a value")
