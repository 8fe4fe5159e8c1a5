"""Novelty by the states of normal rows as a scikit-learn outlier detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import validate_data

from scorer.library.estimators.states import Floats, StateEstimator, States, observed
from scorer.models.observable import Observable
from scorer.training.families.density import fit_density
from scorer.training.families.leverage import fit_leverage


class QuantumNoveltyDetector(OutlierMixin, StateEstimator):
    """A detector of rows whose state lies outside of what the fitted rows' states span.

    Circuits are simulated exactly on classical processors.

    ``method``: ``"leverage"``, the share ridge <psi|(rho + ridge)^-1|psi> with rho the mean state of the fitted rows;
    or ``"density"``, minus the mean fidelity with them. ``ridge``: of the leverage, where the trace of rho is 1.
    ``contamination``: share of the fitted rows that ``predict`` calls outliers, above 0 and at most 0.5.
    ``feature_map``, ``bandwidth``, ``map_parameters``, ``scale``: see ``StateEstimator``.

    After ``fit``: ``circuit_``, ``observable_``, ``offset_``.
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        *,
        bandwidth: float | None = None,
        method: str = "leverage",
        ridge: float = 1e-3,
        contamination: float = 0.1,
        map_parameters: Mapping[str, Any] | None = None,
        scale: bool = True,
    ) -> None:
        self.feature_map = feature_map
        self.bandwidth = bandwidth
        self.method = method
        self.ridge = ridge
        self.contamination = contamination
        self.map_parameters = map_parameters
        self.scale = scale

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit on rows X (N, n), most of which are normal; ``y`` is ignored.

        Raises ValueError or TypeError, as scikit-learn does, for rows and parameters that are not possible.
        """
        X = validate_data(self, X, dtype=np.float64)
        if not 0.0 < self.contamination <= 0.5:
            raise ValueError(f"contamination is {self.contamination!r}; it must be above 0 and at most 0.5")
        self._fit_map(X)
        self.observable_ = self._observable(self._scaled(X))
        self.offset_ = float(np.percentile(self._by_chunks(X, self._values), 100.0 * self.contamination))
        return self

    def score_samples(self, X: Any) -> Floats:
        """Score rows X (N, n): (N,), the higher the more normal. Raises ValueError."""
        return self._by_chunks(self._checked(X), self._values)

    def decision_function(self, X: Any) -> Floats:
        """Score rows X (N, n) from where outliers begin: (N,), below 0 for them. Raises ValueError."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.intp]:
        """Tell outliers, -1, from normal rows, 1, among rows X (N, n): (N,). Raises ValueError."""
        return np.where(self.decision_function(X) < 0.0, -1, 1)

    def _values(self, psi: States) -> Floats:
        return -observed(self.observable_, psi)

    def _observable(self, Z: Floats) -> Observable:
        whole = 2**self.circuit_.qubits
        if self.method == "leverage":
            return fit_leverage(Z, self.circuit_.plan, self.ridge, rank=whole)
        if self.method == "density":
            return fit_density(Z, self.circuit_.plan, rank=whole)
        raise ValueError(f"method is {self.method!r}; known are 'leverage' and 'density'")
