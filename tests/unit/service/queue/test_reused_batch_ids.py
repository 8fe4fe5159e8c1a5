"""Callers choose batch ids, and may choose one twice: other rows under it are other rows, other callers no deaths."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack
import pytest
import redis

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome
from scorer.delivery.stored_rows import stored
from scorer.registry.store import Registry
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.worker.delivering import DeliveryWorker
from scorer.service.worker.model_cache import HeldModel, ModelCache
from scorer.service.worker.scoring import MAX_RUNS, ScoringWorker
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import make_rows
from tests.unit.service.noting import NotingSubmitter

BATCH = "batch-0001"
ROWS = 4500  # three parts


@dataclass
class Taking:
    """A sink that takes everything."""

    name: str = "hec"

    def send(self, rows: ScoredRows) -> SendOutcome:
        return SendOutcome(len(rows))


class Gated(ModelCache):
    """Models that are there once the gate is open; ``waiting`` counts who stands before it."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self.gate, self.waiting = threading.Event(), threading.Semaphore(0)

    def get(self, model: str, version: str) -> HeldModel:
        self.waiting.release()
        assert self.gate.wait(30)
        return super().get(model, version)


class Deadly(ModelCache):
    """Ends whoever asks."""

    def get(self, model: str, version: str) -> HeldModel:
        raise SystemExit(f"{model} {version}")


@dataclass
class Place:
    exchange: Exchange
    registry: Registry
    dead_letters: DeadLetters
    submitter: NotingSubmitter

    def score(self, job: ScoreJob, models: ModelCache | None = None) -> None:
        ScoringWorker(self.exchange, models or ModelCache(self.registry), self.submitter).run(job.to_kwargs())

    def deliver(self, *jobs: DeliveryJob) -> None:
        worker = DeliveryWorker(self.exchange, lambda _job: Taking(), self.dead_letters, self.submitter)
        for job in jobs:
            worker.run(job.to_kwargs())

    def submitted(self, user: str) -> list[DeliveryJob]:
        """The deliveries of one batch of ROWS rows about users of that name."""
        self.submitter.first.clear()
        self.score(self.job(user, ROWS, write=True, submitter="me"))
        return list(self.submitter.first)

    def job(self, user: str, rows: int, *, write: bool = False, submitter: str | None = None) -> ScoreJob:
        names = ModelCache(self.registry).get("lateral", "live").card.required_fields
        lines = [",".join(["1700000400", f"{user}{k}", *["5"] * len(names)]) for k in range(rows)]
        body = "\n".join([",".join(["_time", "user", *names]), *lines, ""]).encode()
        options, reply = ScoreOptions(write=write), f"qscore:reply:{user}"
        return ScoreJob(BATCH, "lateral", options, rows, "text/csv", 2e9, 1.7e9, reply, body, submitter=submitter)

    def acknowledged(self) -> list[Acknowledgement | None]:
        return [outcome.ack for outcome in self.exchange.take_outcomes("me")]

    def reply(self, user: str) -> WorkerReply:
        reply = self.exchange.wait_reply(f"qscore:reply:{user}", 5.0)
        assert reply is not None
        return reply


@pytest.fixture
def place(tmp_path: Path, publish_tiny: Callable[[Path], None], client: redis.Redis) -> Place:
    publish_tiny(tmp_path / "home")
    registry = Registry(tmp_path / "home" / "registry", tmp_path / "home" / "trusted_keys")
    dead_letters, submitter = DeadLetters(tmp_path / "dead.sqlite"), NotingSubmitter.on(client, tmp_path)
    return Place(Exchange(client), registry, dead_letters, submitter)


def test_other_rows_under_a_batch_id_are_acknowledged_when_they_are_written(place: Place) -> None:
    place.deliver(*place.submitted("eve"))
    assert place.acknowledged() == [Acknowledgement(BATCH, ROWS)]
    first, *others = place.submitted("bob")
    place.deliver(first)
    assert place.acknowledged() == []
    place.deliver(*others)
    assert place.acknowledged() == [Acknowledgement(BATCH, ROWS)]


def test_parts_of_two_batches_of_one_id_are_counted_apart(place: Place) -> None:
    eves, bobs = place.submitted("eve"), place.submitted("bob")
    place.deliver(eves[0], bobs[1], eves[2])
    assert place.acknowledged() == []
    place.deliver(eves[1])
    assert place.acknowledged() == [Acknowledgement(BATCH, ROWS)]


def test_a_part_settled_by_version_0_1_0_counts_for_those_that_it_left(place: Place) -> None:
    client = place.exchange.client
    client.hset(f"qscore:settled:{BATCH}", "0", bytes(msgpack.packb([1999, 0, 1])))  # as 0.1.0 noted part 0
    old = {"v": 1, "batch_id": BATCH, "rows_key": "qscore:rows:old", "part": 1, "parts": 2, "attempt": 0}
    job = DeliveryJob.from_kwargs({**old, "submitter": "me"})
    place.submitter.put_rows(job, WaitingRows(stored(make_rows(3)), Acknowledgement(BATCH, 0)))
    place.deliver(job)
    assert place.acknowledged() == [Acknowledgement(BATCH, 2002, 0, 1)]


def test_callers_that_share_a_batch_id_are_no_deaths_of_workers(place: Place) -> None:
    gated = Gated(place.registry)
    with ThreadPoolExecutor(MAX_RUNS) as pool:
        try:
            for caller in range(MAX_RUNS):
                pool.submit(place.score, place.job(f"early{caller}", 1), gated)
            assert all(gated.waiting.acquire(timeout=30) for _ in range(MAX_RUNS))
            place.score(place.job("late", 1))
        finally:
            gated.gate.set()
    assert [place.reply(user).problem for user in ("late", "early0", "early1", "early2")] == [None] * 4


def test_a_message_that_ended_its_worker_three_times_is_not_tried_again(place: Place) -> None:
    job = place.job("eve", 1)
    for _ in range(MAX_RUNS):
        with pytest.raises(SystemExit):
            place.score(job, Deadly(place.registry))
    place.score(job)
    problem = place.reply("eve").problem
    assert problem is not None
    assert f"ended its worker {MAX_RUNS} times" in problem.detail
    place.score(job)  # sent anew, it is another's question
    assert place.reply("eve").problem is None


def test_callers_that_gave_up_on_a_batch_count_for_the_next(place: Place) -> None:
    for caller in range(MAX_RUNS):
        place.exchange.begin(replace(place.job(f"early{caller}", 1), deadline=1.7e9))  # and nothing more was heard
    place.score(place.job("late", 1))
    problem = place.reply("late").problem
    assert problem is not None
    assert f"ended its worker {MAX_RUNS} times" in problem.detail


def test_a_message_that_comes_too_late_does_not_clear_its_batch(place: Place) -> None:
    late = replace(place.job("early", 1), deadline=1.7e9)
    for _ in range(MAX_RUNS):
        place.exchange.begin(late)
    place.score(late)
    place.score(place.job("late", 1))
    assert place.reply("late").problem is not None


def test_batches_without_a_waiting_caller_are_told_apart_by_when_they_were_sent(place: Place) -> None:
    raw = place.job("eve", 1).to_kwargs() | {"reply_key": None, "deadline": 9e9}
    first, again, later = (ScoreJob.from_kwargs(raw | {"submitted": at}) for at in (1.7e9, 1.7e9, 1.7e9 + 0.001))
    assert [place.exchange.begin(job)[0] for job in (first, later, again)] == [0, 0, 1]
