"""score(): which rows are scored, which are not and why, decisions and reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.models.calibration import Platt
from scorer.models.explain import attributions
from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.rows.columns import BANDS
from scorer.rows.defects import Defect
from scorer.rows.transform import derive
from scorer.scoring.score import score
from scorer.wire.names import STATUS_CODES
from scorer.wire.options import ScoreOptions

Read = Callable[..., FeatureBatch]
NO_REASON = ScoreOptions(explain="none")


def batch(columns: dict[str, list[float]], defects: dict[int, Defect] | None = None) -> FeatureBatch:
    length = len(next(iter(columns.values()))) if columns else 2
    arrays: Any = {name: np.array(values, np.float64) for name, values in columns.items()}
    return FeatureBatch("b" * 8, "lateral", arrays, {}, range(length), defects or {})


def test_scores_are_the_models(tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read) -> None:
    rows = read(body_of(2000), 2000)
    scores = score(tiny_model, "1", rows, NO_REASON)
    Z = tiny_model.scaler.apply(derive(tiny_model.recipe, tiny_model.feature_names, rows.columns))
    raw = tiny_model.machine.exact_scores(Z)
    line = tiny_model.calibration
    assert isinstance(line, Platt)
    expected = 1 / (1 + np.exp(-(line.slope * raw + line.intercept)))
    assert np.abs(np.asarray(scores.probability) - expected).max() <= 1e-4
    p = [(1 + (tiny_model.benign_scores >= s).sum()) / (len(tiny_model.benign_scores) + 1) for s in raw[:200]]
    assert np.abs(np.asarray(scores.pvalue[:200]) - p).max() <= 1.5 / len(tiny_model.benign_scores)
    assert (np.asarray(scores.alert) == (np.asarray(scores.pvalue) <= tiny_model.fpr)).all()
    assert set(scores.status) == {"ok"}
    assert 0 < sum(scores.alert) < 2000
    assert (np.asarray(scores.classical) > 0).all()


def test_a_row_that_stands_for_many_equal_ones_gives_each_what_it_would_get_alone(tiny_model: TrainedModel) -> None:
    rng = np.random.default_rng(3)
    events = rng.integers(1, 9, 3000).astype(float)
    columns = {"events": events, "logons": np.minimum(events, 2.0), "failures": np.zeros(3000)}
    columns["events"][[7, 1500, 2999]] = np.nan
    options = ScoreOptions(explain="all")
    whole = score(tiny_model, "1", batch({name: values.tolist() for name, values in columns.items()}), options)
    for start in range(0, 3000, 200):  # too few rows for the short cut
        part = {name: values[start : start + 200].tolist() for name, values in columns.items()}
        alone = score(tiny_model, "1", batch(part), options)
        for name in ("probability", "pvalue", "classical", "risk", "band", "alert", "reason", "status"):
            here, there = getattr(whole, name)[start : start + 200], getattr(alone, name)
            assert np.array_equal(
                np.asarray(here), np.asarray(there), equal_nan=name in ("probability", "pvalue", "classical")
            )


def test_bad_rows_keep_their_place_and_say_why(tiny_model: TrainedModel) -> None:
    nan, inf = float("nan"), float("inf")
    rows = batch(
        {
            "events": [5, nan, inf, 0, 1e300, 5, 5],
            "logons": [1, 1, 1, 0, 1, 1, 1],
            "failures": [0, 0, 0, 0, 0, 9, -1],
        }
    )
    scores = score(tiny_model, "1", rows, ScoreOptions(explain="all"))
    assert [text.split(":")[0] for text in scores.status] == [
        "ok",
        "missing_feature",
        "infinite",
        "out_of_range",
        "out_of_range",
        "out_of_range",
        "out_of_range",
    ]
    assert scores.status[1] == "missing_feature: events is empty; build the rows with the macro qscore_lateral_rows"
    assert "failures is 9, more than events (5)" in scores.status[5]
    assert np.isnan(scores.probability).tolist() == [False] + [True] * 6
    assert [bool(reason) for reason in scores.reason] == [True] + [False] * 6
    alone = score(tiny_model, "1", batch({"events": [5], "logons": [1], "failures": [0]}), NO_REASON)
    assert scores.probability[0] == alone.probability[0]


def test_an_absent_column_is_named_with_the_macro_of_the_grain(tiny_model: TrainedModel) -> None:
    rows = batch({"events": [5, 6], "logons": [1, 1]})
    scores = score(tiny_model, "1", rows, ScoreOptions())
    assert set(scores.status) == {
        "missing_feature: failures is absent; build the rows with the macro qscore_lateral_rows"
    }
    single = dataclasses.replace(tiny_model, grain="event")
    assert score(single, "1", rows, ScoreOptions()).status[0].endswith("macro qscore_lateral_events")


def test_absent_means_zero_where_the_recipe_says_so(tiny_model: TrainedModel) -> None:
    inputs = tuple(
        i.model_copy(update={"missing": "zero"}) if i.name == "failures" else i for i in tiny_model.recipe.inputs
    )
    model = dataclasses.replace(tiny_model, recipe=tiny_model.recipe.model_copy(update={"inputs": inputs}))
    known = {"events": [5.0, 6.0], "logons": [1.0, 1.0]}
    absent = score(model, "1", batch(known), NO_REASON)
    empty = score(model, "1", batch({**known, "failures": [float("nan")] * 2}), NO_REASON)
    zero = score(model, "1", batch({**known, "failures": [0.0] * 2}), NO_REASON)
    assert set(absent.status) == {"ok"}
    assert list(absent.probability) == list(empty.probability) == list(zero.probability)


def test_defects_from_decoding_win(tiny_model: TrainedModel) -> None:
    rows = batch(
        {"events": [float("nan"), 5], "logons": [1, 1], "failures": [0, 0]},
        {0: Defect("not_a_number", "events is 'x'")},
    )
    assert score(tiny_model, "1", rows, ScoreOptions()).status[0] == "not_a_number: events is 'x'"


@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row(tiny_model: TrainedModel, count: int) -> None:
    rows = batch({"events": [5.0] * count, "logons": [1.0] * count, "failures": [0.0] * count})
    scores = score(tiny_model, "1", rows, ScoreOptions(explain="all"))
    assert len(scores) == len(list(scores.status)) == len(list(scores.probability)) == count


def test_a_batch_without_columns_is_not_scored(tiny_model: TrainedModel) -> None:
    scores = score(tiny_model, "1", batch({}), ScoreOptions())
    assert all(text.startswith("missing_feature") for text in scores.status)
    assert np.isnan(scores.probability).all()


def test_a_callers_threshold_moves_the_alert_only(
    tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read
) -> None:
    rows = read(body_of(500), 500)
    own = score(tiny_model, "1", rows, NO_REASON)
    for threshold in (0.0, 0.3, 1.0):
        asked = score(tiny_model, "1", rows, ScoreOptions(threshold=threshold, explain="none"))
        assert (np.asarray(asked.alert) == (np.asarray(asked.probability) >= threshold)).all()
        assert list(asked.risk) == list(own.risk)
        assert list(asked.band) == list(own.band)


def test_reasons_are_given_to_the_rows_asked_for(
    tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read
) -> None:
    rows = read(body_of(5000), 5000)
    alerts = score(tiny_model, "1", rows, ScoreOptions())
    assert [bool(reason) for reason in alerts.reason] == list(alerts.alert)
    everything = score(tiny_model, "1", rows, ScoreOptions(explain="all"))
    assert all(everything.reason)
    assert [r for r, a in zip(everything.reason, alerts.alert, strict=True) if a] == [r for r in alerts.reason if r]
    assert not any(score(tiny_model, "1", rows, NO_REASON).reason)


def test_the_reason_starts_with_the_feature_that_adds_most(
    tiny_model: TrainedModel, body_of: Callable[[int], bytes], read: Read
) -> None:
    rows = read(body_of(300), 300)
    X = derive(tiny_model.recipe, tiny_model.feature_names, rows.columns)
    Z = tiny_model.scaler.apply(X)
    usual = tiny_model.scaler.apply(tiny_model.reference[None])[0]
    added = attributions(tiny_model.machine, Z, usual)
    seen = set()
    for reason, adds in zip(score(tiny_model, "1", rows, ScoreOptions(explain="all")).reason, added, strict=True):
        best = int(np.argmax(adds))
        feature = tiny_model.recipe.feature_by_name[tiny_model.feature_names[best]]
        expected = feature.phrase if adds[best] > 0 else "no single feature raises this score"
        assert reason.startswith(expected)
        assert ("; " in reason) == (np.sum(adds > max(0.0, 0.25 * adds[best])) > 1)
        seen.add(expected)
    assert len(seen) > 1


def test_a_field_present_on_late_rows_only_scores_those(tiny_model: TrainedModel, read: Read) -> None:
    rows = read(b"events,logons,failures\n,,\n,1,0\n5,1,0\n", 3)
    scores = score(tiny_model, "1", rows, ScoreOptions())
    assert [text.split(":")[0] for text in scores.status] == ["missing_feature", "missing_feature", "ok"]


def test_every_status_code_is_documented(tiny_model: TrainedModel) -> None:
    rows = batch({"events": [float("inf"), float("nan")], "logons": [1, 1], "failures": [0, 0]})
    for text in score(tiny_model, "1", rows, ScoreOptions()).status:
        assert text.split(":")[0] in STATUS_CODES
    assert BANDS == ("low", "medium", "high", "critical")
