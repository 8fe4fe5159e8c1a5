"""Which features a model gets: one qubit each, so there are few, and the choice looks at training rows only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier

from scorer.training.background import background
from scorer.training.dataset import Dataset, Floats
from scorer.training.splits import subsample

Ints = NDArray[np.int64]

TREES = 200
FOREST_ROWS = 6000
REPEATS = 0.97  # rank correlation from which a feature says nothing that a better one has not said
RULE = (
    "constant features are dropped; the rest are ranked by their importance in a seeded random forest of "
    f"{TREES} trees grown on the training rows; a feature whose ranks correlate above {REPEATS} with a better one is "
    "passed over; the first ones are taken, one for each qubit"
)


NORMAL_RULE = (
    "constant features are dropped; the rest are ranked by their importance in a seeded random forest of "
    f"{TREES} trees that tells the normal training rows from made-up ones (half with every feature shuffled on its "
    f"own, half spread evenly); a feature whose ranks correlate above {REPEATS} with a better one is passed over; the "
    "first ones are taken; no label has a say"
)


@dataclass(frozen=True)
class Choice:
    """``chosen``: feature names, best first. ``dropped``: every other feature -> why."""

    chosen: tuple[str, ...]
    dropped: Mapping[str, str]


def choose_features(data: Dataset, limit: int, seed: int) -> Choice:
    """Choose at most ``limit`` features by RULE; constant ones never are, so ``chosen`` may be empty."""
    varying = np.flatnonzero(np.ptp(data.X, axis=0) > 0.0)
    dropped = {name: "constant on every training row" for k, name in enumerate(data.names) if k not in varying}
    chosen: list[int] = []
    for k in _ranked(data, varying, seed):
        twin = next((c for c in chosen if _rank_correlation(data.X[:, k], data.X[:, c]) > REPEATS), None)
        if twin is not None:
            dropped[data.names[k]] = f"says the same as {data.names[twin]}"
        elif len(chosen) == limit:
            dropped[data.names[k]] = f"not among the {limit} most important"
        else:
            chosen.append(int(k))
    return Choice(tuple(data.names[k] for k in chosen), dropped)


def choose_normal_features(data: Dataset, limit: int, seed: int) -> Choice:
    """Choose at most ``limit`` features by NORMAL_RULE, for rows of which none is malicious."""
    rng = np.random.default_rng([seed, 4])
    rows = data.take(subsample(data.y, FOREST_ROWS // 2, rng))
    X = np.concatenate([rows.X, background(rows.X, rng)])
    y = np.repeat([0, 1], [len(rows), len(rows)])
    return choose_features(Dataset(data.names, X, y, None), limit, seed)


def _ranked(data: Dataset, varying: Ints, seed: int) -> Ints:
    """Positions of the varying features, most important first; ties in the recipe's order."""
    if varying.size == 0:
        return varying
    rows = subsample(data.y, FOREST_ROWS, np.random.default_rng(seed))
    forest = RandomForestClassifier(
        TREES, max_depth=8, min_samples_leaf=3, class_weight="balanced_subsample", random_state=seed
    )
    forest.fit(data.X[np.ix_(rows, varying)], data.y[rows])
    order: Ints = varying[np.argsort(-forest.feature_importances_, kind="stable")]
    return order


def _rank_correlation(a: Floats, b: Floats) -> float:
    """|Spearman's rho| of two varying columns."""
    return float(abs(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
