"""One batch of rows -> one batch of scores. Pure; NumPy only.

Only rows whose every input is a number in its range reach the model. All others keep their place and carry a status
that says what is wrong and what to do: an error is never a score of 0.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.models.reasons import reasons
from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.defects import Defect
from scorer.rows.transform import derive, range_defects, required_inputs
from scorer.scoring.distinct import distinct
from scorer.wire.errors import BodyTooLarge
from scorer.wire.options import ScoreOptions

Array = NDArray[np.float64]

#: Operations of a model's estimate that no core does faster; measured were 0.5 to 2 thousand million.
_OPERATIONS_PER_SECOND = 4e9


def score(
    model: TrainedModel,
    version: str,
    batch: FeatureBatch,
    options: ScoreOptions,
    reasons_until: float | None = None,
    seconds: float | None = None,
) -> ScoreBatch:
    """Score a batch, in row order.

    ``seconds``: what scoring may take; None: any time. Raises BodyTooLarge where the batch's different rows cannot be
    scored within that.

    A row alerts when its p-value is at most the model's fpr, or, where the caller gave a threshold, when its
    probability is at least that. ``options.explain`` says which rows get a reason; ``reasons_until``, by when of
    ``time.monotonic()`` (``models.reasons``), None: as long as it takes.
    """
    columns, marks = _usable(model, batch)
    rows = np.flatnonzero(marks.ok)
    X = derive(model.recipe, model.feature_names, {name: column[rows] for name, column in columns.items()})
    rows, X = _defined(model, rows, X, marks)
    equal = distinct(X)
    first, inverse = equal if equal is not None else (slice(None), slice(None))
    different = X[first]
    _check_time(model, len(different), seconds)
    made = _scores(model, different, options, reasons_until)

    def each(values: Any, missing: Any) -> Any:
        """Put the values (k, ...) of different rows at the place of every row that they stand for: (N, ...)."""
        out = np.full(len(batch), missing, values.dtype)
        out[rows] = values[inverse]
        return out

    return ScoreBatch(
        batch_id=batch.batch_id,
        model=model.name,
        version=version,
        row_ids=batch.row_ids,
        probability=each(made.probability, np.nan),
        pvalue=each(made.pvalue, np.nan),
        classical=each(made.classical, np.nan),
        risk=each(made.risk, 0),
        band=each(made.band, 0),
        alert=each(made.alert, False),
        reason=each(made.reason, "").tolist(),
        defects=marks.defects,
    )


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores and reasons of k different rows; arrays (k,). ``reason``: strings, empty where not asked."""

    probability: Array
    pvalue: Array
    classical: Array
    risk: NDArray[np.int64]
    band: NDArray[np.int64]
    alert: NDArray[np.bool_]
    reason: NDArray[np.object_]


def _scores(model: TrainedModel, X: Array, options: ScoreOptions, until: float | None) -> _Scores:
    """Scores of finite features X (k, n)."""
    Z = model.scaler.apply(X)
    raw = model.scores(Z)
    probability, p = model.calibration.probability(raw), model.rule.pvalues(raw)
    alert = p <= model.fpr if options.threshold is None else probability >= options.threshold
    return _Scores(
        probability,
        p,
        model.twin_calibration.probability(model.twin_scores(Z)),
        model.rule.risks(raw, p),
        model.rule.bands(p).astype(np.int64),
        alert,
        reasons(model, X, Z, raw, _explained(options.explain, alert), _left(until)),
    )


def _check_time(model: TrainedModel, rows: int, seconds: float | None) -> None:
    """Raise BodyTooLarge where so many different rows certainly take longer: before they do, and saying how many."""
    most = rows if seconds is None else int(_OPERATIONS_PER_SECOND * seconds / model.operations)
    if rows > most:
        raise BodyTooLarge(
            f"{rows} different rows of {model.name}, whose every row takes about {model.operations} operations",
            f"Send at most {max(1, most)} rows at a time, or raise worker.task_seconds.",
        )


def _left(until: float | None) -> float | None:
    """Return the seconds from now until a monotonic time; None where there is no end."""
    return None if until is None else until - time.monotonic()


@dataclass
class _Marks:
    """Defects by row; the first complaint about a row stays. ``ok``: rows without one, booleans (N,)."""

    defects: dict[int, Defect]
    ok: NDArray[np.bool_]

    @classmethod
    def of(cls, defects: Mapping[int, Defect], rows: int) -> _Marks:
        marks = cls({}, np.ones(rows, np.bool_))
        marks.add(defects)
        return marks

    def add(self, complaints: Mapping[int, Defect]) -> None:
        for row, defect in complaints.items():
            if self.ok[row]:
                self.defects[row], self.ok[row] = defect, False

    def mark(self, where: NDArray[np.bool_], defect: Defect) -> None:
        """``where``: booleans (N,), true for rows that the defect is about."""
        self.add(dict.fromkeys(np.flatnonzero(where).tolist(), defect))


def _usable(model: TrainedModel, batch: FeatureBatch) -> tuple[dict[str, Array], _Marks]:
    """The model's inputs as float64 (N,), and what is wrong with which row; rows that are not ok may hold anything.

    An absent value means 0 where the recipe says so.
    """
    marks = _Marks.of(batch.defects, len(batch))
    columns: dict[str, Array] = {}
    for name in required_inputs(model.recipe, model.feature_names):
        columns[name] = _input(model, batch, name, marks)
    found = range_defects(model.recipe, model.feature_names, columns)
    marks.add({row: Defect("out_of_range", f"{text}; {_remedy(model)}") for row, text in found.items()})
    return columns, marks


def _defined(model: TrainedModel, rows: NDArray[np.intp], X: Array, marks: _Marks) -> tuple[NDArray[np.intp], Array]:
    """The rows on which the circuit's formulas have a value; the others are marked."""
    found = model.machine.circuit.plan.defined(model.scaler.apply(X))
    if found.all():
        return rows, X
    undefined = np.zeros(len(marks.ok), np.bool_)
    undefined[rows[~found]] = True
    what = f"a formula of the model's circuit has no value here; {_remedy(model)}"
    marks.mark(undefined, Defect("out_of_range", what))
    return rows[found], X[found]


def _input(model: TrainedModel, batch: FeatureBatch, name: str, marks: _Marks) -> Array:
    given = batch.columns.get(name)
    values = np.full(len(batch), np.nan) if given is None else np.asarray(given, np.float64)
    if np.isfinite(values).all():
        return values
    empty = np.isnan(values)
    if model.recipe.input_by_name[name].missing == "zero":
        values = np.where(empty, 0.0, values)
    else:
        what = "is absent" if given is None else "is empty"
        marks.mark(empty, Defect("missing_feature", f"{name} {what}; {_remedy(model)}"))
    marks.mark(np.isinf(values), Defect("infinite", f"{name} is infinite; {_remedy(model)}"))
    return values


def _remedy(model: TrainedModel) -> str:
    return f"build the rows with the macro {model.recipe.macro_for(model.grain)}"


def _explained(explain: str, alert: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Positions among the scored rows that get a reason."""
    if explain == "none":
        return np.empty(0, np.intp)
    return np.flatnonzero(alert) if explain == "alerts" else np.arange(len(alert))
