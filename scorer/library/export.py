"""From a notebook to a model that can be signed: fitted machines as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.circuits.plugins import KnownMap
from scorer.engine.reference import fidelity_kernel
from scorer.library.estimators.classifier import QuantumKernelClassifier
from scorer.training.qsvc.file import write_qsvc

Floats = NDArray[np.float64]

#: How far the decision values of given rows may lie from those of the fitted ones, as a share of the largest.
_ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class _FittedMachine:
    """A classifier under the names that a fitted QSVC has."""

    quantum_kernel: KnownMap
    classes_: NDArray[Any]
    support_: NDArray[np.intp]
    dual_coef_: Floats
    intercept_: Floats


def write_machine(
    path: str | Path,
    classifier: QuantumKernelClassifier,
    *,
    features: Sequence[str],
    X: Any,
    y: ArrayLike,
    positive: Any = None,
) -> None:
    """Write a fitted classifier of two classes for `qscore import-qsvc`, which calibrates, judges and signs it.

    ``features``: the recipe's names of the columns of ``X``. ``X``: (N, n) and ``y``: (N,), the rows that it was fitted
    on. ``positive``: the label of malicious rows; None: the second of ``classes_``. The file is JSON; nothing in it
    runs when it is read. Raises ValueError for other rows, more classes, and scales that no model of the registry has.
    """
    _check_rows(classifier, X)
    machine = _FittedMachine(
        classifier.circuit_,
        classifier.classes_,
        classifier.support_,
        classifier.dual_coef_,
        classifier.intercept_,
    )
    write_qsvc(
        path,
        machine,
        features=features,
        values=np.asarray(X, np.float64),
        inputs=classifier.scaled(X),
        labels=y,
        positive=positive,
    )


def _check_rows(classifier: QuantumKernelClassifier, X: Any) -> None:
    """Raise ValueError unless the support vectors are among these rows, where they were when it was fitted."""
    values = classifier.decision_function(X)
    if values.ndim != 1:
        raise ValueError(f"the classifier has {len(classifier.classes_)} classes; one machine tells two apart")
    if classifier.support_.max() < len(X):
        states = classifier.states(X)
        kernel = fidelity_kernel(states, states[classifier.support_])
        found = kernel @ classifier.dual_coef_[0] + classifier.intercept_[0]
        if np.abs(found - values).max() <= _ALIKE * np.abs(values).max():
            return
    raise ValueError("X does not hold the rows that the classifier was fitted on, in their order: give those")
