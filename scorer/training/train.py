"""From labelled rows to a trained model: choose, scale, search, fit, calibrate on other rows, judge openly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.plugins import parameters_of
from scorer.models.decision import MAX_FPR
from scorer.models.families import UnknownFamily
from scorer.models.trained import TrainedModel
from scorer.progress import Steps, no_steps
from scorer.rows.builder import Columns
from scorer.rows.recipe import Recipe
from scorer.training.assemble import (
    HeldOutScores,
    UncalibratedScores,
    assembled,
    benign_scores,
    check_line,
    evaluated,
)
from scorer.training.dataset import MIN_POSITIVES, Dataset, dataset
from scorer.training.facts import Provenance, TrainingRun, facts_of
from scorer.training.families.table import training_of
from scorer.training.fit import Fitted, fit
from scorer.training.options import DEFAULTS, TrainOptions
from scorer.training.splits import Split, split, split_normal
from scorer.training.yardsticks import boosted_apart
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def train(
    recipe: Recipe,
    rows: pa.Table,
    columns: Columns,
    provenance: Provenance,
    options: TrainOptions = DEFAULTS,
    grain: str | None = None,
    steps: Steps = no_steps,
    more_benign: pa.Table | None = None,
) -> TrainedModel:
    """Train a model of labelled rows (see ``prepare.prepared``), with everything that its card says in ``facts``.

    ``grain``: what a row is; None: the recipe's. ``steps(text, done, total)`` hears of progress. ``more_benign``: rows
    of other days or places; the benign ones among them help to set the line and do nothing else. Raises
    BadTrainingData when rows, labels or options cannot give a model.
    """
    check_options(recipe, options)
    excluded = _excluded(recipe, options.without)
    one_class = training_of(options.family).one_class
    data = dataset(recipe, rows, columns, normal=one_class).without(excluded)
    if one_class:
        data, provenance = _without_too_few(data, provenance)
    parts = split_normal(data, options.seed) if one_class else split(data, options.seed)
    check_line(_judged_benign(data, parts), options.fpr, by_event=True)
    run = TrainingRun(recipe, grain or recipe.grain, columns, provenance, options, data, parts, excluded)
    total = len(parts.pairs) + 2
    held, fitted = _held_out(run, steps, total)
    if parts.kind == "cross-fitting":
        fitted = fit(data, options, partial(_part, steps, "all rows", total - 2, total))
    steps("calibrating and judging", total - 1, total)
    benign = benign_scores(held, _others_scores(run, fitted, more_benign), options.seed)
    facts = facts_of(run, fitted, evaluated(run, held))
    try:
        model = assembled(run, fitted, held, benign, facts)
    except UncalibratedScores as error:
        raise BadTrainingData(
            f"the {error.which} model learnt nothing that holds on other rows: {error}",
            "Add rows, check the labels, or choose another --grain.",
        ) from None
    steps("done", total, total)
    return model


def _without_too_few(data: Dataset, provenance: Provenance) -> tuple[Dataset, Provenance]:
    """Without malicious rows where they are too few to calibrate and judge with; says so."""
    if not 0 < data.positives < MIN_POSITIVES:
        return data, provenance
    remark = (
        f"{data.positives} malicious rows are too few to calibrate and judge with ({MIN_POSITIVES} are needed): they "
        "were left out"
    )
    kept = data.take(np.flatnonzero(data.y == 0))
    return kept, replace(provenance, remarks=(*provenance.remarks, remark))


def check_options(recipe: Recipe, options: TrainOptions) -> None:
    """Raises BadTrainingData naming the option that no training can be done with."""
    _check_method(options)
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


def _check_method(options: TrainOptions) -> None:
    """Family and feature map must exist, and take as many features and rows as are asked for."""
    try:
        training = training_of(options.family)
        _ = parameters_of(options.map)
    except (UnknownFamily, CircuitError) as error:
        raise BadTrainingData(str(error), "`qscore train --help` says when to take which.") from None
    if not 1 <= options.qubits <= training.most_features:
        raise BadTrainingData(f"--qubits {options.qubits} is not possible", f"Give 1 to {training.most_features}.")
    if options.fit_rows is not None and not 100 <= options.fit_rows <= training.most_rows:
        raise BadTrainingData(f"--fit-rows {options.fit_rows} is not possible", f"Give 100 to {training.most_rows}.")


def _excluded(recipe: Recipe, without: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f.name for f in recipe.features if f.name in without or (f.group and f.group in without))


def _judged_benign(data: Dataset, parts: Split) -> int:
    """Benign rows that are to be judged: they set the line."""
    held = np.concatenate([held for _, held in parts.pairs])
    return int((data.y[held] == 0).sum())


def _held_out(run: TrainingRun, steps: Steps, total: int) -> tuple[HeldOutScores, Fitted]:
    """Scores of every row to be judged, pooled over the folds, and the last fold's models."""
    scored: list[dict[str, Floats]] = []
    for k, (fit_rows, held) in enumerate(run.parts.pairs):
        part = f"part {k + 1} of {len(run.parts.pairs)}"
        last = fit(run.data.take(fit_rows), run.options, partial(_part, steps, part, k, total))
        steps(f"{part}: scoring", k, total)
        scored.append(last.scores(run.data.X[held]))
    positions = np.concatenate([held for _, held in run.parts.pairs])
    rows = run.data.take(positions)
    pooled = {name: np.concatenate([s[name] for s in scored]) for name in scored[0]}
    if run.family.one_class and rows.positives:
        apart = boosted_apart(run.data, run.options.seed)
        pooled |= {} if apart is None else {"boosting": apart[positions]}
    return HeldOutScores(rows.y, rows.groups, pooled), last


def _part(steps: Steps, part: str, done: int, total: int, text: str) -> None:
    steps(f"{part}: {text}", done, total)


def _others_scores(run: TrainingRun, fitted: Fitted, more: pa.Table | None) -> Mapping[str, Floats]:
    """Scores of the benign ones among other rows by every machine; none where there are no other rows."""
    if more is None:
        return {}
    data = dataset(run.recipe, more, run.columns, normal=run.family.one_class).without(run.excluded)
    return fitted.scores(data.X[data.y == 0])
