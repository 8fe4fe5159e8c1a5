"""A message is held until its work is done: whoever dies in the middle leaves it to the next."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Reject

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import WaitingRows
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import DeliveryJob, ScoreJob
from scorer.service.queue.lanes import DELIVER, LANES, Lane
from scorer.service.queue.submit import Admission
from scorer.service.settings import Settings, load_settings
from scorer.wire.options import ScoreOptions

Work = Callable[[], None]
#: Seconds that work takes.
LONG = 0.8


@pytest.fixture
def settings(tmp_path: Path, client: redis.Redis) -> Settings:
    return load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock")


def put(settings: Settings, lane: Lane, name: str) -> None:
    """A message on the lane's queue, as its callers put it there."""
    queue = Exchanges.of(settings)
    queue.serving(lane).beat(lane.name, "worker:1")
    submitter = queue.submitter(settings)
    if lane is DELIVER:
        rows = WaitingRows([1], Acknowledgement(name, 0))
        submitter.put_rows(DeliveryJob(name, f"qscore:rows:{name}", parts=1), rows)
    else:
        job = ScoreJob(
            name, "lateral", ScoreOptions("3"), 2, "text/csv", time.time() + 60, time.time(), "qscore:reply:1"
        )
        submitter.put(job, lane.queues[0], b"a\n1\n", 60.0, Admission(lane.queues, 50))


def worked(settings: Settings, lane: Lane, work: Work, until: Callable[[], bool]) -> None:
    """Run a worker of a lane, whose task does ``work``, until something is so."""
    app = build_app(settings, lane)

    @app.task(name=lane.task, typing=False, shared=False)  # type: ignore[untyped-decorator]
    def task(**_message: Any) -> None:
        work()

    # Threads, so that the worker's loop goes on beside the work, as it does beside processes.
    with start_worker(app, perform_ping_check=False, pool="threads", loglevel="ERROR", shutdown_timeout=20.0):
        deadline = time.monotonic() + 15
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def held(client: redis.Redis, lane: Lane) -> tuple[int, int]:
    """How many messages are noted as held, and for how many of them a time."""
    return client.hlen(lane.prefix + "unacked"), client.zcard(lane.prefix + "unacked_index")


@pytest.mark.parametrize("lane", list(LANES), ids=lambda lane: lane.name)
def test_a_message_is_held_while_its_work_is_done_and_no_longer(
    settings: Settings, client: redis.Redis, lane: Lane
) -> None:
    seen: list[tuple[int, int]] = []

    def work() -> None:
        time.sleep(LONG)  # time enough for a worker to acknowledge what it has only begun
        seen.append(held(client, lane))

    put(settings, lane, "batch-0001")
    worked(settings, lane, work, lambda: bool(seen) and held(client, lane) == (0, 0))
    assert seen == [(1, 1)], "whoever had died here would have taken the batch along"
    assert not client.exists(lane.prefix + lane.queues[0])


@pytest.mark.parametrize("lane", list(LANES), ids=lambda lane: lane.name)
def test_work_that_fails_by_itself_does_not_come_again(settings: Settings, client: redis.Redis, lane: Lane) -> None:
    """Its caller was told; what ends a whole process is another matter."""
    seen: list[int] = []

    def work() -> None:
        seen.append(1)
        raise RuntimeError("as tasks do")

    put(settings, lane, "batch-0002")
    worked(settings, lane, work, lambda: bool(seen) and held(client, lane) == (0, 0))
    assert seen == [1]
    assert not client.exists(lane.prefix + lane.queues[0])


def test_work_that_is_given_back_comes_again(settings: Settings, client: redis.Redis) -> None:
    seen: list[int] = []

    def work() -> None:
        seen.append(1)
        if len(seen) < 3:
            raise Reject("not now", requeue=True)

    put(settings, DELIVER, "batch-0003")
    worked(settings, DELIVER, work, lambda: len(seen) == 3 and held(client, DELIVER) == (0, 0))
