"""Reasons of scored rows in words, the highest scores first, within a time that somebody can wait.

A row's reason costs about a hundred scores (at twelve qubits five hundred), so a large batch that asks for all of them,
or a line that half of a network lies above, would outlast the task that scores it, and the scores would be lost with
the reasons. So rows are explained from the highest score down until the time is up. The others say so in their reason:
their scores are as good as anybody's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.errors import AngleError
from scorer.models.explain import attributions
from scorer.models.trained import TrainedModel
from scorer.rows.transform import in_units, in_words

Array = NDArray[np.float64]
Positions = NDArray[np.intp]
#: Seconds since some moment; never falls.
Clock = Callable[[], float]

NOT_EXPLAINED = "not explained: the time for reasons went to higher scores of its batch; score fewer rows at a time"
_NO_DRIVER = "no single feature raises this score"
_NO_REASON = "no reason: a formula of the model's circuit has no value or no slope between a usual row and this one"

#: A second feature is named only when it adds at least this share of what the first adds.
_SECOND_DRIVER = 0.25
#: Amplitudes of the rows explained before anything is known of how long one takes: a few milliseconds of work, so that
#: the alerts of a usual batch are explained at once. On a simulator of large circuits it is a single row.
_FIRST_AMPLITUDES = 1 << 14
#: Share of what time is left that the next rows may take, as far as the last ones tell: some rows take several times
#: as long as others.
_SHARE = 0.5


def reasons(
    model: TrainedModel,
    X: Array,
    Z: Array,
    scores: Array,
    wanted: Positions,
    seconds: float | None = None,
    clock: Clock = time.monotonic,
) -> NDArray[np.object_]:
    """Put the reasons (N,) of the rows at the positions ``wanted`` (k,) in words; empty texts elsewhere.

    ``X``: features (N, n) in their own units; ``Z``: the same, scaled; ``scores``: (N,). ``seconds``: how long it may
    take by ``clock``, from now; None: as long as it takes. What is begun within it is finished, and what is not begun
    gets NOT_EXPLAINED, lower scores first.
    """
    out = np.full(len(X), "", np.object_)
    usual = model.scaler.apply(model.reference[None, :])[0]
    falling = wanted[np.argsort(-scores[wanted], kind="stable")]
    out[falling] = NOT_EXPLAINED
    first = max(1, _FIRST_AMPLITUDES >> model.machine.circuit.qubits) if model.machine.differentiable else 1
    for rows in blocks_in_time(falling, seconds, first, clock):
        out[rows] = _words(model, X[rows], _added(model, Z[rows], usual))
    return out


def blocks_in_time(
    rows: Positions, seconds: float | None, first: int, clock: Clock = time.monotonic
) -> Iterator[Positions]:
    """Yield ``rows`` (k,) in order, in blocks whose work ends within about ``seconds`` of ``clock``.

    The first block has ``first`` rows, each of the others at most twice as many as the one before it, and as few as
    the time that is left asks for, by what a row of the block before it took. ``seconds`` None: one block of all.
    """
    if seconds is None:
        if len(rows):
            yield rows
        return
    start, done, size = clock(), 0, first
    left = seconds
    while done < len(rows) and size >= 1 and left > 0.0:
        block = rows[done : done + size]
        yield block
        done += len(block)
        before, left = left, seconds - (clock() - start)
        each = max((before - left) / len(block), 1e-9)
        size = min(2 * size, int(_SHARE * left / each))


def _added(model: TrainedModel, Z: Array, usual: Array) -> Array:
    """Attributions (k, n); NaN on rows that no path from a usual row leads to, as a formula has no value on the way."""
    try:
        return attributions(model.machine, Z, usual)
    except AngleError:
        if len(Z) == 1:
            return np.full(Z.shape, np.nan)
        half = len(Z) // 2
        return np.concatenate([_added(model, Z[:half], usual), _added(model, Z[half:], usual)])


def _words(model: TrainedModel, X: Array, added: Array) -> list[str]:
    """The one or two features that add most to each row's score (k, n), in the recipe's words."""
    features = [model.recipe.feature_by_name[name] for name in model.feature_names]
    order = np.argsort(-added, axis=1)[:, :2]
    usual = [in_units(feature, value) for feature, value in zip(features, model.reference.tolist(), strict=True)]
    texts = []
    for values, adds, best in zip(X.tolist(), added.tolist(), order.tolist(), strict=True):
        drivers = [k for k in best if adds[k] > max(0.0, _SECOND_DRIVER * adds[best[0]])]
        words = [in_words(features[k], values[k], usual[k]) for k in drivers]
        texts.append("; ".join(words) or (_NO_REASON if math.isnan(adds[0]) else _NO_DRIVER))
    return texts
