"""Which rows fit a model, which calibrate and judge it. Rows of one group never stand on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from scorer.training.dataset import Dataset
from scorer.wire.errors import BadTrainingData

Ints = NDArray[np.int64]

HELD_OUT_PARTS = 3  # one third of the rows is held out
HELD_OUT_BENIGN, HELD_OUT_POSITIVES = 500, 50
CROSS_FOLDS = 5


@dataclass(frozen=True, eq=False)
class Split:
    """``kind``: "held-out" (one pair) or "cross-fitting". ``pairs``: (rows to fit, rows to score), positions."""

    kind: str
    pairs: tuple[tuple[Ints, Ints], ...]


def split(data: Dataset, seed: int) -> Split:
    """Hold out a third when it leaves at least 500 benign and 50 malicious rows, else cross-fit in five folds.

    Raises BadTrainingData when the groups cannot be parted so that malicious rows stand on both sides.
    """
    fit, held = folds(data.y, data.groups, HELD_OUT_PARTS, seed)[0]
    positives = int(data.y[held].sum())
    if len(held) - positives >= HELD_OUT_BENIGN and positives >= HELD_OUT_POSITIVES:
        return Split("held-out", ((fit, held),))
    return Split("cross-fitting", tuple(folds(data.y, data.groups, CROSS_FOLDS, seed)))


def split_normal(data: Dataset, seed: int) -> Split:
    """Part the benign rows for machines that are fitted on them alone; all malicious rows are judged.

    A third of the benign rows is held out where it is at least 500, else five folds are cross-fitted, and every
    malicious row is judged once, by one of the five. Raises BadTrainingData for fewer than two groups.
    """
    benign, attacks = np.flatnonzero(data.y == 0), np.flatnonzero(data.y == 1)
    groups = None if data.groups is None else data.groups[benign]
    fit, held = _normal_folds(benign, groups, HELD_OUT_PARTS, seed)[0]
    if len(held) >= HELD_OUT_BENIGN:
        return Split("held-out", ((fit, np.sort(np.append(held, attacks))),))
    pairs = _normal_folds(benign, groups, CROSS_FOLDS, seed)
    shares = np.array_split(np.random.default_rng(seed).permutation(attacks), len(pairs))
    judged = [np.sort(np.append(held, some)) for (_, held), some in zip(pairs, shares, strict=True)]
    return Split("cross-fitting", tuple((fit, held) for (fit, _), held in zip(pairs, judged, strict=True)))


def _normal_folds(benign: Ints, groups: Ints | None, parts: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Folds of these positions; rows of one group never stand on both sides."""
    if groups is None:
        pairs = KFold(parts, shuffle=True, random_state=seed).split(benign)
    else:
        parts = min(parts, len(np.unique(groups)))
        if parts < 2:
            raise BadTrainingData("all benign rows are in one group", "Give a finer --group column, or leave it out.")
        pairs = GroupKFold(parts, shuffle=True, random_state=seed).split(benign, groups=groups)
    return [(benign[fit], benign[held]) for fit, held in pairs]


def folds(y: Ints, groups: Ints | None, parts: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Make at most ``parts`` stratified folds (rows to fit, rows to score), positions among labels ``y`` (N,).

    There are fewer when there are fewer ``groups`` (N,) with malicious rows. Raises BadTrainingData when the groups
    cannot be parted so that malicious rows stand on both sides.
    """
    if groups is None:
        return list(StratifiedKFold(parts, shuffle=True, random_state=seed).split(np.zeros((len(y), 1)), y))
    parts = min(parts, len(np.unique(groups[y == 1])))
    if parts < 2:
        raise BadTrainingData(
            "all malicious rows are in one group, so that none is left to judge the model on",
            "Give a finer --group column, or leave --group out and read the figures as in-sample.",
        )
    maker = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    pairs = list(maker.split(np.zeros((len(y), 1)), y, groups))
    if any(len(np.unique(y[fit])) < 2 for fit, _ in pairs):
        raise BadTrainingData("the groups cannot be parted with both classes on either side", "Use finer groups.")
    return pairs


def inner_folds(y: Ints, groups: Ints | None, parts: int, seed: int) -> list[tuple[Ints, Ints]]:
    """Make folds for the search inside the rows to fit, with labels ``y`` (N,).

    They are grouped by ``groups`` (N,) where these allow it, else stratified only. Raises ValueError where ``y`` has
    fewer rows of a class than folds.
    """
    try:
        found = [(a, b) for a, b in folds(y, groups, parts, seed) if len(np.unique(y[b])) == 2]
    except BadTrainingData:
        found = []
    return found if len(found) >= 2 else folds(y, None, parts, seed)


def subsample(y: Ints, limit: int, rng: np.random.Generator) -> Ints:
    """Draw positions (k,) of at most ``limit`` rows with labels ``y`` (N,), ascending.

    Malicious rows come first (up to half), benign ones fill the rest.
    """
    if len(y) <= limit:
        return np.arange(len(y))
    attacks, benign = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    kept = min(len(attacks), max(limit // 2, limit - len(benign)))
    chosen = [rng.choice(attacks, kept, replace=False), rng.choice(benign, limit - kept, replace=False)]
    positions: Ints = np.sort(np.concatenate(chosen))
    return positions
