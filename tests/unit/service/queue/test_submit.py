"""Messages onto the queue, on a real server: Celery's own, whole or not at all, and none where a batch would wait in
vain."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis
from celery import Celery

from elastic_connector.lead.batches import Queues, Sender, StreamRoute, packed
from elastic_connector.lead.ledger import Batch
from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.lanes import LANES
from scorer.service.queue.living import worker_name
from scorer.service.queue.submit import Admission, Placed, Submitter
from scorer.service.settings import load_settings
from scorer.wire.errors import QueueFull, Unavailable
from scorer.wire.options import ScoreOptions

JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, 1e9, "qscore:reply:1")
DELIVERY = DeliveryJob("batch-0001", "rows")
NOTHING = Acknowledgement("batch-0001", 0)
SMALL, LARGE = b"a\n\xff\n", b"x" * 9000
LIMIT = 5


@dataclass
class Queue:
    """A server and what puts messages there."""

    home: Path
    client: redis.Redis
    submitter: Submitter

    def put(self, queue: str, body: bytes = SMALL, life: float = 40.0) -> ScoreJob:
        """Put a job as the gateway does."""
        return self.placed(queue, body, life).job

    def placed(self, queue: str, body: bytes = SMALL, life: float = 40.0) -> Placed:
        return self.submitter.put(JOB, queue, body, life, Admission.to_lane(LANES.serving(queue), LIMIT))

    def celery(self, queue: str) -> Celery:
        """Celery itself, as a client of the lane that serves a queue."""
        settings = load_settings(home=self.home, broker_url=f"redis+socket://{self.home}/v.sock")
        return build_app(settings, LANES.serving(queue))

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """The newest comes first."""
        found: Any = self.client.lrange(LANES.keys[queue], 0, -1)
        return [json.loads(each) for each in found]

    def bodies(self) -> list[str]:
        found: Any = self.client.keys("qscore:body:*")
        return [str(key, "ascii") for key in found]

    def live(self, *lanes: str) -> None:
        for lane in lanes:
            Exchange(self.client).beat(lane, "worker:1")


@pytest.fixture
def queue(tmp_path: Path, client: redis.Redis) -> Queue:
    settings = load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock")
    return Queue(tmp_path, client, Submitter.of(settings, client))


def assert_as_celery_sends(ours: dict[str, Any], celerys: dict[str, Any]) -> None:
    for sent in (celerys, ours):
        # Each message's own tag; and where results would go, of which a task here has none.
        assert len(sent["properties"].pop("delivery_tag")) == 36
        sent["properties"].pop("reply_to")
    celerys["properties"].pop("kwargsrepr")  # an option that Celery passes on, and nobody reads there
    assert ours == celerys


@pytest.mark.parametrize("name", [queue for lane in LANES if lane.scores for queue in lane.queues])
def test_the_message_is_the_one_that_celery_sends(queue: Queue, name: str) -> None:
    queue.live("score", "bulk", "qpu")
    job, lane = queue.put(name), LANES.serving(name)
    queue.celery(name).send_task(lane.task, kwargs=job.to_kwargs(), queue=name, task_id=JOB.batch_id, kwargsrepr="")
    ours, celerys = queue.messages(name)  # what Celery sends itself goes before all that waits
    assert_as_celery_sends(ours, celerys)


def test_the_message_of_rows_is_the_one_that_celery_sends(queue: Queue) -> None:
    queue.submitter.put_rows(DELIVERY, WaitingRows([1], NOTHING))
    (ours,) = queue.messages("deliver")
    lane, number = LANES.serving("deliver"), ours["headers"]["id"]
    queue.celery("deliver").send_task(
        lane.task, kwargs=DELIVERY.to_kwargs(), queue="deliver", task_id=number, kwargsrepr=""
    )
    assert_as_celery_sends(ours, queue.messages("deliver")[1])


def test_the_message_of_a_later_run_is_the_one_that_celery_sends(queue: Queue) -> None:
    queue.submitter.put_back(DELIVERY, 60.0)
    (ours,) = queue.messages("deliver")
    lane, number = LANES.serving("deliver"), ours["headers"]["id"]
    queue.celery("deliver").send_task(
        lane.task, kwargs=DELIVERY.to_kwargs(), queue="deliver", task_id=number, countdown=60.0, kwargsrepr=""
    )
    celerys = queue.messages("deliver")[1]
    due = [datetime.fromisoformat(sent["headers"].pop("eta")) for sent in (ours, celerys)]
    assert timedelta(0) <= due[1] - due[0] < timedelta(seconds=5)
    assert_as_celery_sends(ours, celerys)


def test_rows_and_the_message_of_their_run_are_there_together_or_not_at_all(queue: Queue) -> None:
    exchange, submitter = Exchange(queue.client), queue.submitter
    submitter.put_rows(DELIVERY, WaitingRows([1, 2, 3], NOTHING))
    assert (exchange.get_rows("rows"), len(queue.messages("deliver"))) == (WaitingRows([1, 2, 3], NOTHING), 1)
    left = WaitingRows([3], NOTHING, 1, 9e9)
    submitter.put_again(DELIVERY, left, 1.0)
    assert (exchange.get_rows("rows"), len(queue.messages("deliver"))) == (left, 2)
    submitter.put_rows(DELIVERY, WaitingRows([1, 2, 3], NOTHING))  # submitted once more: what is left stays
    assert (exchange.get_rows("rows"), len(queue.messages("deliver"))) == (left, 3)
    queue.client.config_set("maxmemory", "1")
    with pytest.raises(Unavailable):
        submitter.put_rows(replace(DELIVERY, rows_key="others"), WaitingRows([1], NOTHING))
    assert (exchange.get_rows("rows"), exchange.get_rows("others")) == (left, None)
    assert len(queue.messages("deliver")) == 3


def test_a_full_server_takes_what_empties_it(queue: Queue) -> None:
    exchange, submitter = Exchange(queue.client), queue.submitter
    submitter.put_rows(DELIVERY, WaitingRows([1, 2, 3], NOTHING))
    queue.client.config_set("maxmemory", "1")
    left = WaitingRows([3], NOTHING, 1, 9e9)
    with exchange.claim("rows") as mine:
        assert mine
        with exchange.claim("rows") as twice:
            assert not twice
        assert [exchange.begun("rows"), exchange.begun("rows")] == [0, 1]
        submitter.put_again(DELIVERY, left, 1.0)
        submitter.put_back(DELIVERY, 1.0)
    assert (exchange.get_rows("rows"), len(queue.messages("deliver"))) == (left, 3)
    exchange.beat("deliver", "worker:1")
    assert exchange.state().workers["deliver"] == 1
    exchange.settle_part(replace(DELIVERY, submitter="me", submission="one"), Acknowledgement("batch-0001", 2, 1))
    assert exchange.take_outcomes("me") == [BatchOutcome.of(Acknowledgement("batch-0001", 2, 1))]
    exchange.finish(JOB, WorkerReply(b"scores", {}))
    assert exchange.wait_reply("qscore:reply:1", 1.0) == WorkerReply(b"scores", {})
    assert exchange.raise_epoch("stream", 3) == 3


def test_a_large_body_lies_under_its_key_for_its_life(queue: Queue) -> None:
    queue.live("score")
    job = queue.put("interactive", LARGE)
    assert (job.body, queue.bodies()) == (None, [job.body_key])
    assert queue.client.get(str(job.body_key)) == LARGE
    assert 38_000 < int(str(queue.client.pttl(str(job.body_key)))) <= 40_000
    assert len(queue.messages("interactive")) == 1
    assert queue.put("interactive", SMALL).body == SMALL
    assert len(queue.bodies()) == 1


@pytest.mark.parametrize(
    ("living", "name", "said"),
    [
        ((), "interactive", "no scoring worker is alive"),
        (("qpu", "score"), "bulk", "no bulk worker is alive"),
        (("score", "deliver"), "qpu", r"no worker of the qpu lane is alive.*--qpu 1"),
    ],
)
def test_without_a_worker_of_the_lane_nothing_is_left(
    queue: Queue, living: tuple[str, ...], name: str, said: str
) -> None:
    queue.live(*living)
    with pytest.raises(Unavailable, match=said):
        queue.put(name, LARGE)
    assert (queue.messages(name), queue.bodies()) == ([], [])


def test_a_dead_workers_heartbeat_does_not_count(queue: Queue) -> None:
    queue.client.zadd("qscore:workers:score", {"worker:1": 1e9})
    with pytest.raises(Unavailable, match="no scoring worker"):
        queue.put("interactive")


def test_a_full_queue_refuses_its_own_callers_only(queue: Queue) -> None:
    queue.live("score", "bulk", "qpu")
    for name in ("interactive", "bulk"):
        for _ in range(LIMIT):
            queue.put(name)
        with pytest.raises(QueueFull, match=f"{LIMIT} batches"):
            queue.put(name, LARGE)
    assert queue.bodies() == []
    queue.put("qpu")
    assert [len(queue.messages(name)) for name in ("interactive", "bulk", "qpu")] == [LIMIT, LIMIT, 1]


def test_many_callers_at_once_never_pass_the_limit(queue: Queue) -> None:
    queue.live("score")

    def put(_number: int) -> bool:
        try:
            queue.put("interactive")
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(put, range(40)))
    assert (sum(taken), len(queue.messages("interactive"))) == (LIMIT, LIMIT)


@pytest.mark.parametrize("body", [SMALL, LARGE])
def test_a_job_that_is_taken_back_leaves_the_others(queue: Queue, body: bytes) -> None:
    queue.live("score", "bulk")
    others = [queue.placed("interactive"), queue.placed("bulk", LARGE)]
    placed = queue.placed("interactive", body)
    queue.submitter.take_back(placed)
    queue.submitter.take_back(placed)  # what a worker has taken meanwhile is no error
    assert [len(queue.messages(name)) for name in ("interactive", "bulk")] == [1, 1]
    assert queue.bodies() == [others[1].job.body_key]


def test_living_workers_say_how_many_processes_they_have(client: redis.Redis) -> None:
    exchange = Exchange(client)
    assert exchange.processes("score") == 0
    exchange.beat("score", worker_name("host:7", 12, 4))
    exchange.beat("score", "host:99")  # as 0.1.0 named its workers
    exchange.beat("deliver", worker_name("host", 13, 8))
    client.zadd("qscore:workers:score", {worker_name("dead", 14, 16): 1e9})
    assert exchange.processes("score") == 5


def test_a_server_without_memory_is_a_refusal(queue: Queue) -> None:
    queue.live("score")
    queue.client.config_set("maxmemory", "1")
    for body in (SMALL, LARGE):
        with pytest.raises(Unavailable, match="the queue's server is full"):
            queue.put("interactive", body)
    assert (queue.messages("interactive"), queue.bodies()) == ([], [])


@dataclass
class Leader:
    """What a connector sends with, and batches to send."""

    sender: Sender
    number: int = 0

    def batch(self, rows: int = 2) -> Batch:
        self.number += 1
        body = packed(pa.table({"events": pa.array([1.0] * rows)}))
        return Batch(f"batch-{self.number:04}", body, rows, None, 1.7e9)


def leader(queue: Queue, model: TrainedModel) -> Leader:
    """A leader that may have two batches or deliveries waiting: half of what the gateway may."""
    settings = load_settings(home=queue.home, gateway={"max_waiting": LIMIT})
    queues = Queues.of(settings, Exchange(queue.client))
    return Leader(queues.sender(card_of(model, "1"), StreamRoute("dc", "lateral", 3, "lab")))


def test_a_connectors_batches_wait_even_without_a_worker(queue: Queue, tiny_model: TrainedModel) -> None:
    lead = leader(queue, tiny_model)
    lead.sender.send(lead.batch())
    lead.sender.send(lead.batch(5_000))
    (newer, older), (key,) = queue.messages("bulk"), queue.bodies()
    assert [sent["headers"]["id"] for sent in (older, newer)] == ["batch-0001", "batch-0002"]
    assert int(str(queue.client.pttl(key))) > 3_500_000


def test_a_connectors_batches_leave_searches_half_of_the_queue(queue: Queue, tiny_model: TrainedModel) -> None:
    lead = leader(queue, tiny_model)
    lead.sender.send(lead.batch())
    queue.submitter.put_rows(DELIVERY, WaitingRows([1], NOTHING))
    assert lead.sender.busy()
    with pytest.raises(QueueFull, match=r"2 batches wait for a worker.*nothing is lost meanwhile"):
        lead.sender.send(lead.batch(5_000))
    assert (len(queue.messages("bulk")), queue.bodies()) == (1, [])


def test_connectors_that_send_at_once_never_pass_their_limit(queue: Queue, tiny_model: TrainedModel) -> None:
    lead = leader(queue, tiny_model)
    batches = [lead.batch() for _ in range(40)]

    def sent(batch: Batch) -> bool:
        try:
            lead.sender.send(batch)
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(sent, batches))
    assert (sum(taken), len(queue.messages("bulk"))) == (2, 2)
