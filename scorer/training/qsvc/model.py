"""From a QSVC that was trained elsewhere to a model: its twin, calibration, line and figures on rows it never saw.

The machine stays as it is, cut to the rank that models are deployed with. Its twin is fitted on the rows that the
machine was trained on and searched over the usual grid, which the machine itself may not have been.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from scorer.models.calibration import CalibrationError, Platt, fit_platt
from scorer.models.machine import ObservableMachine
from scorer.models.svc import default_rank, deployed
from scorer.models.trained import MAX_BENIGN, TrainedModel
from scorer.models.twins import RbfTwin
from scorer.rows.builder import Columns
from scorer.rows.recipe import Recipe
from scorer.training.choose import Choice
from scorer.training.dataset import Dataset, dataset
from scorer.training.evaluate import average_precision, evaluate
from scorer.training.facts import Provenance, Run, facts_of
from scorer.training.families.fit_svc import FitError, fit_twin
from scorer.training.fit import Fitted
from scorer.training.options import Steps, TrainOptions, no_steps
from scorer.training.qsvc.file import StoredQsvc
from scorer.training.search import COSTS, GAMMAS, SEARCH_FOLDS, Found, Searched
from scorer.training.splits import Split, inner_folds
from scorer.training.train import check_options
from scorer.training.trials import rbf_kernel, svc_trial
from scorer.training.yardsticks import boosted_apart
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RULE = "the features of the imported machine"


def train_imported(
    recipe: Recipe,
    stored: StoredQsvc,
    rows: pa.Table,
    columns: Columns,
    provenance: Provenance,
    options: TrainOptions,
    grain: str,
    steps: Steps = no_steps,
) -> TrainedModel:
    """A model of the machine. ``rows``: labelled ones that it was not trained on: they calibrate it, set its line and
    judge it. Of the options ``fpr``, ``prevalence``, ``seed`` and ``note`` count. Raises BadTrainingData."""
    check_options(recipe, options)
    data = dataset(recipe, rows, columns)
    where = _columns(stored.features, data.names)
    steps("fitting its twin", 0, 3)
    fitted = _fitted(stored, data.names, where, options.seed)
    steps("judging", 1, 3)
    judged = Split("held-out", ((np.arange(len(stored.rows)), np.arange(len(data))),))
    run = Run(recipe, grain, columns, _warned(provenance, stored, data, where), options, data, judged, ())
    scores = _scores(fitted, data, options.seed)
    evaluation = evaluate(data.y, scores, data.groups, options.fpr, options.seed)
    steps("calibrating", 2, 3)
    benign = _benign(scores, data.y, options)
    facts = facts_of(run, fitted, evaluation) | _own_facts(stored, fitted, options)
    model = TrainedModel(
        name=recipe.name,
        family="svc",
        recipe=recipe,
        grain=grain,
        feature_names=stored.features,
        scaler=stored.scaler,
        machine=fitted.machine,
        twin=fitted.twin,
        calibration=_calibrated("imported", scores["quantum"], data.y, options.prevalence),
        twin_calibration=_calibrated("twin", scores["twin"], data.y, options.prevalence),
        benign_scores=benign["quantum"],
        twin_benign_scores=benign["twin"],
        fpr=options.fpr,
        reference=np.median(data.X[data.y == 0][:, where], axis=0),
        facts=facts | {"line_rows": len(benign["quantum"])},
    )
    steps("done", 3, 3)
    return model


def _columns(features: tuple[str, ...], names: tuple[str, ...]) -> Ints:
    unknown = [name for name in features if name not in names]
    if unknown:
        raise BadTrainingData(
            f"the machine's feature {unknown[0][:80]!r} is none of the recipe's",
            f"Known are {', '.join(names)}. Name the features in write_qsvc as the recipe does, or bring a --recipe.",
        )
    return np.array([names.index(name) for name in features])


def _fitted(stored: StoredQsvc, names: tuple[str, ...], where: Ints, seed: int) -> Fitted:
    circuit = stored.machine.plan
    observable = deployed(stored.machine.collapsed(), default_rank(circuit.qubits), default_rank(circuit.qubits))
    # A machine of full rank keeps it; an artifact holds float32 vectors all the same.
    machine = ObservableMachine(circuit, observable.truncated(observable.rank))
    twin, found = _twin(stored.scaler.apply(stored.rows), stored.labels, seed)
    return Fitted(
        choice=Choice(stored.features, {name: f"no {RULE[4:]}" for name in names if name not in stored.features}),
        columns=where,
        scaler=stored.scaler,
        machine=machine,
        twin=twin,
        yardsticks={},
        searched=Searched(Found(1.0, 0.0, 0.0), found, len(GAMMAS) * len(COSTS)),
        second=("", "C"),
        rows=len(stored.rows),
    )


def _twin(Z: Floats, y: Ints, seed: int) -> tuple[RbfTwin, Found]:
    """The RBF machine on the same rows, its width and cost those of the best mean PR-AUC over inner folds."""
    try:
        parts = inner_folds(y, None, min(SEARCH_FOLDS, int(np.bincount(y, minlength=2).min())), seed)
        with threadpool_limits(limits=1):
            tried = [Found(gamma, C, _mean_precision(Z, y, gamma, C, parts)) for gamma in GAMMAS for C in COSTS]
            best = max(tried, key=lambda found: found.pr_auc)
            return fit_twin(Z, y, best.width, best.second, class_weight="balanced"), best
    except (FitError, ValueError) as error:
        raise BadTrainingData(
            f"the machine's training rows cannot fit a twin: {error}", "Write more of them."
        ) from None


def _mean_precision(Z: Floats, y: Ints, gamma: float, C: float, parts: list[tuple[Ints, Ints]]) -> float:
    trial = svc_trial(rbf_kernel, Z, y, gamma)
    return float(np.mean([average_precision(y[held], trial(C, fit, held)) for fit, held in parts]))


def _scores(fitted: Fitted, data: Dataset, seed: int) -> dict[str, Floats]:
    """Of every row by machine and twin, and by boosting that saw the other rows of the same file."""
    apart = boosted_apart(data, seed)
    return fitted.scores(data.X) | ({} if apart is None else {"boosting": apart})


def _benign(scores: dict[str, Floats], y: Ints, options: TrainOptions) -> dict[str, Floats]:
    count = int((y == 0).sum())
    if options.fpr * (count + 1) < 1.0:
        raise BadTrainingData(
            f"{count} benign rows cannot set a line at a false-positive rate of {options.fpr:g}",
            f"Add benign rows, or ask for --fpr {np.ceil(100.0 / (count + 1)) / 100:g}.",
        )
    kept = np.flatnonzero(y == 0)
    if count > MAX_BENIGN:
        kept = np.random.default_rng([options.seed, 2]).choice(kept, MAX_BENIGN, replace=False)
    return {which: np.sort(scores[which][kept]) for which in ("quantum", "twin")}


def _calibrated(which: str, scores: Floats, y: Ints, prevalence: float | None) -> Platt:
    try:
        return fit_platt(scores, y, prevalence)
    except CalibrationError as error:
        raise BadTrainingData(
            f"the {which} machine says nothing that holds on these rows: {error}",
            "Check positive= in write_qsvc, the features' units, and the labels of --data.",
        ) from None


def _warned(provenance: Provenance, stored: StoredQsvc, data: Dataset, where: Ints) -> Provenance:
    """With a remark on rows of --data that the machine may have been trained on."""
    seen = {row.tobytes() for row in stored.rows + 0.0}
    known = sum(row.tobytes() in seen for row in np.ascontiguousarray(data.X[:, where]) + 0.0)
    if not known:
        return provenance
    remark = (
        f"{known} of the {len(data)} rows that judge the machine have the values of rows that it was trained on: if "
        "they are the same rows, the figures flatter it and its twin"
    )
    return Provenance(provenance.trained_on, provenance.starter, (*provenance.remarks, remark))


def _own_facts(stored: StoredQsvc, fitted: Fitted, options: TrainOptions) -> dict[str, object]:
    """What differs from a training of our own."""
    circuit, machine = stored.machine.plan, fitted.machine
    size = (
        {"rank": machine.observable.rank, "truncation_bound": machine.observable.tail}
        if isinstance(machine, ObservableMachine)
        else {}
    )
    return {
        "map": {"name": circuit.name, "qubits": circuit.qubits, "parameters": {}},
        "feature_rule": RULE,
        "hyper_parameters": {
            **size,
            "support_vectors_before": len(stored.machine.coefficients),
            "twin_gamma": fitted.searched.twin.width,
            "twin_C": fitted.searched.twin.second,
            "tried": fitted.searched.tried,
            "seed": options.seed,
        },
    }
