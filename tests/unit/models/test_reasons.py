"""Reasons within a time: the highest scores are explained first, and no row loses its score to another's reason."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.circuits.maps import reuploading
from scorer.models.machine import ObservableMachine
from scorer.models.observable import Observable
from scorer.models.reasons import NOT_EXPLAINED, blocks_in_time, reasons
from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry
from scorer.rows.batches import FeatureBatch
from scorer.rows.transform import derive, required_inputs
from scorer.scoring.score import score
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import LANES
from scorer.service.settings import load_settings
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.process import scoring_worker
from scorer.service.worker.scoring import Scored, score_job
from scorer.wire.options import ScoreOptions


class Clock:
    """A clock that goes on by ``seconds`` whenever it is looked at."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


@pytest.fixture(scope="module")
def large_model(tiny_model: TrainedModel) -> TrainedModel:
    """Twelve qubits: the first block of rows to explain has four."""
    circuit = reuploading(3, qubits=12, layers=3).plan
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(4096, 4)) + 1j * rng.normal(size=(4096, 4)))[0].T
    observable = Observable(rng.normal(size=4), np.ascontiguousarray(vectors, np.complex64), 0.0)
    return dataclasses.replace(tiny_model, machine=ObservableMachine(circuit, observable))


def rows_of(model: TrainedModel, count: int) -> tuple[Any, Any, Any]:
    """Features, the same scaled, and scores."""
    rng = np.random.default_rng(count)
    columns = {
        name: np.floor(rng.gamma(2.0, 30.0, count)) + 1.0 for name in required_inputs(model.recipe, model.feature_names)
    }
    X = derive(model.recipe, model.feature_names, columns)
    Z = model.scaler.apply(X)
    return X, Z, model.scores(Z)


def test_the_highest_scores_are_explained_until_the_time_is_up(large_model: TrainedModel) -> None:
    """A tenth of a second a block: of 0.26 seconds the first, of four rows, leaves 0.16. Half of that is time for three
    rows like these, which leave too little for another."""
    X, Z, scores = rows_of(large_model, 60)
    found = reasons(large_model, X, Z, scores, np.arange(60), 0.26, Clock(0.1))
    explained = found != NOT_EXPLAINED
    assert explained.sum() == 7
    assert scores[explained].min() >= scores[~explained].max()
    alone = reasons(large_model, X, Z, scores, np.flatnonzero(explained))
    assert list(found[explained]) == list(alone[explained])


@pytest.mark.parametrize("each", [1e-4, 1e-3, 5e-3])
def test_no_block_is_begun_that_would_end_late(each: float) -> None:
    """Rows of ``each`` seconds: most of 0.4 seconds is used, and no more of it."""
    clock, done, sizes = Clock(0.0), [], []
    for block in blocks_in_time(np.arange(10_000), 0.4, 16, clock):
        clock.now += each * len(block)
        done += block.tolist()
        sizes.append(len(block))
    assert done == list(range(len(done)))
    assert 0.3 <= each * len(done) <= 0.4
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(sizes))


def test_the_first_block_is_done_however_slow_it_is() -> None:
    clock, sizes = Clock(0.0), []
    for block in blocks_in_time(np.arange(100), 0.4, 16, clock):
        clock.now += 60.0
        sizes.append(len(block))
    assert sizes == [16]


def test_with_time_enough_nothing_changes(tiny_model: TrainedModel) -> None:
    X, Z, scores = rows_of(tiny_model, 200)
    wanted = np.arange(0, 200, 3)
    found = reasons(tiny_model, X, Z, scores, wanted, 600.0)
    assert list(found) == list(reasons(tiny_model, X, Z, scores, wanted))
    assert np.flatnonzero(found != "").tolist() == wanted.tolist()
    assert NOT_EXPLAINED not in found
    assert reasons(tiny_model, X[:0], Z[:0], scores[:0], wanted[:0], 1.0).shape == (0,)


def test_without_time_every_row_keeps_its_score(tiny_model: TrainedModel) -> None:
    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {name: rng.integers(1, 9, 300) * 1.0 for name in ("events", "logons", "failures")}
    batch = FeatureBatch("b" * 8, "lateral", columns, {}, range(300), {})
    options = ScoreOptions(explain="all")
    cut, whole = score(tiny_model, "1", batch, options, 0.0), score(tiny_model, "1", batch, options)
    assert list(cut.status) == list(whole.status)
    assert np.array_equal(np.asarray(cut.probability), np.asarray(whole.probability), equal_nan=True)
    scored = [status == "ok" for status in cut.status]
    assert 0 < sum(scored) < 300
    assert list(cut.reason) == [NOT_EXPLAINED if ok else "" for ok in scored]


@pytest.fixture
def scored(tmp_path: Any, publish_tiny: Callable[[Any], None]) -> Callable[[float, float | None], Scored]:
    """``scored(wait, seconds)``: a job whose caller waits so long, on a worker that gives reasons so many seconds."""
    home = tmp_path / "home"
    publish_tiny(home)
    held = ModelCache(Registry(home / "registry", home / "trusted_keys")).get("lateral", "live")
    names = held.card.required_fields
    body = "\n".join([",".join(names), *(",".join([str(k)] * len(names)) for k in range(1, 51))]).encode()

    def run(wait: float, seconds: float | None) -> Scored:
        options, now = ScoreOptions(explain="all"), time.time()
        return score_job(
            ScoreJob("batch-0001", "lateral", options, 50, "text/csv", now + wait, now), body, held, seconds
        )

    return run


def test_a_caller_who_hardly_waits_gets_scores_without_reasons(scored: Callable[..., Scored]) -> None:
    assert (scored(60.0, 30.0).scored, scored(60.0, 30.0).unexplained) == (50, 0)
    assert (scored(60.0, 0.0).scored, scored(60.0, 0.0).unexplained) == (50, 50)
    assert (scored(-1.0, 30.0).scored, scored(-1.0, 30.0).unexplained) == (50, 50)
    assert scored(-1.0, None).unexplained == 0


def test_each_lanes_reasons_end_before_its_soft_limit(tmp_path: Any) -> None:
    settings = load_settings(home=tmp_path)
    scoring = [lane for lane in LANES if lane.scores]
    assert scoring
    for lane in scoring:
        soft = build_app(settings, lane).conf.task_soft_time_limit
        assert scoring_worker(settings, lane).reason_seconds == pytest.approx(0.625 * soft)
