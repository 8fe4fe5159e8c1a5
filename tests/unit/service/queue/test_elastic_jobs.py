"""Jobs of a connector: their own sink, one delivery of a part at a time, later leaders, and pauses instead of loss."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import redis

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.delivery.sink import SendOutcome, Sink, SinkBusy, SinkRefused
from scorer.delivery.stored_rows import stored
from scorer.elastic_client.settings import ElasticSettings
from scorer.registry.store import Registry
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.broker import redis_client
from scorer.service.queue.claims import claimed
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.submit import Submitter
from scorer.service.settings import Settings
from scorer.service.worker.delivering import MAX_DELIVERY_RUNS, MAX_STREAM_RUNS, DeliveryWorker
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring import Scored, ScoringWorker
from scorer.service.worker.sinks import Sinks, UnusableSink
from scorer.wire.errors import ConfigurationError, MalformedBody, Unavailable
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import make_rows
from tests.unit.service.noting import NotingSubmitter

ROUTE = {"sink": "elastic", "namespace": "lab", "stream": "dc:lateral", "epoch": 3, "first_submitted": 1.7e9}
JOB = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", submitter="elastic:dc:lateral:3", **ROUTE)  # type: ignore[arg-type]


@dataclass
class Recalling:
    """A sink that notes with what knowledge it was asked."""

    outcome: Callable[[ScoredRows], SendOutcome] = lambda rows: SendOutcome(len(rows))
    name: str = "elastic:lab"
    asked: list[tuple[float, bool]] = field(default_factory=list)
    compared: list[bool] = field(default_factory=list)

    def session(self, since: float, repeated: bool, compared: bool = True) -> Sink:
        self.asked.append((since, repeated))
        self.compared.append(compared)
        return self

    def send(self, rows: ScoredRows) -> SendOutcome:
        return self.outcome(rows)


@pytest.fixture
def exchange(client: redis.Redis) -> Exchange:
    return Exchange(client)


def new_rows() -> WaitingRows:
    return WaitingRows(stored(make_rows(3)), Acknowledgement(JOB.batch_id, 0))


@dataclass
class Bench:
    exchange: Exchange
    dead_letters: DeadLetters
    submitter: NotingSubmitter

    @property
    def again(self) -> list[tuple[DeliveryJob, float]]:
        return self.submitter.again

    def run(self, sink: Sink, job: DeliveryJob = JOB) -> None:
        worker = DeliveryWorker(self.exchange, lambda _job: sink, self.dead_letters, self.submitter)
        worker.run(job.to_kwargs())


@pytest.fixture
def bench(exchange: Exchange, tmp_path: Path) -> Bench:
    submitter = NotingSubmitter.on(exchange.client, tmp_path)
    submitter.put_rows(JOB, new_rows())
    return Bench(exchange, DeadLetters(tmp_path / "dead.sqlite"), submitter)


def busy(rows: ScoredRows) -> SendOutcome:
    fault = SinkBusy("busy")
    fault.retry_after = 4.0
    return SendOutcome(0, unsent=rows, fault=fault)


def refusing(rows: ScoredRows) -> SendOutcome:
    return SendOutcome(0, unsent=rows, fault=SinkRefused("no such key", "Make one."))


def test_a_job_without_a_route_is_the_message_that_it_was() -> None:
    plain = DeliveryJob("batch-0001", "k")
    assert set(plain.to_kwargs()) == {"v", "release", "batch_id", "rows_key", "part", "parts", "attempt", "submitter"}
    assert DeliveryJob.from_kwargs(JOB.to_kwargs()) == JOB
    score = ScoreJob("batch-0001", "lateral", ScoreOptions(), 1, "text/csv", 2e9, 1e9, **ROUTE)  # type: ignore[arg-type]
    assert ScoreJob.from_kwargs(score.to_kwargs()) == score
    assert "sink" not in replace(score, sink="", namespace="", stream="", epoch=0, first_submitted=0.0).to_kwargs()


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("sink", 5),
        ("namespace", "a b"),
        ("stream", "x" * 300),
        ("epoch", -1),
        ("epoch", True),
        ("first_submitted", "now"),
    ],
)
def test_a_wrong_route_is_refused(part: str, value: object) -> None:
    with pytest.raises(MalformedBody):
        DeliveryJob.from_kwargs(JOB.to_kwargs() | {part: value})


def test_the_sink_is_told_what_may_have_been_written(bench: Bench) -> None:
    sink = Recalling()
    bench.run(sink)
    assert (sink.asked, sink.compared) == ([(1.7e9, False)], [False])


def test_what_a_caller_sends_is_compared_with_what_is_there(bench: Bench) -> None:
    """A connector's ids nobody else can make; a caller's, whoever has a key of its namespace."""
    job, sink = replace(JOB, stream="", epoch=0), Recalling()
    bench.submitter.put_again(job, new_rows(), 0.0)
    bench.run(sink, job)
    assert sink.compared == [True]
    assert bench.exchange.wait_outcome(JOB.submitter or "", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 3))
    bench.submitter.put_rows(JOB, new_rows())
    bench.run(sink)  # the same message delivered again
    assert sink.asked[1:] == [(1.7e9, True)]


def test_a_busy_sink_is_waited_for_as_long_as_its_stream_waits(bench: Bench) -> None:
    late = replace(JOB, attempt=MAX_DELIVERY_RUNS + 3)
    bench.run(Recalling(busy), late)
    assert bench.dead_letters.counts() == {}
    assert [(job.attempt, pause) for job, pause in bench.again] == [(late.attempt + 1, 4.0)]
    bench.run(Recalling(busy), replace(JOB, attempt=MAX_STREAM_RUNS - 1))
    assert bench.dead_letters.counts() == {"elastic:lab": 3}


def test_a_sink_that_refuses_is_asked_twice_not_six_times(bench: Bench) -> None:
    bench.run(Recalling(refusing))
    assert [job.attempt for job, _ in bench.again] == [1]
    bench.run(Recalling(refusing), bench.again[0][0])
    assert bench.dead_letters.counts() == {"elastic:lab": 3}
    assert len(bench.again) == 1
    assert bench.exchange.wait_outcome(JOB.submitter or "", 1.0) == BatchOutcome.of(
        Acknowledgement(JOB.batch_id, 0, 0, 3)
    )


def test_a_batch_that_was_sent_again_does_not_run_beside_its_next_run(bench: Bench) -> None:
    bench.run(Recalling(busy))
    bench.submitter.put_rows(JOB, new_rows())
    sink = Recalling()
    bench.run(sink)  # the message of the second submission
    assert (sink.asked, len(bench.again)) == ([], 1)
    bench.run(sink, bench.again[0][0])
    assert bench.exchange.wait_outcome(JOB.submitter or "", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 3))


def test_a_lost_next_run_is_taken_over(bench: Bench) -> None:
    waiting = WaitingRows(stored(make_rows(3)), Acknowledgement(JOB.batch_id, 1), 4, time.time() - 3600)
    bench.submitter.put_again(JOB, waiting, 0.0)
    sink = Recalling()
    bench.run(sink)
    assert sink.asked == [(1.7e9, True)]
    assert bench.exchange.wait_outcome(JOB.submitter or "", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 4))


def test_rows_that_another_worker_writes_wait_for_it(bench: Bench) -> None:
    sink = Recalling()
    with bench.exchange.claim(JOB.rows_key) as mine:
        assert mine
        bench.run(sink)
    assert sink.asked == []
    assert [job for job, _ in bench.again] == [JOB]
    bench.run(sink, bench.again[0][0])
    assert len(sink.asked) == 1


def test_deliveries_of_one_part_at_once_send_it_once(bench: Bench, tmp_path: Path) -> None:
    sending, release = threading.Event(), threading.Event()

    def slow(rows: ScoredRows) -> SendOutcome:
        sending.set()
        release.wait(10)
        return SendOutcome(len(rows))

    sink = Recalling(slow)
    first = threading.Thread(target=bench.run, args=(sink,))
    first.start()
    assert sending.wait(10)
    bench.run(sink)
    release.set()
    first.join()
    bench.run(sink, bench.again[0][0])
    assert len(sink.asked) == 1
    assert bench.exchange.wait_outcome(JOB.submitter or "", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 3))


def test_a_claim_is_free_again_when_its_holder_is_gone(client: redis.Redis) -> None:
    with claimed(client, "k") as mine:
        assert mine
        assert 0 < client.pttl("k") <= 15_000
    with claimed(client, "k") as mine:
        assert mine


def test_a_job_of_an_earlier_leader_is_dropped(bench: Bench) -> None:
    assert bench.exchange.epoch("dc:lateral") == 0
    assert bench.exchange.raise_epoch("dc:lateral", 4) == 4
    assert bench.exchange.raise_epoch("dc:lateral", 2) == 4
    sink = Recalling()
    bench.run(sink)
    assert sink.asked == []
    assert bench.exchange.get_rows(JOB.rows_key) is None
    bench.submitter.put_rows(JOB, new_rows())
    bench.run(sink, replace(JOB, epoch=4))
    assert len(sink.asked) == 1


def test_a_batch_of_an_earlier_leader_is_not_scored(exchange: Exchange, tmp_path: Path) -> None:
    exchange.raise_epoch("dc:lateral", 4)
    submitter = NotingSubmitter.on(exchange.client, tmp_path)
    worker = ScoringWorker(exchange, ModelCache(Registry(tmp_path / "r", tmp_path / "k")), submitter)
    job = ScoreJob("batch-0009", "lateral", ScoreOptions(write=True), 1, "text/csv", 2e9, 1e9, "r", b"x", **ROUTE)  # type: ignore[arg-type]
    worker.run(job.to_kwargs())
    assert exchange.wait_reply("r", 0.05) is None
    worker.run(replace(job, epoch=4).to_kwargs())
    reply = exchange.wait_reply("r", 1.0)
    assert reply is not None
    assert reply.problem is not None  # there is no such model here; but it was tried
    assert submitter.first == []


def test_the_route_goes_with_the_rows_and_each_leader_has_keys_of_its_own(exchange: Exchange, tmp_path: Path) -> None:
    submitter = NotingSubmitter.on(exchange.client, tmp_path)
    worker = ScoringWorker(exchange, ModelCache(Registry(tmp_path / "r", tmp_path / "k")), submitter)
    job = ScoreJob("batch-0002", "lateral", ScoreOptions(write=True), 3, "text/csv", 2e9, 1e9, **ROUTE)  # type: ignore[arg-type]
    for one in (job, replace(job, epoch=4)):
        worker._enqueue_rows(one, Scored(WorkerReply(), make_rows(3), "1", 3))
    assert [(d.sink, d.namespace, d.stream, d.first_submitted) for d in submitter.first] == [
        ("elastic", "lab", "dc:lateral", 1.7e9)
    ] * 2
    assert submitter.first[0].rows_key != submitter.first[1].rows_key


def test_sinks_are_made_once_each_and_a_wrong_one_says_why() -> None:
    made: list[str] = []

    def make(_settings: Settings, name: str) -> Sink:
        made.append(name)
        if name == "hec":
            raise ConfigurationError("hec.url is empty", "Set it.")
        return Recalling(name=name)

    sinks = Sinks(Settings(sink="hec"), make)
    assert [sinks.of(JOB).name for _ in range(2)] == ["elastic:lab"] * 2
    assert sinks.of(replace(JOB, namespace="")).name == "elastic:default"
    unusable = sinks.of(DeliveryJob("batch-0001", "k"))
    assert isinstance(unusable, UnusableSink)
    fault = unusable.send(NO_ROWS).fault
    assert fault is not None
    assert "hec.url is empty" in fault.sentence()
    assert made == ["elastic:lab", "elastic:default", "hec"]


def test_a_key_that_was_replaced_is_used_without_a_restart(tmp_path: Path) -> None:
    """A revoked key refuses every row; the one put in its place must not wait for somebody to restart the worker."""
    made: list[str] = []
    key = tmp_path / "key"
    settings = Settings(sink="elastic", elastic=ElasticSettings(url="https://e.example:9200", api_key_file=key))

    def make(_settings: Settings, name: str) -> Sink:
        if not key.exists():
            raise ConfigurationError("elastic.api_key_file cannot be read", "Set it.")
        made.append(key.read_text())
        return Recalling(name=name)

    sinks = Sinks(settings, make)
    assert isinstance(sinks.of(JOB), UnusableSink)
    key.write_text("first")
    assert [isinstance(sinks.of(JOB), Recalling) for _ in range(2)] == [True, True]
    key.unlink()
    (tmp_path / "new").write_text("second")
    (tmp_path / "new").rename(key)
    sinks.of(JOB)
    assert made == ["first", "second"]


def test_rows_that_cannot_be_queued_are_no_fault_of_their_batch(tmp_path: Path) -> None:
    """A connector cuts a batch in two where the batch is the reason, and a single row is then written as an error."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings = Settings(home=tmp_path, broker_url=f"redis://127.0.0.1:{unused.getsockname()[1]}/0")
        with redis_client(settings) as client, pytest.raises(Unavailable) as raised:
            Submitter.of(settings, client).put_rows(JOB, new_rows())
    assert raised.value.retryable
