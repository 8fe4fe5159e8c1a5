"""The delivery task keeps its rows whatever breaks: the sink's code, the time limit, the dead letters themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from celery.exceptions import SoftTimeLimitExceeded

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import Refused, SendOutcome, SinkBusy, SinkRefused
from scorer.delivery.stored_rows import read_rows, stored
from scorer.registry.store import Registry
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.worker.delivering import MAX_DELIVERY_RUNS, DeliveryWorker
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring import Scored, ScoringWorker
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import make_rows, objects_of
from tests.unit.service.noting import NotingSubmitter

JOB = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", submitter="me")
LAST = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", attempt=MAX_DELIVERY_RUNS - 1, submitter="me")


@dataclass
class Scripted:
    """A sink that does what it is told."""

    error: Exception | None = None
    outcome: SendOutcome | None = None
    name: str = "hec"

    def send(self, rows: ScoredRows) -> SendOutcome:
        if self.error is not None:
            raise self.error
        return self.outcome or SendOutcome(len(rows))


@dataclass
class Bench:
    """A worker on a real queue, and the jobs that it sent again with their pauses."""

    exchange: Exchange
    dead_letters: DeadLetters
    submitter: NotingSubmitter

    @property
    def sent(self) -> list[tuple[DeliveryJob, float]]:
        return self.submitter.again

    def run(self, sink: Scripted, job: DeliveryJob = JOB) -> None:
        worker = DeliveryWorker(self.exchange, lambda _job: sink, self.dead_letters, self.submitter)
        worker.run(job.to_kwargs())

    def waiting(self) -> int:
        waiting = self.exchange.get_rows(JOB.rows_key)
        return 0 if waiting is None else len(read_rows(waiting.rows))


@pytest.fixture
def bench(tmp_path: Path, client: redis.Redis) -> Bench:
    submitter = NotingSubmitter.on(client, tmp_path)
    submitter.put_rows(JOB, WaitingRows(stored(make_rows(3)), Acknowledgement(JOB.batch_id, 0)))
    return Bench(Exchange(client), DeadLetters(tmp_path / "dead.sqlite"), submitter)


@pytest.mark.parametrize("error", [SoftTimeLimitExceeded(), RuntimeError("a bug")])
def test_a_run_that_breaks_off_comes_again(bench: Bench, error: Exception) -> None:
    bench.run(Scripted(error=error))
    assert bench.waiting() == 3
    assert [(job.attempt, pause) for job, pause in bench.sent] == [(1, 1.0)]


def test_a_last_run_that_breaks_off_leaves_dead_letters(bench: Bench) -> None:
    bench.run(Scripted(error=SoftTimeLimitExceeded()), LAST)
    assert (bench.waiting(), bench.sent) == (0, [])
    assert bench.dead_letters.counts() == {"hec": 3}
    assert "SoftTimeLimitExceeded" in bench.dead_letters.list()[0].reason
    assert bench.exchange.wait_outcome("me", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 0, 0, 3))


@pytest.mark.parametrize("job", [JOB, LAST], ids=["first", "last"])
def test_rows_that_the_dead_letters_cannot_take_stay_on_the_queue(bench: Bench, job: DeliveryJob) -> None:
    bench.dead_letters.path.mkdir()
    rows = make_rows(3)
    bench.run(Scripted(outcome=SendOutcome(2, refused=(Refused(rows[2:], "no"),))), job)
    assert bench.waiting() == 1
    assert [again.attempt for again, _ in bench.sent] == [job.attempt + 1]
    bench.dead_letters.path.rmdir()
    bench.run(Scripted(outcome=SendOutcome(0, refused=(Refused(rows[2:], "no"),))), bench.sent[0][0])
    assert bench.dead_letters.counts() == {"hec": 1}
    assert bench.exchange.wait_outcome("me", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 2, 0, 1))


@pytest.mark.parametrize("form", [stored, objects_of], ids=["blocks", "rows of 0.1.0"])
def test_what_a_sink_leaves_is_all_that_comes_again(bench: Bench, form: Callable[[ScoredRows], list[Any]]) -> None:
    rows = make_rows(3)
    bench.exchange.drop(JOB.rows_key)
    bench.submitter.put_rows(JOB, WaitingRows(form(rows), Acknowledgement(JOB.batch_id, 0)))
    some = SendOutcome(1, unsent=rows.where(np.array([True, False, True])), fault=SinkRefused("not these", "Wait."))
    bench.run(Scripted(outcome=some))
    waiting = bench.exchange.get_rows(JOB.rows_key)
    assert waiting is not None
    assert (read_rows(waiting.rows).ids, waiting.attempt) == ([rows.ids[0], rows.ids[2]], 1)
    assert objects_of(read_rows(waiting.rows)) == [objects_of(rows)[0], objects_of(rows)[2]]
    bench.run(Scripted(), bench.sent[0][0])
    assert bench.exchange.wait_outcome("me", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 3))
    assert bench.waiting() == 0


@pytest.mark.parametrize(("asked", "pause"), [(60.0, 60.0), (3600.0, 90.0), (None, 1.0)])
def test_a_pause_that_the_sink_asks_for_is_kept(bench: Bench, asked: float | None, pause: float) -> None:
    busy = SinkBusy("busy")
    busy.retry_after = asked
    # Nothing taken in any try of this run.
    bench.run(Scripted(outcome=SendOutcome(0, unsent=make_rows(3), fault=busy)))
    assert [given for _, given in bench.sent] == [pause]


def test_rows_of_another_batch_with_the_same_id_do_not_replace_those_that_wait(bench: Bench, tmp_path: Path) -> None:
    models = ModelCache(Registry(tmp_path / "registry", tmp_path / "trusted_keys"))
    worker = ScoringWorker(bench.exchange, models, bench.submitter)
    job = ScoreJob("batch-0002", "lateral", ScoreOptions(write=True), 4, "text/csv", 2e9, 1e9)
    rows = make_rows(4)
    for some in (rows[:2], rows[2:], rows[:2]):
        worker._enqueue_rows(job, Scored(WorkerReply(), some, "1", len(some)))
    keys = [delivery.rows_key for delivery in bench.submitter.first[1:]]
    assert keys[0] == keys[2] != keys[1]
    waiting = [bench.exchange.get_rows(key) for key in keys[:2]]
    assert [read_rows(lying.rows).ids if lying else None for lying in waiting] == [rows.ids[:2], rows.ids[2:]]
