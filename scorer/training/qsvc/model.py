"""From a machine that was trained elsewhere to a model: its twin, calibration, line and figures on rows it never saw.

The machine stays as it is (``fidelity``). Its twin is fitted on the rows that the machine was trained on and searched
over the usual grid, which the machine itself may not have been.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from scorer.models.machine import ObservableMachine
from scorer.models.observable import Observable
from scorer.models.trained import TrainedModel
from scorer.models.twins import RbfTwin
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
from scorer.training.choose import FeatureChoice
from scorer.training.dataset import Dataset, dataset
from scorer.training.facts import Provenance, TrainingRun, facts_of
from scorer.training.families.checks import FitError
from scorer.training.families.kernels import rbf_kernel
from scorer.training.families.svc import fit_twin, svc_trial
from scorer.training.fit import FittedMachines
from scorer.training.options import TrainOptions
from scorer.training.qsvc.fidelity import Fidelity, deployed_machine, fidelity, sentence
from scorer.training.qsvc.file import StoredQsvc
from scorer.training.qsvc.machines import ImportRefused, KernelMachine
from scorer.training.search import COSTS, GAMMAS, SEARCH_FOLDS, Grid, GridPoint, SearchResult, SearchSpace, best_point
from scorer.training.splits import RowSplit, inner_folds
from scorer.training.train import check_options
from scorer.training.yardsticks import boosted_apart
from scorer.wire.errors import BadTrainingData

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RULE = "the features of the imported machine"
_TWIN_SPACE = SearchSpace(Grid(GAMMAS, "C", COSTS), partial(svc_trial, rbf_kernel))


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
    """Make a model of the machine. ``rows``: labelled ones that it was not trained on.

    They calibrate it, set its line and judge it. Of the options ``fpr``, ``prevalence``, ``seed`` and ``note`` count.
    Raises BadTrainingData.
    """
    check_options(recipe, options)
    data = dataset(recipe, rows, columns)
    check_line(len(data) - data.positives, options.fpr, by_event=False)
    where = _columns(stored.features, data.names)
    steps("fitting its twin", 0, 3)
    whole = _collapsed(stored)
    machine = deployed_machine(stored.machine, whole, _seen(stored, data, where), options.seed)
    fitted = _fitted(stored, machine, data.names, where, options.seed)
    steps("judging", 1, 3)
    parts = RowSplit("held-out", ((np.arange(len(stored.rows)), np.arange(len(data))),))
    run = TrainingRun(recipe, grain, columns, _warned(provenance, stored, data, where), options, data, parts, ())
    held = HeldOutScores(data.y, data.groups, _scores(fitted, data, options.seed))
    evaluation = evaluated(run, held)
    steps("calibrating", 2, 3)
    benign = benign_scores(held, {}, options.seed)
    found = fidelity(stored.machine, whole, machine, stored.scaler, data.X[:, where], data.y)
    facts = facts_of(run, fitted, evaluation) | _own_facts(stored, fitted, found, options)
    try:
        model = assembled(run, fitted, held, benign, facts)
    except UncalibratedScores as error:
        which = "imported" if error.which == "quantum" else error.which
        raise BadTrainingData(
            f"the {which} machine says nothing that holds on these rows: {error}",
            "Check positive= in write_qsvc, the features' units, and the labels of --data.",
        ) from None
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


def _collapsed(stored: StoredQsvc) -> Observable:
    try:
        return stored.machine.collapsed()
    except ImportRefused as error:
        raise BadTrainingData(str(error), "Import another machine.") from None


def _seen(stored: StoredQsvc, data: Dataset, where: Ints) -> Floats:
    """All rows at hand, scaled: those that the machine was trained on, and those that judge it."""
    return stored.scaler.apply(np.concatenate([stored.rows, data.X[:, where]]))


def _fitted(
    stored: StoredQsvc, machine: ObservableMachine, names: tuple[str, ...], where: Ints, seed: int
) -> FittedMachines:
    twin, found = _twin(stored.scaler.apply(stored.rows), stored.labels, seed)
    return FittedMachines(
        choice=FeatureChoice(
            stored.features, {name: f"no {RULE[4:]}" for name in names if name not in stored.features}
        ),
        columns=where,
        scaler=stored.scaler,
        machine=machine,
        twin=twin,
        yardsticks={},
        searched=SearchResult(GridPoint(1.0, 0.0, 0.0), found, _TWIN_SPACE.grid.pairs),
        second=("", "C"),
        rows=len(stored.rows),
    )


def _twin(Z: Floats, y: Ints, seed: int) -> tuple[RbfTwin, GridPoint]:
    """The RBF machine on the same rows, its width and cost those of the best mean PR-AUC over inner folds."""
    try:
        parts = inner_folds(y, None, min(SEARCH_FOLDS, int(np.bincount(y, minlength=2).min())), seed)
        with threadpool_limits(limits=1):
            best = best_point(_TWIN_SPACE, Z, y, np.ones(len(y)), parts)
            return fit_twin(Z, y, best.width, best.second, class_weight="balanced"), best
    except (FitError, ValueError) as error:
        raise BadTrainingData(
            f"the machine's training rows cannot fit a twin: {error}", "Write more of them."
        ) from None


def _scores(fitted: FittedMachines, data: Dataset, seed: int) -> dict[str, Floats]:
    """Of every row by machine and twin, and by boosting that saw the other rows of the same file."""
    apart = boosted_apart(data, seed)
    return fitted.scores(data.X) | ({} if apart is None else {"boosting": apart})


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


def _own_facts(stored: StoredQsvc, fitted: FittedMachines, found: Fidelity, options: TrainOptions) -> dict[str, object]:
    """Note what differs from a training of our own."""
    circuit, machine = stored.machine.plan, stored.machine
    support = {"support_vectors_before": len(machine.coefficients)} if isinstance(machine, KernelMachine) else {}
    return {
        "imported": {"sentence": sentence(found), **asdict(found)},
        "map": {"name": circuit.name, "qubits": circuit.qubits, "parameters": {}},
        "feature_rule": RULE,
        "hyper_parameters": {
            "rank": found.rank,
            "truncation_bound": found.bound,
            **support,
            "twin_gamma": fitted.searched.twin.width,
            "twin_C": fitted.searched.twin.second,
            "tried": fitted.searched.tried,
            "seed": options.seed,
        },
    }
