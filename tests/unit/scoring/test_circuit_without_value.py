"""A circuit whose formula has no value on some rows costs those rows, never the batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.circuits.circuit import Builder
from scorer.circuits.expressions import Expression, apply, feature
from scorer.models.machine import ObservableMachine
from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.rows.transform import derive
from scorer.scoring.score import score
from scorer.training.families.svc import fit_svc
from scorer.wire.options import ScoreOptions

Read = Callable[..., FeatureBatch]
ROWS = 400


def with_formula(model: TrainedModel, formula: Expression, Z: Any) -> TrainedModel:
    """The model with another circuit, fitted on rows where the formula has a value; calibration stays the old one's."""
    builder = Builder("partial", 3, 3)
    for qubit in range(3):
        builder.ry(feature(qubit), qubit)
    plan = builder.rz(formula, 0).cx(0, 1).ry(formula, 1).build().plan
    fitted = Z[plan.defined(Z)]
    y = (fitted[:, 0] > np.median(fitted[:, 0])).astype(np.int64)
    return dataclasses.replace(model, machine=ObservableMachine(plan, fit_svc(fitted, y, plan, 1.0)))


def scaled(model: TrainedModel, rows: FeatureBatch) -> Any:
    return model.scaler.apply(derive(model.recipe, model.feature_names, rows.columns))


def test_rows_without_a_value_are_marked_and_the_others_scored(
    tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read
) -> None:
    rows = read(body_of(ROWS), ROWS)
    Z = scaled(tiny_model, rows)
    line = float(np.quantile(Z[:, 0], 0.2))
    model = with_formula(tiny_model, apply("log", feature(0) - line), Z)
    scores = score(model, "1", rows, ScoreOptions(explain="none"))
    defined = Z[:, 0] > line
    assert 0 < defined.sum() < ROWS
    assert [text == "ok" for text in scores.status] == defined.tolist()
    bad = {text for text in scores.status if text != "ok"}
    assert len(bad) == 1
    assert next(iter(bad)).startswith(
        "out_of_range: a formula of the model's circuit has no value here; build the rows"
    )
    assert np.isnan(np.asarray(scores.probability)).tolist() == (~defined).tolist()
    exact = model.calibration.probability(model.machine.exact_scores(Z[defined]))
    assert np.asarray(scores.probability)[defined] == pytest.approx(exact, abs=1e-4)


def test_rows_behind_a_gap_are_scored_without_a_reason(
    tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read
) -> None:
    """Defined at a usual row and at this one, and nowhere between them."""
    rows = read(body_of(ROWS), ROWS)
    Z = scaled(tiny_model, rows)
    usual = float(tiny_model.scaler.apply(tiny_model.reference[None])[0, 0])
    above = np.sort(Z[Z[:, 0] > usual, 0])
    low, high = float(above[len(above) // 5]), float(above[len(above) // 2])
    x = feature(0)
    model = with_formula(tiny_model, apply("sqrt", (x - low) * (x - high) + 1e-9), Z)
    scores = score(model, "1", rows, ScoreOptions(explain="all"))
    ok = np.array([text == "ok" for text in scores.status])
    behind, before = ok & (Z[:, 0] > high), ok & (Z[:, 0] < min(low, usual))
    assert behind.any()
    assert before.any()
    reasons = np.array(scores.reason)
    assert all(reason.startswith("no reason: a formula") for reason in reasons[behind])
    assert not any(reason.startswith("no reason") or reason == "" for reason in reasons[before])
    assert np.isfinite(np.asarray(scores.probability)[ok]).all()
