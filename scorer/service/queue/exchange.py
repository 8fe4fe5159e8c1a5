"""What gateway and workers leave for each other beside the queue: bodies, replies, attempts, heartbeats.

Messages go onto the queue by ``submit`` alone. Every key has a life, so that nothing stays behind when a process dies
between two steps.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack
import redis
from pydantic import TypeAdapter

from scorer.logs import get_log
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.claims import claimed, reached
from scorer.service.queue.full_server import Command, in_one_step
from scorer.service.queue.jobs import REPLY_LIFE, DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.queue.living import HEARTBEAT_LIFE, WORKERS, processes_of
from scorer.service.queue.sealing.lists import taken, waited
from scorer.service.queue.sealing.seal import NO_SEAL, Seal
from scorer.service.queue.tally import added_up, packed_counts
from scorer.wire.errors import MalformedBody, NonsenseReply, Problem

#: Seconds that a submitter may be away before it no longer learns what became of its batches, and sends them again.
ACK_LIFE = 3600
#: Seconds that a batch's runs are remembered: as the settings come, five times as long as a lost worker's message
#: takes to come again.
ATTEMPT_LIFE = 600
#: Seconds that rows wait for a sink that is away, and that a batch's settled parts are counted.
ROWS_LIFE = 24 * 3600
#: Seconds that is remembered what became of rows that are settled: for messages of theirs that come once more. Longer,
#: and a day of batches would fill the server with what nobody asks for.
SETTLED_LIFE = 600
#: Acknowledgements that one list holds at most; the newest stay. Who reads none of so many sends its batches again.
MOST_ACKS = 50_000
#: Where a stream's present leader stands: its number, in decimal digits. No key: any leader's jobs are taken.
EPOCH = "qscore:epoch:"
# One step of the server: two that lead one after the other may both be here, and the lower number must not win.
_RAISE = """#!lua flags=allow-oom
local now = tonumber(redis.call('GET', KEYS[1]) or '0')
if tonumber(ARGV[1]) > now then redis.call('SET', KEYS[1], ARGV[1]) return tonumber(ARGV[1]) end
return now
"""
#: Before a batch id: its runs that were begun and not answered, each with its caller's deadline (epoch seconds).
_RUNS = "qscore:runs:"
#: Before a rows key: how many runs of these rows were begun and came to no end. 0.1.0 noted 1 for any number.
BEGUN = "qscore:begun:"
_ACKNOWLEDGEMENT = TypeAdapter(Acknowledgement)
_BATCH_ID = TypeAdapter(str)


@dataclass(frozen=True)
class QueueState:
    """State of the queue: messages waiting in each queue, workers alive in each lane."""

    waiting: Mapping[str, int]
    workers: Mapping[str, int]


@dataclass(frozen=True)
class BatchOutcome:
    """The end of one batch of a stream: an acknowledgement, or the problem for which no worker scored it."""

    batch_id: str
    ack: Acknowledgement | None = None
    problem: Problem | None = None

    @classmethod
    def of(cls, ack: Acknowledgement) -> BatchOutcome:
        return cls(ack.batch_id, ack)

    def pack(self) -> bytes:
        """Write it as ``unpack`` reads it. Raises ValueError where it is neither of the two."""
        if self.ack is not None:
            return bytes(msgpack.packb(self.ack.to_dict()))
        if self.problem is None:
            raise ValueError(f"nothing is said of batch {self.batch_id}")
        return bytes(msgpack.packb({"batch_id": self.batch_id, "problem": self.problem.to_dict()}))

    @classmethod
    def unpack(cls, packed: bytes) -> BatchOutcome:
        """Read what ``pack`` wrote. Raises NonsenseReply when the bytes are no outcome."""
        try:
            raw = msgpack.unpackb(packed)
            if "problem" in raw:
                return cls(_BATCH_ID.validate_python(raw["batch_id"]), problem=Problem.from_dict(raw["problem"]))
            return cls.of(_ACKNOWLEDGEMENT.validate_python(raw))
        except (KeyError, TypeError, ValueError):
            raise NonsenseReply("an acknowledgement cannot be read", "Run the same version everywhere.") from None


class WaitingRows(NamedTuple):
    """Rows that are still to be written. ``attempt``: which run is to write them, due at epoch second ``due``."""

    rows: list[Any]
    tally: Acknowledgement
    attempt: int = 0
    due: float = 0.0

    def pack(self) -> bytes:
        """Write it as ``unpack`` reads it."""
        return bytes(msgpack.packb(self._asdict() | {"tally": self.tally.to_dict()}))

    @classmethod
    def unpack(cls, packed: bytes) -> WaitingRows:
        """Read what ``pack`` wrote; 0.1.0 left out a first run's number and time. Raises MalformedBody."""
        try:
            raw = msgpack.unpackb(packed)
            tally = _ACKNOWLEDGEMENT.validate_python(raw["tally"])
            return cls(raw["rows"], tally, int(raw.get("attempt", 0)), float(raw.get("due", 0.0)))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise MalformedBody("rows that wait cannot be read", "Run the same version everywhere.") from None


@dataclass(frozen=True)
class Exchange:
    """Keys on the queue's server. Every method raises Unavailable when the server does not answer."""

    client: redis.Redis
    lanes: Lanes = LANES
    seal: Seal = NO_SEAL

    def drop(self, *keys: str | None) -> None:
        """Remove what lies under these keys; None is no key."""
        present = [key for key in keys if key]
        if present:
            with reached():
                self.client.unlink(*present)

    def begin(self, job: ScoreJob) -> tuple[int, bytes | None]:
        """Note that a run of this job begins; how many workers its batch has ended so far, and the body on its key.

        A run has ended its worker where its message comes again, or its deadline passed without an answer. Other
        callers' runs of the same batch id that are under way are no deaths.
        """
        runs, now = _RUNS + job.batch_id, time.time()
        # One round trip, no transaction: runs that begin meanwhile are other callers', and count as none of ours. What
        # is there is read before this run adds itself, under a name that no earlier run of the same message has.
        with reached(), self.client.pipeline(transaction=False) as pipe:
            pipe.zrange(runs, 0, -1, withscores=True)
            pipe.zadd(runs, {f"{job.message} {uuid.uuid4().hex}": job.deadline})
            pipe.expire(runs, ATTEMPT_LIFE)
            if job.body_key is not None:
                pipe.get(job.body_key)
            answers = pipe.execute()
        own = job.message.encode() + b" "
        deaths = sum(run.startswith(own) or deadline < now for run, deadline in answers[0])
        if job.body_key is None or answers[3] is None:
            return deaths, None
        return deaths, self.seal.open(job.body_key, answers[3])

    def finish(self, job: ScoreJob, reply: WorkerReply) -> None:
        """Answer the caller that waits and remove what its batch left here."""
        # Together: an answer beside a run that still stands would let the next run count a death.
        steps: list[Command] = [("UNLINK", key) for key in (job.body_key, _RUNS + job.batch_id) if key]
        if job.reply_key is not None:
            sealed = self.seal.close(job.reply_key, reply.pack())
            steps += [("RPUSH", job.reply_key, sealed), ("EXPIRE", job.reply_key, REPLY_LIFE)]
        with reached():
            in_one_step(self.client, *steps)

    def wait_reply(self, key: str, seconds: float) -> WorkerReply | None:
        """Wait for the reply; None when ``seconds`` passed without one."""
        packed = waited(self.client, self.seal, key, seconds)
        return None if packed is None else WorkerReply.unpack(packed)

    def get_rows(self, key: str) -> WaitingRows | None:
        """Fetch the rows of a part; None when the part is settled or too old."""
        with reached():
            packed: Any = self.client.get(key)
        return None if packed is None else WaitingRows.unpack(self.seal.open(key, packed))

    def begun(self, key: str) -> int:
        """Note that rows under ``key`` are about to be written; how many earlier runs noted it and came to no end."""
        with reached():
            return int(in_one_step(self.client, ("INCR", BEGUN + key), ("EXPIRE", BEGUN + key, ROWS_LIFE))[0]) - 1

    def forget_rows(self, key: str) -> None:
        """Remove rows that are settled. That a run wrote them is remembered a while, for they may be put once more."""
        with reached():
            in_one_step(self.client, ("UNLINK", key), ("EXPIRE", BEGUN + key, SETTLED_LIFE))

    @contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Claim rows for the time of the block; yields whether they are ours alone.

        The claim is renewed until then, and free again soon after its holder's death.
        """
        with claimed(self.client, "qscore:lock:" + key) as mine:
            yield mine

    def epoch(self, stream: str) -> int:
        """Read the number of the stream's present leader; 0 where none has said so."""
        with reached():
            found: Any = self.client.get(EPOCH + stream)
        return int(found) if found is not None and found.isdigit() else 0

    def superseded(self, job: ScoreJob | DeliveryJob) -> bool:
        """Tell whether the job's stream has a later leader, which reads and sends anew what this one may hold."""
        return bool(job.stream) and job.epoch < self.epoch(job.stream)

    def raise_epoch(self, stream: str, epoch: int) -> int:
        """Say which leader a stream has; a higher number that is there already stays. Returns what is there now."""
        with reached():
            return int(self.client.eval(_RAISE, 1, EPOCH + stream, epoch))

    def settle_part(self, job: DeliveryJob, ack: Acknowledgement) -> None:
        """Note what became of one part; when it was the last, acknowledge the batch to its submitter.

        At least once: a part that is delivered twice acknowledges twice, with the same batch id. Parts of other rows
        under the same batch id are counted apart. Nothing is counted where no submitter is to hear of it.
        """
        if job.submitter is None:
            return
        # Messages of 0.1.0 name no submission; their parts are counted under the key that they were counted under then.
        key = f"qscore:settled:{ack.batch_id}" + (job.submission and f":{job.submission}")
        counts = self.seal.close(key, packed_counts(job.part, ack))
        with reached():
            # By part, not added up: a part that is settled twice counts once. Read in the same step: of two that
            # settle the last parts at once, one sees them all.
            steps: tuple[Command, ...] = (("HSET", key, job.part, counts), ("EXPIRE", key, ROWS_LIFE), ("HVALS", key))
            settled = in_one_step(self.client, *steps)[2]
        if len(settled) < job.parts:
            return
        whole = added_up(ack.batch_id, [self.seal.open(key, value) for value in settled])
        if whole is None:
            get_log().error("refused", key=key, reason="a part is counted twice")
            return
        self.report(job.submitter, BatchOutcome.of(whole), ("EXPIRE", key, SETTLED_LIFE))

    def report(self, submitter: str, outcome: BatchOutcome, *more: Command) -> None:
        """Tell a submitter what became of its batch, and do ``more`` in the same step."""
        key = f"qscore:ack:{submitter}"
        push: Command = ("RPUSH", key, self.seal.close(key, outcome.pack()))
        with reached():
            in_one_step(self.client, push, ("LTRIM", key, -MOST_ACKS, -1), ("EXPIRE", key, ACK_LIFE), *more)

    def take_outcomes(self, submitter: str, most: int = 200) -> list[BatchOutcome]:
        """Take what has become of a submitter's batches, acknowledged or refused; never waits."""
        key = f"qscore:ack:{submitter}"
        with reached():
            found: Any = self.client.lpop(key, most)
        outcomes = []
        for packed in taken(self.seal, key, found or []):
            try:
                outcomes.append(BatchOutcome.unpack(packed))
            except NonsenseReply as error:  # what was taken off the list beside it is not lost with it
                get_log().error("refused", key=key, reason=error.sentence())
        return outcomes

    def wait_outcome(self, submitter: str, seconds: float) -> BatchOutcome | None:
        """Wait for the submitter's next outcome; None when ``seconds`` passed without one."""
        packed = waited(self.client, self.seal, f"qscore:ack:{submitter}", seconds)
        return None if packed is None else BatchOutcome.unpack(packed)

    def prove_writable(self) -> None:
        """Write a small key with a life, as a batch would be. Raises Unavailable where the server takes nothing."""
        with reached():
            self.client.set("qscore:probe", b"1", ex=5)

    def beat(self, lane: str, worker: str) -> None:
        """Say that a worker is alive."""
        key, now = WORKERS + lane, time.time()
        # The end of its life is kept, not the time of the beat: whoever reads counts, and need not know the life.
        with reached():
            in_one_step(self.client, ("ZADD", key, now + HEARTBEAT_LIFE, worker), ("ZREMRANGEBYSCORE", key, 0, now))

    def processes(self, lane: str) -> int:
        """Count the processes of a lane's living workers."""
        with reached():
            names: Any = self.client.zrangebyscore(WORKERS + lane, time.time(), "+inf")
        return sum(map(processes_of, names))

    def sign_off(self, lane: str, worker: str) -> None:
        """Say that a worker ends."""
        with reached():
            self.client.zrem(WORKERS + lane, worker)

    def state(self) -> QueueState:
        """Read depths and live workers, in one round trip."""
        keys, now = self.lanes.keys, time.time()
        with reached(), self.client.pipeline(transaction=False) as pipe:
            for key in keys.values():
                pipe.llen(key)
            for lane in self.lanes:
                pipe.zcount(WORKERS + lane.name, now, "+inf")
            counts = [int(count) for count in pipe.execute()]
        waiting, alive = counts[: len(keys)], counts[len(keys) :]
        names = [lane.name for lane in self.lanes]
        return QueueState(dict(zip(keys, waiting, strict=True)), dict(zip(names, alive, strict=True)))
