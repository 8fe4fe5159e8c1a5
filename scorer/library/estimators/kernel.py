"""The fidelity kernel as a scikit-learn transformer: rows to their kernel values with the fitted rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.library.estimators.states import Floats, StateEstimator


class FidelityKernel(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StateEstimator):
    """Fidelities |<psi(x)|psi(x')>|^2 of rows with the fitted rows (Havlicek et al., Nature 567 (2019) 209).

    Circuits are simulated exactly on classical processors. For machines that take a kernel matrix:
    ``make_pipeline(FidelityKernel(), SVC(kernel="precomputed"))``; or, fitted, for those that take a function:
    ``SVC(kernel=FidelityKernel().fit(X).pairwise)``.

    ``feature_map``, ``bandwidth``, ``map_parameters``, ``scale``: see ``StateEstimator``. After ``fit``: ``circuit_``,
    and ``states_`` (M, 2^n) of the fitted rows.
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        *,
        bandwidth: float | None = None,
        map_parameters: Mapping[str, Any] | None = None,
        scale: bool = True,
    ) -> None:
        self.feature_map = feature_map
        self.bandwidth = bandwidth
        self.map_parameters = map_parameters
        self.scale = scale

    def fit(self, X: Any, y: Any = None) -> Self:
        """Compute the states of rows X (M, n); ``y`` is ignored.

        Raises ValueError or TypeError, as scikit-learn does, for rows and parameters that are not possible.
        """
        X = validate_data(self, X, dtype=np.float64)
        self._fit_map(X)
        self.states_ = amplitudes(self.circuit_, self._scaled(X))
        return self

    def transform(self, X: Any) -> Floats:
        """Compute the kernel (N, M) of rows X (N, n) with the fitted rows. Raises ValueError."""
        return self._by_chunks(self._checked(X), lambda psi: fidelity_kernel(psi, self.states_))

    def pairwise(self, X: Any, Y: Any = None) -> Floats:
        """Compute the kernel of rows X (N, n) with rows Y (M, n), scaled as the fitted ones: (N, M).

        ``Y`` None: of X with itself, exactly symmetric. Raises ValueError.
        """
        left = self.states(X)
        return fidelity_kernel(left, left if Y is None or Y is X else self.states(Y))

    @property
    def _n_features_out(self) -> int:
        return len(self.states_)
