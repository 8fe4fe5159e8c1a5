"""Three models on the same rows: the quantum kernel machine, its RBF twin, and gradient boosting as the yardstick."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from scorer.circuits.zz import ZZMap
from scorer.features.transform import Scaler
from scorer.models.fit import fit_svc, fit_twin
from scorer.models.svc import Observable, RbfTwin
from scorer.training.choose import Choice, choose_features
from scorer.training.dataset import Dataset
from scorer.training.options import FIT_ROWS
from scorer.training.search import Searched, search, zz_map
from scorer.training.splits import subsample
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BOOSTING_ROUNDS = 150


@dataclass(frozen=True, eq=False)
class Fitted:
    """The first two models see the chosen features alone, boosting sees all.

    ``columns``: positions of the chosen features among all. ``rows``: how many rows the kernel machines were fitted on.
    """

    choice: Choice
    columns: Ints
    scaler: Scaler
    circuit: ZZMap
    observable: Observable
    twin: RbfTwin
    boosting: HistGradientBoostingClassifier
    searched: Searched
    rows: int

    def scores(self, X: Floats) -> dict[str, Floats]:
        """Scores (N,) of all features X (N, m) by "quantum", "twin" and "boosting"."""
        Z = self.scaler.apply(X[:, self.columns])
        return {
            "quantum": self.observable.scores(self.circuit, Z),
            "twin": self.twin.scores(Z),
            "boosting": self.boosting.decision_function(X),
        }


def fit(data: Dataset, qubits: int, seed: int, fit_rows: int = FIT_ROWS) -> Fitted:
    """Choose features, scale, search and fit on these rows alone, the kernel machines on ``fit_rows`` of them at most.

    Raises BadTrainingData when no feature varies.

    On one thread: on a busy machine the small parallel loops of these libraries wait for each other far longer than
    they work.
    """
    with threadpool_limits(limits=1):
        return _fit(data, qubits, seed, fit_rows)


def _fit(data: Dataset, qubits: int, seed: int, fit_rows: int) -> Fitted:
    choice = choose_features(data, qubits, seed)
    if not choice.chosen:
        raise BadTrainingData("every feature is constant on the training rows", "Add rows that differ.")
    columns = np.array([data.names.index(name) for name in choice.chosen])
    scaler = Scaler.fit(data.X[:, columns], choice.chosen)
    kept = data.take(subsample(data.y, fit_rows, np.random.default_rng([seed, 1])))
    Z = scaler.apply(kept.X[:, columns])
    found = search(Z, kept.y, kept.groups, seed)
    circuit = zz_map(len(columns), found.quantum.width)
    return Fitted(
        choice=choice,
        columns=columns,
        scaler=scaler,
        circuit=circuit,
        observable=fit_svc(Z, kept.y, circuit, found.quantum.C, class_weight="balanced"),
        twin=fit_twin(Z, kept.y, found.twin.width, found.twin.C, class_weight="balanced"),
        boosting=_boosted(data, seed),
        searched=found,
        rows=len(kept),
    )


def _boosted(data: Dataset, seed: int) -> HistGradientBoostingClassifier:
    machine = HistGradientBoostingClassifier(max_iter=_BOOSTING_ROUNDS, random_state=seed, early_stopping=False)
    return machine.fit(data.X, data.y)
