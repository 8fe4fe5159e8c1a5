"""What a model's card says: family, map, rows, split, features, hyper-parameters, figures and verdict, as measured."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from scorer.circuits.plugins import parameters_of
from scorer.models.machine import ObservableMachine
from scorer.models.projected import ProjectedMachine
from scorer.rows.builder import Columns
from scorer.rows.recipe import Recipe
from scorer.training.choose import NORMAL_RULE, RULE
from scorer.training.dataset import Dataset
from scorer.training.evaluate import Evaluation
from scorer.training.families.family import FamilyTraining
from scorer.training.families.table import training_of
from scorer.training.fit import Fitted
from scorer.training.options import TrainOptions
from scorer.training.splits import Split
from scorer.training.yardsticks import TITLES

LIBRARIES = ("numpy", "pyarrow", "scikit-learn", "scipy")
NOT_JUDGED = "Not judged: no labelled attacks were given, so that nothing can be said about how well it finds them."
_RANKS = (
    "without labelled attacks qscore is one minus the p-value, the share of held-out normal rows that score lower: it "
    "is no probability of an attack"
)


@dataclass(frozen=True)
class Provenance:
    """``trained_on``: one sentence for the card. ``starter``: the rows were generated. ``remarks``: what else a reader
    of the figures should know."""

    trained_on: str
    starter: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """One training: what was asked for, the rows, and how they were parted. ``excluded``: features left out by wish."""

    recipe: Recipe
    grain: str
    columns: Columns
    provenance: Provenance
    options: TrainOptions
    data: Dataset
    parts: Split
    excluded: tuple[str, ...]

    @property
    def family(self) -> FamilyTraining:
        """How the family asked for is trained; raises UnknownFamily."""
        return training_of(self.options.family)

    @property
    def prevalence(self) -> float | None:
        """The share of attacks that probabilities are for; None: that of the judged rows.

        One-class models are judged on every attack but only on the benign rows held out: the share of all rows counts.
        """
        if self.options.prevalence is None and self.family.one_class and self.data.positives:
            return self.data.positives / len(self.data)
        return self.options.prevalence


def facts_of(run: TrainingRun, fitted: Fitted, evaluation: Evaluation | None) -> dict[str, Any]:
    """Write the card's facts, JSON-able; docs/models.md explains each.

    ``evaluation``: None where no attacks were there to be found.
    """
    one_class = run.family.one_class
    measured = evaluation.base_rate if evaluation else None
    judged = list(evaluation.metrics) if evaluation else []
    return {
        "trained_on": run.provenance.trained_on,
        "starter": run.provenance.starter,
        "remarks": [*run.provenance.remarks, *_remarks(run, fitted, evaluation)],
        "note": run.options.note,
        "model": run.family.title,
        "twin": run.family.twin_title,
        "yardsticks": {name: TITLES[name] for name in judged if name in TITLES},
        "map": _map(run, fitted),
        "rows": len(run.data),
        "positives": run.data.positives,
        "label": run.columns.label or "",
        "prevalence": run.prevalence if evaluation and run.prevalence is not None else measured,
        "split": _split(run, fitted),
        "metrics": evaluation.to_dict() if evaluation else {},
        "verdict": evaluation.verdict if evaluation else NOT_JUDGED,
        "feature_rule": NORMAL_RULE if one_class else RULE,
        "dropped_features": {**fitted.choice.dropped, **dict.fromkeys(run.excluded, "left out on request")},
        "hyper_parameters": _hyper_parameters(run, fitted),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _map(run: TrainingRun, fitted: Fitted) -> dict[str, Any]:
    """The feature map as it was called, with the defaults that it took."""
    defaults = parameters_of(run.options.map)
    parameters = {key: value for key, value in defaults.items() if value is not None} | dict(run.options.map_parameters)
    return {
        "name": run.options.map,
        "qubits": fitted.machine.circuit.qubits,
        "parameters": {key: _plain(value) for key, value in parameters.items()},
    }


def _plain(value: Any) -> Any:
    """As JSON can hold it; a plug-in's defaults may be anything."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)[:80]


def _available(run: TrainingRun) -> int:
    """Rows that the shipped model could have been fitted on."""
    if run.parts.kind != "cross-fitting":
        return len(run.parts.pairs[0][0])
    return len(run.data) - run.data.positives if run.family.one_class else len(run.data)


def _remarks(run: TrainingRun, fitted: Fitted, evaluation: Evaluation | None) -> list[str]:
    remarks = []
    if fitted.rows < _available(run):
        how = "" if run.family.one_class else " with malicious ones preferred"
        remarks.append(
            f"the quantum model and its twin were fitted on {fitted.rows} of {_available(run)} rows, drawn at random"
            f"{how}; the yardstick on all"
        )
    if run.columns.group is None:
        remarks.append(
            "no group column was given: rows of one host or incident may stand on both sides of the split, so that "
            "the figures may flatter all models"
        )
    if run.family.one_class and run.columns.label is None:
        remarks.append("every row was taken for normal: an attack among them has become part of what is normal")
    if evaluation is None:
        remarks.append(_RANKS)
    return remarks


def _split(run: TrainingRun, fitted: Fitted) -> dict[str, Any]:
    return {
        "kind": run.parts.kind,
        "folds": len(run.parts.pairs),
        "grouped_by": run.columns.group or "",
        "judged_rows": sum(len(held) for _, held in run.parts.pairs),
        "fitted_rows": fitted.rows,
        "available_rows": _available(run),
    }


def _hyper_parameters(run: TrainingRun, fitted: Fitted) -> dict[str, Any]:
    found, (second, twin_second) = fitted.searched, fitted.second
    return {
        "bandwidth": found.quantum.width,
        **({second: found.quantum.second} if second else {}),
        **_size(fitted),
        "twin_gamma": found.twin.width,
        **({f"twin_{twin_second}": found.twin.second} if twin_second else {}),
        "tried": found.tried,
        "seed": run.options.seed,
    }


def _size(fitted: Fitted) -> dict[str, Any]:
    """``truncation_bound``: how far no score was moved by what was cut away; calibration was fitted after it."""
    machine = fitted.machine
    if isinstance(machine, ObservableMachine):
        return {"rank": machine.observable.rank, "truncation_bound": machine.observable.tail}
    return {"support_vectors": len(machine.gaussians.support)} if isinstance(machine, ProjectedMachine) else {}
