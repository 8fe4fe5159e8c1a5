"""The one way onto the queue: for scoring jobs of the gateway and of the connector, and for deliveries of the workers.

A scoring job goes there in one step of the server: it looks whether a worker lives and whether there is room, and then
keeps the job's body and its message, or neither. Rows to write are stored in one transaction with the message of the
run that is to write them. Celery's own way is for one message alone, in a round trip of its own, and takes about a
millisecond of Python in which to declare the queue, make a client and prepare retries. The message is what
``Celery.send_task`` puts there, field by field (a test compares the two on a real server); Celery makes its headers and
its body, the envelope is kombu's for Redis.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis
from celery import Celery
from kombu.serialization import dumps

from scorer.service.queue.broker import DURABLE, FAST
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.claims import reached
from scorer.service.queue.exchange import BEGUN, ROWS_LIFE, WaitingRows
from scorer.service.queue.full_server import Command, in_one_step
from scorer.service.queue.jobs import INLINE_BYTES, DeliveryJob, ScoreJob
from scorer.service.queue.lanes import LANES, QUEUE_DELIVER, SCORE, Lane, Lanes
from scorer.service.queue.living import WORKERS
from scorer.service.queue.sealing.seal import NO_SEAL, Seal
from scorer.service.settings import Settings
from scorer.wire.errors import QueueFull

# Looks and decides in one step of the server, so that no two callers pass a limit together. A body that travels apart
# is stored just before, in the same transaction: it does not go through the script, which would copy it twice more, and
# is taken away again where the message is refused. KEYS: the queue's list, its lane's workers, the lists that count
# and, of a body that travels apart, its key. ARGV: epoch seconds, the limit, workers that must live, the message, how
# many lists count. Answers with the numbers of workers and of waiting messages. The push is a `pcall`, for a server
# that is full refuses it, and a `call` would end the script with the body still there.
_PUT = """
local last = 2 + tonumber(ARGV[5])
local workers = redis.call('ZCOUNT', KEYS[2], ARGV[1], '+inf')
local waiting = 0
for counted = 3, last do waiting = waiting + redis.call('LLEN', KEYS[counted]) end
local answer = {workers, waiting}
local put = false
if waiting < tonumber(ARGV[2]) and workers >= tonumber(ARGV[3]) then
    local pushed = redis.pcall('LPUSH', KEYS[1], ARGV[4])
    put = type(pushed) == 'number'
    if not put then answer = pushed end
end
if not put and #KEYS > last then redis.call('UNLINK', KEYS[#KEYS]) end
return answer
"""


@dataclass(frozen=True)
class Admission:
    """The rule by which a scoring job may join: fewer than ``most`` messages wait on all of ``queues`` together.

    ``alive``: whether a worker of the job's lane must live; else a batch waits for one. ``remedy``: what callers hear
    where the queue is full.
    """

    queues: tuple[str, ...]
    most: int
    alive: bool = True
    remedy: str = "Try again later, or add workers."

    @classmethod
    def to_lane(cls, lane: Lane, most: int) -> Admission:
        """Admit for callers who wait: all queues of the lane count, for the same workers take from them."""
        return cls(lane.queues, most)


@dataclass(frozen=True)
class Placed:
    """A scoring job as it lies on a queue, and its message there."""

    job: ScoreJob
    queue: str
    message: bytes


@dataclass(frozen=True)
class Submitter:
    """The way onto the queue. ``app``: makes messages, which say nothing of the lane that they are for.

    ``client`` reaches the durable server, ``fast`` that of searches; None: ``client`` reaches that too. ``seal``,
    ``fast_seal``: of what is put on them.

    Every method raises Unavailable where the server does not take a message, and then leaves nothing there.
    """

    client: redis.Redis
    app: Celery
    lanes: Lanes = LANES
    fast: redis.Redis | None = None
    seal: Seal = NO_SEAL
    fast_seal: Seal | None = None

    @classmethod
    def of(cls, settings: Settings, client: redis.Redis, lanes: Lanes = LANES) -> Submitter:
        """Make one for the lanes of the one server that ``client`` reaches."""
        return cls(client, build_app(settings, SCORE), lanes, seal=Seal.of(settings, DURABLE))

    def put(self, job: ScoreJob, queue: str, body: bytes, life: float, admission: Admission) -> Placed:
        """Put a job with its body on a queue; returns the job as it lies there, for ``take_back``.

        A large body travels under a key of its own, for ``life`` seconds. Raises QueueFull where ``admission`` leaves
        no room, Unavailable where the batch would only wait in vain.
        """
        job, lane = _with_body(job, body), self.lanes.serving(queue)
        counted = [self.lanes.keys[name] for name in admission.queues]
        keys = [self.lanes.keys[queue], WORKERS + lane.name, *counted, *([job.body_key] if job.body_key else [])]
        message = packed_task(self.app, lane.task, job.to_kwargs(), queue, job.batch_id)
        # A script alone is one step already; only a body beside it needs the transaction.
        client, seal = self._server(lane)
        sealed = seal.close(self.lanes.keys[queue], message)
        limits = (repr(time.time()), admission.most, int(admission.alive), sealed, len(counted))
        with reached(), client.pipeline(transaction=job.body_key is not None) as pipe:
            if job.body_key is not None:
                # It has a life, for no worker takes it away where none comes in time.
                pipe.set(job.body_key, seal.close(job.body_key, body), px=int(life * 1000))
            pipe.eval(_PUT, len(keys), *keys, *limits)
            found = pipe.execute()[-1]
        workers, waiting = (int(count) for count in found)
        if waiting >= admission.most:
            raise QueueFull(f"{waiting} batches wait for a worker", admission.remedy)
        if admission.alive and not workers:
            raise lane.nobody()
        return Placed(job, queue, sealed)

    def take_back(self, placed: Placed) -> None:
        """Take a job for which nobody waits from its queue, with its body; one that a worker has is left to it."""
        steps: list[Command] = [("LREM", self.lanes.keys[placed.queue], 1, placed.message)]
        if placed.job.body_key is not None:
            steps.append(("UNLINK", placed.job.body_key))
        with reached():
            in_one_step(self._server(self.lanes.serving(placed.queue))[0], *steps)

    def _server(self, lane: Lane) -> tuple[redis.Redis, Seal]:
        """Find the server of a lane's batches, and the seal of what is put there."""
        if lane.server == FAST and self.fast is not None:
            return self.fast, self.fast_seal or self.seal
        return self.client, self.seal

    def put_rows(self, job: DeliveryJob, waiting: WaitingRows) -> None:
        """Store a part's rows under the job's key and put the message of their first run on the queue: both or neither.

        Rows of an earlier submission that still wait under that key stay as they are.
        """
        self._put_delivery(job, waiting, None, only_new=True)

    def put_again(self, job: DeliveryJob, waiting: WaitingRows, pause: float) -> None:
        """Store what is left of a part and put the message of its next run, in ``pause`` seconds: both or neither.

        The rows replace what lies under the job's key; so none lie there for which nobody comes.
        """
        self._put_delivery(job, waiting, pause)

    def put_back(self, job: DeliveryJob, pause: float) -> None:
        """Put the message of a run, in ``pause`` seconds, on the queue, for rows that are there already."""
        self._put_delivery(job, None, pause)

    def inherit(self, lane: Lane) -> None:
        """Take over messages that an earlier version left under other keys; they come before what waits here."""
        with reached():
            for key in lane.inherits:
                for _ in range(int(self.client.llen(key))):
                    self.client.lmove(key, lane.keys[lane.queues[0]], "LEFT", "RIGHT")

    def _put_delivery(
        self, job: DeliveryJob, waiting: WaitingRows | None, pause: float | None, only_new: bool = False
    ) -> None:
        lane = self.lanes.serving(QUEUE_DELIVER)
        # Each run is a task of its own: several runs of one part, or parts of one batch, may wait at the same time.
        message = packed_task(self.app, lane.task, job.to_kwargs(), QUEUE_DELIVER, str(uuid.uuid4()), pause)
        list_key = self.lanes.keys[QUEUE_DELIVER]
        sealed = self.seal.close(list_key, message)
        put: Command = ("LPUSH", list_key, sealed)
        packed = b"" if waiting is None else self.seal.close(job.rows_key, waiting.pack())
        if waiting is None or not only_new:
            # What is left of a part takes the place of more. A full server keeps it, or the part could not leave it.
            rows: list[Command] = []
            if packed:  # the run before came to its end
                rows = [("SET", job.rows_key, packed, "EX", ROWS_LIFE), ("UNLINK", BEGUN + job.rows_key)]
            with reached():
                in_one_step(self.client, *rows, put)
            return
        with reached(), self.client.pipeline(transaction=True) as pipe:
            # A batch whose worker died after this comes again and is scored again. Its rows may be written in part
            # by then, and only what lies there knows which: the first run's rows do not replace it.
            pipe.set(job.rows_key, packed, ex=ROWS_LIFE, nx=True)
            pipe.lpush(list_key, sealed)
            pipe.execute()


def _with_body(job: ScoreJob, body: bytes) -> ScoreJob:
    """A job that carries its body or, of a body that travels apart, the key."""
    if len(body) <= INLINE_BYTES:
        return replace(job, body=body, body_key=None)
    return replace(job, body=None, body_key=f"qscore:body:{uuid.uuid4().hex}")


def packed_task(
    app: Celery, name: str, kwargs: Mapping[str, Any], queue: str, task_id: str, countdown: float | None = None
) -> bytes:
    """Pack a task's message as kombu's Redis transport keeps it. ``countdown``: seconds from now before it is run."""
    # Without the two texts Celery would write out the arguments for its logs: a caller's rows, and time for nothing.
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
            "priority": 0,  # kombu keeps another priority's messages on another list, which nobody here counts
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),  # kombu remembers by it what a worker holds; two alike would be one
        },
    }
    return json.dumps(envelope).encode("ascii")
