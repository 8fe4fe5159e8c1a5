"""Nystrom features of a fidelity kernel as a scikit-learn transformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.library.estimators.states import Floats, StateEstimator
from scorer.training.families.landmarks import whitening


class NystromFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StateEstimator):
    """Features whose inner products are the fidelity kernel, exactly on the landmarks and nearly elsewhere.

    For linear machines and many rows: ``make_pipeline(NystromFeatures(), LogisticRegression())``. Circuits are
    simulated exactly on classical processors. Williams and Seeger, NIPS 2000.

    ``n_components``: landmarks at most, drawn from the fitted rows by ``random_state``; directions that they have
    nearly in common are left out, so that features may be fewer. ``feature_map``, ``bandwidth``, ``map_parameters``,
    ``scale``: see ``StateEstimator``. After ``fit``: ``circuit_``, ``states_`` (m, 2^n) of the landmarks, ``basis_``
    (m, features), ``component_indices_`` (m,) among the fitted rows.
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        *,
        bandwidth: float | None = None,
        n_components: int = 100,
        map_parameters: Mapping[str, Any] | None = None,
        scale: bool = True,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.feature_map = feature_map
        self.bandwidth = bandwidth
        self.n_components = n_components
        self.map_parameters = map_parameters
        self.scale = scale
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose landmarks among rows X (N, n); ``y`` is ignored.

        Raises ValueError or TypeError, as scikit-learn does, for rows and parameters that are not possible.
        """
        X = validate_data(self, X, dtype=np.float64)
        if self.n_components < 1:
            raise ValueError(f"n_components is {self.n_components!r}; it must be 1 or more")
        self._fit_map(X)
        count = min(int(self.n_components), len(X))
        self.component_indices_ = check_random_state(self.random_state).permutation(len(X))[:count]
        self.states_ = amplitudes(self.circuit_, self._scaled(X[self.component_indices_]))
        self.basis_ = whitening(fidelity_kernel(self.states_, self.states_))
        return self

    def transform(self, X: Any) -> Floats:
        """Compute the features (N, m') of rows X (N, n). Raises ValueError."""
        return self._by_chunks(self._checked(X), lambda psi: fidelity_kernel(psi, self.states_) @ self.basis_)

    @property
    def _n_features_out(self) -> int:
        return int(self.basis_.shape[1])
