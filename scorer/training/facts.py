"""What a model's card says: rows, split, features, hyper-parameters, figures and the verdict, as measured."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from scorer.features.recipe import Recipe
from scorer.training.choose import RULE
from scorer.training.dataset import Dataset
from scorer.training.evaluate import Evaluation
from scorer.training.fit import Fitted
from scorer.training.options import TrainOptions
from scorer.training.rows import Columns
from scorer.training.search import ENTANGLEMENT, REPS
from scorer.training.splits import Split

LIBRARIES = ("numpy", "pyarrow", "scikit-learn", "scipy")


@dataclass(frozen=True)
class Provenance:
    """``trained_on``: one sentence for the card. ``starter``: the rows were generated. ``remarks``: what else a reader
    of the figures should know."""

    trained_on: str
    starter: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Run:
    """One training: what was asked for, the rows, and how they were parted. ``excluded``: features left out by wish."""

    recipe: Recipe
    grain: str
    columns: Columns
    provenance: Provenance
    options: TrainOptions
    data: Dataset
    parts: Split
    excluded: tuple[str, ...]


def facts_of(run: Run, fitted: Fitted, evaluation: Evaluation) -> dict[str, Any]:
    """JSON-able facts; docs/models.md explains each."""
    asked = run.options.prevalence
    return {
        "trained_on": run.provenance.trained_on,
        "starter": run.provenance.starter,
        "remarks": [*run.provenance.remarks, *_remarks(run, fitted)],
        "note": run.options.note,
        "rows": len(run.data),
        "positives": run.data.positives,
        "label": run.columns.label or "",
        "prevalence": evaluation.base_rate if asked is None else asked,
        "split": _split(run, fitted, evaluation),
        "metrics": evaluation.to_dict(),
        "verdict": evaluation.verdict,
        "feature_rule": RULE,
        "dropped_features": {**fitted.choice.dropped, **dict.fromkeys(run.excluded, "left out on request")},
        "hyper_parameters": _hyper_parameters(run, fitted),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _available(run: Run) -> int:
    """Rows that the shipped model could have been fitted on."""
    return len(run.data) if run.parts.kind == "cross-fitting" else len(run.parts.pairs[0][0])


def _remarks(run: Run, fitted: Fitted) -> list[str]:
    remarks = []
    if fitted.rows < _available(run):
        remarks.append(
            f"the quantum model and its twin were fitted on {fitted.rows} of {_available(run)} rows, drawn at random "
            "with malicious ones preferred; gradient boosting on all"
        )
    if run.columns.group is None:
        remarks.append(
            "no group column was given: rows of one host or incident may stand on both sides of the split, so that "
            "the figures may flatter all three models"
        )
    return remarks


def _split(run: Run, fitted: Fitted, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "kind": run.parts.kind,
        "folds": len(run.parts.pairs),
        "grouped_by": run.columns.group or "",
        "judged_rows": evaluation.rows,
        "fitted_rows": fitted.rows,
        "available_rows": _available(run),
    }


def _hyper_parameters(run: Run, fitted: Fitted) -> dict[str, Any]:
    found = fitted.searched
    return {
        "bandwidth": found.quantum.width,
        "C": found.quantum.C,
        "reps": REPS,
        "entanglement": ENTANGLEMENT,
        "rank": fitted.observable.rank,
        "twin_gamma": found.twin.width,
        "twin_C": found.twin.C,
        "tried": found.tried,
        "seed": run.options.seed,
    }
