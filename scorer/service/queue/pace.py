"""The pace of the workers, and with it how long the work that waits will take: what scaling goes by.

A process notes, every two seconds at most and with one request, how many batches and rows it has scored and in how many
seconds. The notes of five minutes are kept, each minute under a key of its own with a life, so that nothing has to be
taken back when a worker dies. Messages waiting or running, times the mean seconds of a batch, are seconds of work for
one process. That is rows waiting divided by a process's rows per second, with the rows of a message estimated by their
mean; a list's length says neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from scorer.service.queue.claims import reached
from scorer.service.queue.lanes import Lane, Lanes

#: Before a lane's name and a minute since 1970: a hash of batches, rows and microseconds.
PACE = "qscore:pace:"
_MINUTE = 60
_MINUTES = 5
_NOTE_EVERY = 2.0  # seconds
#: Seconds of a batch where nothing was scored for five minutes: of 5,000 rows, about.
UNKNOWN = 0.1


@dataclass
class PaceNotes:
    """The notes of one process of a lane. ``client``: of the lane's server."""

    client: redis.Redis
    lane: str
    _batches: int = 0
    _rows: int = 0
    _microseconds: int = 0
    _due: float = 0.0

    def add(self, rows: int, seconds: float) -> None:
        """Count a batch. A server that is away is not waited for: the next note says it too."""
        self._batches += 1
        self._rows += rows
        self._microseconds += int(1e6 * seconds)
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _NOTE_EVERY
            with suppress(redis.exceptions.RedisError):
                self._write()

    def _write(self) -> None:
        key = _key(self.lane, int(time.time()) // _MINUTE)
        with self.client.pipeline(transaction=True) as pipe:
            for field, count in (("batches", self._batches), ("rows", self._rows), ("us", self._microseconds)):
                pipe.hincrby(key, field, count)
            pipe.expire(key, (_MINUTES + 1) * _MINUTE)
            pipe.execute()
        self._batches = self._rows = self._microseconds = 0


@dataclass(frozen=True)
class Pace:
    """What a lane's processes did in the last minutes: ``batches`` and ``rows`` in so many ``seconds`` of work."""

    batches: int = 0
    rows: int = 0
    seconds: float = 0.0

    @property
    def batch_seconds(self) -> float:
        return self.seconds / self.batches if self.batches else UNKNOWN


def backlog(client: redis.Redis, lanes: Lanes, ahead: Mapping[str, int] | None = None) -> Mapping[str, float]:
    """Estimate, for each queue of the scoring lanes on a server, the seconds that one process would be busy.

    ``ahead``: batches of each lane that wait before they are on its queue. They, and what a worker holds already, count
    for the lane's first queue. Raises Unavailable where the server does not answer.
    """
    scoring = [lane for lane in lanes if lane.scores]
    with reached(), client.pipeline(transaction=False) as pipe:
        for lane in scoring:
            _ask(pipe, lane)
        answers = iter(pipe.execute())
    return {
        queue: seconds
        for lane in scoring
        for queue, seconds in _seconds(lane, answers, (ahead or {}).get(lane.name, 0))
    }


def _ask(pipe: Any, lane: Lane) -> None:
    minute = int(time.time()) // _MINUTE
    for past in range(_MINUTES):
        pipe.hgetall(_key(lane.name, minute - past))
    pipe.zcard(f"{lane.prefix}unacked_index")
    for key in lane.keys.values():
        pipe.llen(key)


def _seconds(lane: Lane, answers: Iterator[Any], ahead: int) -> Iterator[tuple[str, float]]:
    pace = _sum([next(answers) for _ in range(_MINUTES)])
    held = int(next(answers)) + ahead
    for queue in lane.keys:
        yield queue, (int(next(answers)) + held) * pace.batch_seconds
        held = 0


def _sum(minutes: list[dict[bytes, bytes]]) -> Pace:
    batches, rows, microseconds = (
        sum(int(minute.get(field, b"0")) for minute in minutes) for field in (b"batches", b"rows", b"us")
    )
    return Pace(batches, rows, microseconds / 1e6)


def _key(lane: str, minute: int) -> str:
    return f"{PACE}{lane}:{minute}"
