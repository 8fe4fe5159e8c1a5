"""From labelled rows to a trained model: choose, scale, search, fit, calibrate on other rows, judge openly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.limits import MAX_PROJECTED_QUBITS
from scorer.circuits.plugins import parameters_of
from scorer.features.recipe import Recipe
from scorer.models.calibration import Calibration, CalibrationError, Ranks, fit_platt
from scorer.models.decision import MAX_FPR
from scorer.models.families import UnknownFamily, family_named
from scorer.models.machine import MAX_FEATURES
from scorer.models.trained import MAX_BENIGN, TrainedModel
from scorer.training.dataset import MIN_POSITIVES, Dataset, dataset
from scorer.training.evaluate import Evaluation, evaluate
from scorer.training.facts import Provenance, Run, facts_of
from scorer.training.families import METHODS
from scorer.training.fit import Fitted, fit
from scorer.training.options import DEFAULTS, Steps, TrainOptions, no_steps
from scorer.training.rows import Columns
from scorer.training.splits import Split, split, split_normal
from scorer.training.yardsticks import boosted_apart
from scorer.wire.errors import BadTrainingData

__all__ = ["Provenance", "TrainOptions", "check_options", "train"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Judged:
    """Scores of rows that the scoring model was not fitted on, (N',) each, with their labels."""

    y: Ints
    groups: Ints | None
    scores: Mapping[str, Floats]


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
    """A model of labelled rows (see ``prepare.prepared``), with everything that its card says in ``facts``.

    ``grain``: what a row is; None: the recipe's. ``steps(text, done, total)`` hears of progress. ``more_benign``: rows
    of other days or places; the benign ones among them help to set the line and do nothing else. Raises
    BadTrainingData when rows, labels or options cannot give a model.
    """
    check_options(recipe, options)
    excluded = _excluded(recipe, options.without)
    one_class = family_named(options.family).one_class
    data = dataset(recipe, rows, columns, normal=one_class).without(excluded)
    if one_class:
        data, provenance = _without_too_few(data, provenance)
    parts = split_normal(data, options.seed) if one_class else split(data, options.seed)
    _check_line(data, parts, options.fpr)
    run = Run(recipe, grain or recipe.grain, columns, provenance, options, data, parts, excluded)
    total = len(parts.pairs) + 2
    judged, fitted = _judge(run, steps, total)
    if parts.kind == "cross-fitting":
        fitted = fit(data, options, partial(_part, steps, "all rows", total - 2, total))
    steps("calibrating and judging", total - 1, total)
    evaluation = _evaluated(run, judged)
    benign = _benign_scores(run, fitted, judged, more_benign)
    facts = facts_of(run, fitted, evaluation) | {"line_rows": len(benign["quantum"])}
    model = _assembled(run, fitted, judged, benign, facts)
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


def _evaluated(run: Run, judged: Judged) -> Evaluation | None:
    if not judged.y.any():
        return None
    return evaluate(judged.y, judged.scores, judged.groups, run.options.fpr, run.options.seed)


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
        family_named(options.family)
        _ = parameters_of(options.map)
    except (UnknownFamily, CircuitError) as error:
        raise BadTrainingData(str(error), "`qscore train --help` says when to take which.") from None
    most = MAX_PROJECTED_QUBITS if options.family == "projected" else MAX_FEATURES
    if not 1 <= options.qubits <= most:
        raise BadTrainingData(f"--qubits {options.qubits} is not possible", f"Give 1 to {most}.")
    rows = METHODS[options.family].most_rows
    if options.fit_rows is not None and not 100 <= options.fit_rows <= rows:
        raise BadTrainingData(f"--fit-rows {options.fit_rows} is not possible", f"Give 100 to {rows}.")


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
    return Judged(rows.y, rows.groups, pooled), last


def _part(steps: Steps, part: str, done: int, total: int, text: str) -> None:
    steps(f"{part}: {text}", done, total)


def _assembled(
    run: Run, fitted: Fitted, judged: Judged, benign: Mapping[str, Floats], facts: Mapping[str, object]
) -> TrainedModel:
    benign_rows = run.data.X[run.data.y == 0]
    return TrainedModel(
        name=run.recipe.name,
        family=run.options.family,
        recipe=run.recipe,
        grain=run.grain,
        feature_names=fitted.choice.chosen,
        scaler=fitted.scaler,
        machine=fitted.machine,
        twin=fitted.twin,
        calibration=_calibrated(judged, "quantum", run.prevalence, Ranks(benign["quantum"], fitted.machine.rounding)),
        twin_calibration=_calibrated(judged, "twin", run.prevalence, Ranks(benign["twin"], fitted.twin.rounding)),
        benign_scores=benign["quantum"],
        twin_benign_scores=benign["twin"],
        fpr=run.options.fpr,
        reference=np.median(benign_rows[:, fitted.columns], axis=0),
        facts=facts,
    )


def _calibrated(judged: Judged, which: str, prevalence: float | None, ranks: Ranks) -> Calibration:
    """On scores as deployed, after truncation; without labelled attacks the ranks among benign scores."""
    if not judged.y.any():
        return ranks
    try:
        return fit_platt(judged.scores[which], judged.y, prevalence)
    except CalibrationError as error:
        raise BadTrainingData(
            f"the {which} model learnt nothing that holds on other rows: {error}",
            "Add rows, check the labels, or choose another --grain.",
        ) from None


def _benign_scores(run: Run, fitted: Fitted, judged: Judged, more: pa.Table | None) -> dict[str, Floats]:
    """Sorted scores of benign rows that nothing was fitted on, by "quantum" and "twin": what sets the line.

    A random part of them beyond what an artifact may hold.
    """
    rng = np.random.default_rng([run.options.seed, 2])
    others = _others_scores(run, fitted, more)
    benign = {}
    for which in ("quantum", "twin"):
        scores = np.concatenate([judged.scores[which][judged.y == 0], others.get(which, np.empty(0))])
        if len(scores) > MAX_BENIGN:
            scores = rng.choice(scores, MAX_BENIGN, replace=False)
        benign[which] = np.sort(scores.astype(np.float64))
    return benign


def _others_scores(run: Run, fitted: Fitted, more: pa.Table | None) -> Mapping[str, Floats]:
    if more is None:
        return {}
    data = dataset(run.recipe, more, run.columns, normal=run.family.one_class).without(run.excluded)
    return fitted.scores(data.X[data.y == 0])
