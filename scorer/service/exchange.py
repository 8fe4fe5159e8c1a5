"""What gateway and workers leave for each other beside the queue: bodies, replies, attempts, heartbeats.

Every key has a life, so that nothing stays behind when a process dies between two steps.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgpack
import redis
from redis.client import Pipeline

from scorer.service.jobs import Reply
from scorer.wire.errors import NonsenseReply, Unavailable
from scorer.wire.messages import Acknowledgement
from scorer.wire.names import QUEUE_BULK, QUEUE_DELIVER, QUEUE_INTERACTIVE

REPLY_LIFE = 60
ACK_LIFE = 3600
ATTEMPT_LIFE = 600
ROWS_LIFE = 24 * 3600
#: Seconds after which a silent worker counts as gone. Its event loop beats every two seconds.
HEARTBEAT_LIFE = 12.0
HEARTBEAT_EVERY = 2.0

#: Where kombu keeps each queue's waiting messages (celery_app.py sets the prefixes).
QUEUE_KEYS = {
    QUEUE_INTERACTIVE: "qscore:q:" + QUEUE_INTERACTIVE,
    QUEUE_BULK: "qscore:q:" + QUEUE_BULK,
    QUEUE_DELIVER: "qscore:d:" + QUEUE_DELIVER,
}
_WORKERS = "qscore:workers:"
_LANES = ("score", "deliver")
_ATTEMPTS = "qscore:attempt:"


@dataclass(frozen=True)
class Pulse:
    """State of the queue: messages waiting in each queue, workers alive in each lane."""

    waiting: Mapping[str, int]
    workers: Mapping[str, int]


@dataclass(frozen=True)
class Exchange:
    """Keys on the queue's server. Every method raises Unavailable when the server does not answer."""

    client: redis.Redis

    def offer(self, body: bytes | None, life: float) -> tuple[Pulse, str | None]:
        """The state of the queue and, stored in the same round trip for ``life`` seconds, the key of ``body``."""
        key = None if body is None else f"qscore:body:{uuid.uuid4().hex}"
        with _reached(), self.client.pipeline(transaction=False) as pipe:
            _ask_pulse(pipe)
            if key is not None and body is not None:
                pipe.set(key, body, px=int(life * 1000))
            return _pulse(pipe.execute()), key

    def drop(self, *keys: str | None) -> None:
        present = [key for key in keys if key]
        if present:
            with _reached():
                self.client.unlink(*present)

    def begin(self, batch_id: str, body_key: str | None) -> tuple[int, bytes | None]:
        """How many runs of this batch have begun, this one included, and the body under ``body_key``."""
        attempts = _ATTEMPTS + batch_id
        with _reached(), self.client.pipeline(transaction=False) as pipe:
            pipe.incr(attempts)
            pipe.expire(attempts, ATTEMPT_LIFE)
            if body_key is not None:
                pipe.get(body_key)
            answers = pipe.execute()
        return int(answers[0]), answers[2] if body_key is not None else None

    def finish(self, batch_id: str, body_key: str | None, reply_key: str | None, reply: Reply | None) -> None:
        """Answer the caller that waits at ``reply_key`` and remove what its batch left here."""
        with _reached(), self.client.pipeline(transaction=True) as pipe:
            if reply_key is not None and reply is not None:
                pipe.rpush(reply_key, reply.pack())
                pipe.expire(reply_key, REPLY_LIFE)
            pipe.unlink(*(key for key in (body_key, _ATTEMPTS + batch_id) if key))
            pipe.execute()

    def wait_reply(self, key: str, seconds: float) -> Reply | None:
        """The reply, or None when ``seconds`` passed without one."""
        with _reached():
            found: Any = self.client.blpop([key], timeout=max(0.01, seconds))
        return Reply.unpack(found[1]) if found else None

    def put_rows(self, key: str, rows: Sequence[Any], tally: Acknowledgement) -> None:
        """Store rows that are still to be written, and what became of their part so far."""
        packed = msgpack.packb({"rows": list(rows), "tally": tally.to_dict()})
        with _reached():
            self.client.set(key, packed, ex=ROWS_LIFE)

    def get_rows(self, key: str) -> tuple[list[Any], Acknowledgement] | None:
        """What put_rows stored; None when the part is settled or too old."""
        with _reached():
            packed: Any = self.client.get(key)
        if packed is None:
            return None
        raw = msgpack.unpackb(packed)
        return raw["rows"], Acknowledgement(**raw["tally"])

    def settle_part(self, part: int, parts: int, ack: Acknowledgement, submitter: str | None) -> None:
        """Note what became of one part; when it was the last, acknowledge the batch to its submitter.

        At least once: a part that is delivered twice acknowledges twice, with the same batch id.
        """
        key = f"qscore:settled:{ack.batch_id}"
        with _reached(), self.client.pipeline(transaction=True) as pipe:
            pipe.hset(key, str(part), msgpack.packb([ack.written, ack.already_there, ack.dead]))
            pipe.expire(key, ROWS_LIFE)
            pipe.hgetall(key)
            settled = pipe.execute()[2]
        if submitter is None or len(settled) < parts:
            return
        written, there, dead = (sum(column) for column in zip(*map(msgpack.unpackb, settled.values()), strict=True))
        self.acknowledge(submitter, Acknowledgement(ack.batch_id, written, there, dead))

    def acknowledge(self, submitter: str, ack: Acknowledgement) -> None:
        key = f"qscore:ack:{submitter}"
        with _reached(), self.client.pipeline(transaction=True) as pipe:
            pipe.rpush(key, msgpack.packb(ack.to_dict()))
            pipe.expire(key, ACK_LIFE)
            pipe.execute()

    def wait_ack(self, submitter: str, seconds: float) -> Acknowledgement | None:
        """The next acknowledgement of a submitter, or None when ``seconds`` passed without one."""
        with _reached():
            found: Any = self.client.blpop([f"qscore:ack:{submitter}"], timeout=max(0.01, seconds))
        if not found:
            return None
        try:
            return Acknowledgement(**msgpack.unpackb(found[1]))
        except (TypeError, ValueError):
            raise NonsenseReply("an acknowledgement cannot be read", "Run the same version everywhere.") from None

    def beat(self, lane: str, worker: str) -> None:
        """Say that a worker is alive."""
        now = time.time()
        with _reached(), self.client.pipeline(transaction=True) as pipe:
            pipe.zadd(_WORKERS + lane, {worker: now + HEARTBEAT_LIFE})
            pipe.zremrangebyscore(_WORKERS + lane, 0, now)
            pipe.execute()

    def sign_off(self, lane: str, worker: str) -> None:
        with _reached():
            self.client.zrem(_WORKERS + lane, worker)

    def pulse(self) -> Pulse:
        """Depths and live workers, in one round trip."""
        return self.offer(None, 0.0)[0]


def _ask_pulse(pipe: Pipeline) -> None:
    now = time.time()
    for key in QUEUE_KEYS.values():
        pipe.llen(key)
    for lane in _LANES:
        pipe.zcount(_WORKERS + lane, now, "+inf")


def _pulse(answers: Sequence[Any]) -> Pulse:
    counts = [int(answer) for answer in answers[: len(QUEUE_KEYS) + len(_LANES)]]
    return Pulse(dict(zip(QUEUE_KEYS, counts, strict=False)), dict(zip(_LANES, counts[len(QUEUE_KEYS) :], strict=True)))


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.RedisError as error:
        raise Unavailable(
            f"the queue's server did not do its work ({type(error).__name__})",
            "Run `qscore status`; start it with `qscore up`, or check broker_url.",
        ) from error
