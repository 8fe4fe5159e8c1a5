"""Classical models that are no twins: what the same rows allow with all features and no kernel of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from threadpoolctl import threadpool_limits

from scorer.training.dataset import Dataset
from scorer.training.splits import CROSS_FOLDS, folds
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: All features (N, m) -> scores (N,).
Scorer = Callable[[Floats], Floats]

TITLES = {
    "boosting": "gradient boosting, all features",
    "isolation_forest": "isolation forest, all features",
}
_BOOSTING_ROUNDS = 150
_TREES = 200
_FOREST_ROWS = 20_000


def boosted(data: Dataset, seed: int) -> Scorer:
    """Fit gradient boosting on all features and rows."""
    machine = HistGradientBoostingClassifier(max_iter=_BOOSTING_ROUNDS, random_state=seed, early_stopping=False)
    scores: Scorer = machine.fit(data.X, data.y).decision_function
    return scores


def isolated(X: Floats, seed: int) -> Scorer:
    """Fit an isolation forest on all features of normal rows X (N, m), a random part of very many."""
    if len(X) > _FOREST_ROWS:
        X = X[np.random.default_rng([seed, 5]).choice(len(X), _FOREST_ROWS, replace=False)]
    forest = IsolationForest(n_estimators=_TREES, random_state=seed).fit(X)
    return lambda rows: -forest.score_samples(rows)


def boosted_apart(data: Dataset, seed: int) -> Floats | None:
    """Score every row, (N,), by gradient boosting that saw other groups only; None where these cannot be parted.

    Beside a one-class model: what a model that was shown other attacks says of these.
    """
    scores = np.empty(len(data))
    try:
        pairs = folds(data.y, data.groups, CROSS_FOLDS, seed)
    except BadTrainingData:
        return None
    with threadpool_limits(limits=1):
        for fit, held in pairs:
            scores[held] = boosted(data.take(fit), seed)(data.X[held])
    return scores
