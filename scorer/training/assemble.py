"""The last stages of any training: from fitted machines and scores of rows that they never saw to a model.

One place for machines that were fitted here (``train``) and for those that were fitted elsewhere (``qsvc.model``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.models.calibration import Calibration, CalibrationError, Ranks, fit_platt
from scorer.models.trained import MAX_BENIGN, TrainedModel
from scorer.training.evaluate import Evaluation, evaluate
from scorer.training.facts import TrainingRun
from scorer.training.fit import Fitted
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldOutScores:
    """Scores of N rows by machines that were not fitted on them.

    ``y``: 0 or 1 (N,). ``groups``: (N,) or None. ``scores``: "quantum", "twin" and yardsticks -> (N,).
    """

    y: Ints
    groups: Ints | None
    scores: Mapping[str, Floats]


class UncalibratedScores(ValueError):
    """Held-out scores of ``which`` ("quantum" or "twin") that no probability can be made of; the message says why."""

    def __init__(self, which: str, reason: str) -> None:
        super().__init__(reason)
        self.which = which


def check_line(benign: int, fpr: float, *, by_event: bool) -> None:
    """Raises BadTrainingData where ``benign`` held-out rows are too few for a line at ``fpr``.

    The smallest p-value is 1 / (n + 1). ``by_event``: whether rows of single events are a way out.
    """
    if fpr * (benign + 1) >= 1.0:
        return
    possible = f"ask for --fpr {np.ceil(100.0 / (benign + 1)) / 100:g}"
    raise BadTrainingData(
        f"{benign} benign rows cannot set a line at a false-positive rate of {fpr:g}",
        f"Add benign rows, {possible}, or use --grain event." if by_event else f"Add benign rows, or {possible}.",
    )


def evaluated(run: TrainingRun, held: HeldOutScores) -> Evaluation | None:
    """Judge all machines on the held-out rows; None where no attack is among them."""
    if not held.y.any():
        return None
    return evaluate(held.y, held.scores, held.groups, run.options.fpr, run.options.seed)


def benign_scores(held: HeldOutScores, more: Mapping[str, Floats], seed: int) -> dict[str, Floats]:
    """Collect what sets the line: sorted scores (n,) of benign rows that nothing was fitted on, of quantum and twin.

    ``more``: scores of other benign rows, by the same names. Beyond what an artifact may hold, a random part of them.
    """
    rng = np.random.default_rng([seed, 2])
    benign = {}
    for which in ("quantum", "twin"):
        scores = np.concatenate([held.scores[which][held.y == 0], more.get(which, np.empty(0))])
        if len(scores) > MAX_BENIGN:
            scores = rng.choice(scores, MAX_BENIGN, replace=False)
        benign[which] = np.sort(scores.astype(np.float64))
    return benign


def assembled(
    run: TrainingRun,
    fitted: Fitted,
    held: HeldOutScores,
    benign: Mapping[str, Floats],
    facts: Mapping[str, object],
) -> TrainedModel:
    """Put the model together, calibrated on ``held``, its line set on ``benign``; ``facts``: what its card says.

    Raises UncalibratedScores.
    """
    benign_rows = run.data.X[run.data.y == 0]
    ranks = {
        "quantum": Ranks(benign["quantum"], fitted.machine.rounding),
        "twin": Ranks(benign["twin"], fitted.twin.rounding),
    }
    return TrainedModel(
        name=run.recipe.name,
        family=run.options.family,
        recipe=run.recipe,
        grain=run.grain,
        feature_names=fitted.choice.chosen,
        scaler=fitted.scaler,
        machine=fitted.machine,
        twin=fitted.twin,
        calibration=_calibrated(held, "quantum", run.prevalence, ranks["quantum"]),
        twin_calibration=_calibrated(held, "twin", run.prevalence, ranks["twin"]),
        benign_scores=benign["quantum"],
        twin_benign_scores=benign["twin"],
        fpr=run.options.fpr,
        reference=np.median(benign_rows[:, fitted.columns], axis=0),
        facts={**facts, "line_rows": len(benign["quantum"])},
    )


def _calibrated(held: HeldOutScores, which: str, prevalence: float | None, ranks: Ranks) -> Calibration:
    """On scores as deployed, after truncation; without labelled attacks the ranks among benign scores."""
    if not held.y.any():
        return ranks
    try:
        return fit_platt(held.scores[which], held.y, prevalence)
    except CalibrationError as error:
        raise UncalibratedScores(which, str(error)) from None
