"""A support vector machine on a fidelity kernel as a scikit-learn classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.library.estimators.states import Floats, StateEstimator, States, observed
from scorer.library.estimators.weighted import Ints, WeightedRows, weighted_rows
from scorer.models.observable import Observable, collapse_states
from scorer.training.qsvc.machines import ImportRefused, KernelMachine


class QuantumKernelClassifier(ClassifierMixin, StateEstimator):
    """A support vector machine on the fidelity kernel |<psi(x)|psi(x')>|^2 (Havlicek et al., Nature 567 (2019) 209).

    Circuits are simulated exactly on classical processors. Two classes of any labels; more are told one from the rest.

    ``feature_map``, ``bandwidth``, ``map_parameters``, ``scale``: see ``StateEstimator``. ``C``, ``class_weight``,
    ``tol``: as of scikit-learn's ``SVC``. Probabilities come from
    ``CalibratedClassifierCV(QuantumKernelClassifier(), ensemble=False)``, on rows that were held out.

    After ``fit``: ``classes_`` (k,); ``circuit_``, the feature map at its bandwidth; ``observables_``, one for two
    classes and otherwise one for each, so that scoring takes no longer for more support vectors; ``support_``,
    ``support_vectors_``, ``dual_coef_``, ``intercept_`` as of ``SVC``, one machine a row. Equal rows count once, with
    the sum of their weights.
    """

    def __init__(
        self,
        feature_map: Any = "auto",
        *,
        bandwidth: float | None = None,
        C: float = 1.0,
        class_weight: Mapping[Any, float] | str | None = None,
        map_parameters: Mapping[str, Any] | None = None,
        scale: bool = True,
        tol: float = 1e-3,
    ) -> None:
        self.feature_map = feature_map
        self.bandwidth = bandwidth
        self.C = C
        self.class_weight = class_weight
        self.map_parameters = map_parameters
        self.scale = scale
        self.tol = tol

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit on rows X (N, n) with labels y (N,); ``sample_weight``: (N,), 0 for rows that are left out.

        Raises ValueError or TypeError, as scikit-learn does, for rows, labels and parameters that are not possible.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        rows = weighted_rows(X, y, sample_weight)
        self.classes_ = rows.classes
        self._fit_map(rows.X)
        psi = amplitudes(self.circuit_, self._scaled(rows.X))
        kernel, weights = fidelity_kernel(psi, psi), rows.balanced(self.class_weight)
        self._keep([self._machine(kernel, target, weights) for target in _targets(rows)], psi, rows)
        return self

    def decision_function(self, X: Any) -> Floats:
        """Score rows X (N, n): (N,), positive for the second class; (N, k) of more than two classes, one each.

        Raises ValueError.
        """
        values = self._by_chunks(self._checked(X), self._values)
        return values[:, 0] if len(self.observables_) == 1 else values

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the labels (N,) of rows X (N, n) by the decision function. Raises ValueError."""
        values = self.decision_function(X)
        best = (values > 0.0).astype(np.intp) if values.ndim == 1 else values.argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def kernel_machine(self, rows: Floats | None = None) -> KernelMachine:
        """Give the machine of two classes as `qscore import-qsvc` takes it: on rows as ``fit`` was given them.

        ``rows``: (N, n), those that it was fitted on, to make sure that they are. Raises ImportRefused for others and
        for more classes, NotFittedError.
        """
        check_is_fitted(self)
        if len(self.classes_) != 2:
            raise ImportRefused(f"the classifier has {len(self.classes_)} classes; one machine tells two apart")
        if rows is not None and not self._fitted_on(rows):
            raise ImportRefused("these are not the rows that the classifier was fitted on, in their order: give those")
        labels = self.classes_.tolist()
        plan, support = self.circuit_.plan, self._scaled(self.support_vectors_)
        found = KernelMachine(plan, support, self.dual_coef_[0], float(self.intercept_[0]), (labels[0], labels[1]))
        if self.scaler_ is None:
            return found
        width = self.scaler_.high - self.scaler_.low
        return found.rescaled(-self.scaler_.low / width, 1.0 / width)

    def _fitted_on(self, rows: Floats) -> bool:
        if rows.shape[1:] != self.support_vectors_.shape[1:] or self.support_.max() >= len(rows):
            return False
        return np.allclose(rows[self.support_], self.support_vectors_, rtol=1e-9, atol=1e-12)

    def _values(self, psi: States) -> Floats:
        """Decision values (N, machines) of states (N, 2^n)."""
        return np.column_stack([observed(observable, psi) for observable in self.observables_])

    def _machine(self, kernel: Floats, target: Ints, weights: Floats) -> SVC:
        return SVC(kernel="precomputed", C=self.C, tol=self.tol).fit(kernel, target, sample_weight=weights)

    def _keep(self, machines: list[SVC], psi: States, rows: WeightedRows) -> None:
        used = np.unique(np.concatenate([machine.support_ for machine in machines]))
        dual = np.zeros((len(machines), len(rows)))
        for row, machine in zip(dual, machines, strict=True):
            row[machine.support_] = machine.dual_coef_[0]
        self.support_ = rows.first[used]
        self.support_vectors_ = rows.X[used]
        self.dual_coef_ = dual[:, used]
        self.intercept_ = np.array([float(machine.intercept_[0]) for machine in machines])
        self.observables_ = [
            _observable(psi[machine.support_], machine.dual_coef_[0], float(machine.intercept_[0]))
            for machine in machines
        ]


def _targets(rows: WeightedRows) -> list[Ints]:
    """Mark the rows that each machine is to tell from the others: 1 for its class, 0 for others (N,)."""
    classes = range(1, 2) if len(rows.classes) == 2 else range(len(rows.classes))
    return [(rows.codes == number).astype(np.intp) for number in classes]


def _observable(support: States, coefficients: Floats, offset: float) -> Observable:
    """Support states (M, 2^n) as an observable of no more than 2^n terms; no digit is lost."""
    if len(support) <= support.shape[1]:
        return Observable(coefficients.copy(), support, offset)  # the states themselves are as few
    return collapse_states(support, coefficients, offset)
