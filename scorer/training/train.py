"""From labelled rows to a trained model: choose, scale, search, fit, calibrate on other rows, judge openly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.circuits.zz import MAX_QUBITS
from scorer.features.recipe import Recipe
from scorer.models.calibration import CalibrationError, Platt, fit_platt
from scorer.models.decision import MAX_FPR
from scorer.models.svc import MAX_SUPPORT
from scorer.models.trained import MAX_BENIGN, TrainedModel
from scorer.training.dataset import Dataset, dataset
from scorer.training.evaluate import evaluate
from scorer.training.facts import Provenance, Run, facts_of
from scorer.training.fit import Fitted, fit
from scorer.training.options import DEFAULTS, TrainOptions
from scorer.training.rows import Columns
from scorer.training.splits import Split, split
from scorer.wire.errors import BadTrainingData

__all__ = ["Provenance", "TrainOptions", "check_options", "train"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Steps = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of rows that the scoring model was not fitted on, (N',) each, with their labels."""

    y: Ints
    groups: Ints | None
    scores: Mapping[str, Floats]


def no_steps(_text: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def train(
    recipe: Recipe,
    rows: pa.Table,
    columns: Columns,
    provenance: Provenance,
    options: TrainOptions = DEFAULTS,
    grain: str | None = None,
    steps: Steps = no_steps,
) -> TrainedModel:
    """A model of labelled rows (see ``prepare.prepared``), with everything that its card says in ``facts``.

    ``grain``: what a row is; None: the recipe's. ``steps(text, done, total)`` hears of progress. Raises
    BadTrainingData when rows, labels or options cannot give a model.
    """
    check_options(recipe, options)
    excluded = _excluded(recipe, options.without)
    data = dataset(recipe, rows, columns).without(excluded)
    parts = split(data, options.seed)
    _check_line(data, parts, options.fpr)
    run = Run(recipe, grain or recipe.grain, columns, provenance, options, data, parts, excluded)
    total = len(parts.pairs) + 2
    judged, fitted = _judge(run, steps, total)
    if parts.kind == "cross-fitting":
        steps("fitting on all rows", total - 2, total)
        fitted = fit(data, options.qubits, options.seed, options.most_rows)
    steps("calibrating and judging", total - 1, total)
    evaluation = evaluate(judged.y, judged.scores, judged.groups, options.fpr, options.seed)
    model = _assembled(run, fitted, judged, facts_of(run, fitted, evaluation))
    steps("done", total, total)
    return model


def check_options(recipe: Recipe, options: TrainOptions) -> None:
    """Raises BadTrainingData naming the option that no training can be done with."""
    if not 1 <= options.qubits <= MAX_QUBITS:
        raise BadTrainingData(f"--qubits {options.qubits} is not possible", f"Give 1 to {MAX_QUBITS}.")
    if not 100 <= options.most_rows <= MAX_SUPPORT:
        raise BadTrainingData(f"--fit-rows {options.most_rows} is not possible", f"Give 100 to {MAX_SUPPORT}.")
    if not 0.0 < options.fpr <= MAX_FPR:
        raise BadTrainingData(f"--fpr {options.fpr} is not possible", f"Give a share above 0 and at most {MAX_FPR}.")
    if options.prevalence is not None and not 0.0 < options.prevalence < 1.0:
        raise BadTrainingData(f"--prevalence {options.prevalence} is no share", "Give a number between 0 and 1.")
    known = {f.name for f in recipe.features} | {f.group for f in recipe.features if f.group}
    unknown = [name for name in options.without if name not in known]
    if unknown:
        raise BadTrainingData(f"--without {unknown[0]} is no feature", f"Known are {', '.join(sorted(known))}.")
    if len(_excluded(recipe, options.without)) == len(recipe.features):
        raise BadTrainingData("--without leaves no feature", "Leave fewer out.")


def _excluded(recipe: Recipe, without: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f.name for f in recipe.features if f.name in without or (f.group and f.group in without))


def _check_line(data: Dataset, parts: Split, fpr: float) -> None:
    """There must be enough benign rows to be judged for a line at ``fpr``: the smallest p-value is 1 / (n + 1)."""
    held = np.concatenate([held for _, held in parts.pairs])
    benign = int((data.y[held] == 0).sum())
    if fpr * (benign + 1) < 1.0:
        raise BadTrainingData(
            f"{benign} benign rows cannot set a line at a false-positive rate of {fpr:g}",
            f"Add benign rows, ask for --fpr {np.ceil(100.0 / (benign + 1)) / 100:g}, or use --grain event.",
        )


def _judge(run: Run, steps: Steps, total: int) -> tuple[Judged, Fitted]:
    """Scores of every row to be judged, pooled over the folds, and the last fold's models."""
    scored: list[dict[str, Floats]] = []
    for k, (fit_rows, held) in enumerate(run.parts.pairs):
        steps(f"fitting part {k + 1} of {len(run.parts.pairs)}", k, total)
        last = fit(run.data.take(fit_rows), run.options.qubits, run.options.seed, run.options.most_rows)
        scored.append(last.scores(run.data.X[held]))
    rows = run.data.take(np.concatenate([held for _, held in run.parts.pairs]))
    pooled = {name: np.concatenate([s[name] for s in scored]) for name in scored[0]}
    return Judged(rows.y, rows.groups, pooled), last


def _assembled(run: Run, fitted: Fitted, judged: Judged, facts: Mapping[str, object]) -> TrainedModel:
    rng = np.random.default_rng([run.options.seed, 2])
    benign_rows = run.data.X[run.data.y == 0]
    return TrainedModel(
        name=run.recipe.name,
        recipe=run.recipe,
        grain=run.grain,
        feature_names=fitted.choice.chosen,
        scaler=fitted.scaler,
        circuit=fitted.circuit,
        observable=fitted.observable,
        twin=fitted.twin,
        calibration=_calibrated(judged, "quantum", run.options.prevalence),
        twin_calibration=_calibrated(judged, "twin", run.options.prevalence),
        benign_scores=_benign(judged, "quantum", rng),
        twin_benign_scores=_benign(judged, "twin", rng),
        fpr=run.options.fpr,
        reference=np.median(benign_rows[:, fitted.columns], axis=0),
        facts=facts,
    )


def _calibrated(judged: Judged, which: str, prevalence: float | None) -> Platt:
    try:
        return fit_platt(judged.scores[which], judged.y, prevalence)
    except CalibrationError as error:
        raise BadTrainingData(
            f"the {which} model learnt nothing that holds on other rows: {error}",
            "Add rows, check the labels, or choose another --grain.",
        ) from None


def _benign(judged: Judged, which: str, rng: np.random.Generator) -> Floats:
    """Sorted scores of judged benign rows; a random part of them beyond what an artifact may hold."""
    scores = judged.scores[which][judged.y == 0]
    if len(scores) > MAX_BENIGN:
        scores = rng.choice(scores, MAX_BENIGN, replace=False)
    return np.sort(scores.astype(np.float64))
