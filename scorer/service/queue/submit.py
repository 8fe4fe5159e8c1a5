"""Messages onto their queues beside Celery's own way, which is for one message alone.

A scoring job goes there in one round trip with the look at the queue's state and its body, what is left of a delivery
in one transaction with the message of its next run. Celery would need a round trip of its own for the message, and
about a millisecond of Python in which to declare the queue, make a client and prepare retries. The message is what
``Celery.send_task`` puts there, field by field (a test compares the two on a real server); Celery makes its headers and
its body, the envelope is kombu's for Redis.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from celery import Celery
from kombu.serialization import dumps

from scorer.service.queue.celery_app import build_app, qpu_lane, scoring_lane
from scorer.service.queue.claims import reached
from scorer.service.queue.exchange import QUEUE_KEYS, WORKERS
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import QUEUE_QPU, TASK_SCORE
from scorer.service.settings import Settings
from scorer.wire.errors import QueueFull, Unavailable
from scorer.wire.names import QUEUE_BULK, QUEUE_INTERACTIVE

#: Queue -> the lane whose workers take from it, and all queues that wait for those workers.
_LANES = {
    QUEUE_INTERACTIVE: ("score", (QUEUE_INTERACTIVE, QUEUE_BULK)),
    QUEUE_BULK: ("score", (QUEUE_INTERACTIVE, QUEUE_BULK)),
    QUEUE_QPU: ("qpu", (QUEUE_QPU,)),
}
# One step for the server, so that no two gateways pass the limit together. Numbers of workers and waiting messages.
_ENQUEUE = """
local workers = redis.call('ZCOUNT', KEYS[2], ARGV[1], '+inf')
local waiting = 0
for lane = 3, #KEYS do waiting = waiting + redis.call('LLEN', KEYS[lane]) end
if workers > 0 and waiting < tonumber(ARGV[2]) then redis.call('LPUSH', KEYS[1], ARGV[3]) end
return {workers, waiting}
"""


@dataclass(frozen=True)
class Enqueuer:
    """``apps``: the Celery application of each lane. ``max_waiting``: messages of a lane above which none is added."""

    client: redis.Redis
    apps: Mapping[str, Celery]
    max_waiting: int

    @classmethod
    def of(cls, settings: Settings, client: redis.Redis) -> Enqueuer:
        """For the queues and the limit of ``settings``."""
        apps = {lane.name: build_app(settings, lane) for lane in (scoring_lane(settings), qpu_lane(settings))}
        return cls(client, apps, settings.gateway.max_waiting)

    def put(self, job: ScoreJob, queue: str, body: bytes | None = None, life: float = 0.0) -> None:
        """Put a job on its queue, and ``body``, where it travels apart, under the job's ``body_key`` for ``life``
        seconds. Raises QueueFull or Unavailable, and leaves nothing, where the batch would only wait in vain."""
        lane, queues = _LANES[queue]
        keys = [QUEUE_KEYS[queue], WORKERS + lane, *(QUEUE_KEYS[name] for name in queues)]
        packed = packed_task(self.apps[lane], TASK_SCORE, job.to_kwargs(), queue, job.batch_id)
        with reached(), self.client.pipeline(transaction=False) as pipe:
            if job.body_key is not None and body is not None:
                pipe.set(job.body_key, body, px=int(life * 1000))
            pipe.eval(_ENQUEUE, len(keys), *keys, repr(time.time()), str(self.max_waiting), packed)
            workers, waiting = (int(count) for count in pipe.execute()[-1])
        refusal = self._refusal(lane, workers, waiting)
        if refusal is None:
            return
        if job.body_key is not None:
            # Bodies of refused batches would fill the server just when it is busy.
            with reached():
                self.client.unlink(job.body_key)
        raise refusal

    def _refusal(self, lane: str, workers: int, waiting: int) -> Unavailable | QueueFull | None:
        """Why the server did not take a message, as its script decided."""
        if waiting >= self.max_waiting:
            return QueueFull(f"{waiting} batches wait for a worker", "Try again later, or add workers.")
        return None if workers else no_worker(lane)


def no_worker(lane: str) -> Unavailable:
    """What callers hear when nobody takes a lane's batches."""
    if lane == "qpu":
        return Unavailable(
            "this model's circuit is too large for the ordinary workers, and no worker of the qpu lane is alive",
            "Set worker.qpu_processes = 1 in qscore.toml (or `qscore up --qpu 1`) where qscore[qiskit] is installed.",
        )
    return Unavailable(
        "no scoring worker is alive", "Run `qscore status` on the gateway's host; `qscore up` starts workers."
    )


def packed_task(
    app: Celery, name: str, kwargs: Mapping[str, Any], queue: str, task_id: str, countdown: float | None = None
) -> bytes:
    """A task's message as kombu's Redis transport keeps it. ``countdown``: seconds from now before it is run."""
    task = app.amqp.as_task_v2(
        task_id, name, kwargs=dict(kwargs), countdown=countdown, argsrepr="()", kwargsrepr="", ignore_result=None
    )
    media_type, encoding, body = dumps(task.body, serializer="msgpack")  # type: ignore[no-untyped-call]
    envelope: dict[str, Any] = {
        "body": base64.b64encode(body).decode("ascii"),
        "content-encoding": encoding,
        "content-type": media_type,
        "headers": task.headers,
        "properties": task.properties
        | {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(envelope).encode("ascii")
