"""Turns between keys on the way to a lane: the gateway puts a few batches on the queue at a time and holds the others.

The queue's list is first in, first out: whoever fills it makes everybody wait. Here a batch waits in its gateway until
its key's turn comes, so that a key's next batch finds a few others before it, not all that one key has sent.
Interactive and bulk batches are on lanes of their own, and do not wait for each other's turns. Of several gateways each
shares its own places fairly.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scorer.service.gateway.fair_queue import FairQueue
from scorer.wire.errors import QueueFull, ScoringTimeout

#: Places on the queue for each scoring process: one batch that it scores and one that waits, so that it never idles.
PER_PROCESS = 2
#: A batch costs as much as this many rows more than it has: its message, reply and decoding.
_BATCH_ROWS = 500
_NEWEST = 0.1  # weight of the newest batch in the mean
_REMEMBERED = 64  # batches, of which the quickest says what is possible at all
_POSSIBLE = 0.5  # share of the quickest batch's time in which another might be scored
_LEAST_PAUSE = 0.05  # seconds


@dataclass(frozen=True)
class Batch:
    """A batch that wants onto the queue. ``deadline``: when its caller stops waiting, by the clock of ``Turns``."""

    key: str
    rows: int
    deadline: float

    @property
    def cost(self) -> float:
        return float(self.rows + _BATCH_ROWS)


@dataclass(eq=False)
class _Waiting:
    batch: Batch
    turn: threading.Event = field(default_factory=threading.Event)
    gone: bool = False


class Turns:
    """The turns of one lane. ``processes``: how many of its scoring processes live; 0: nobody waits, for the queue
    refuses. ``most_waiting``: batches that wait here at most. Safe for many threads."""

    def __init__(
        self, processes: Callable[[], int], most_waiting: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = processes
        self._most_waiting = most_waiting
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._waiting = 0
        self._on_queue = 0
        self._processes = 1
        self._mean = 0.0
        self._quickest: deque[float] = deque(maxlen=_REMEMBERED)  # seconds for each unit of cost

    @contextmanager
    def turn(self, batch: Batch) -> Iterator[None]:
        """Wait for a batch's turn; its place on the queue is free again at the end of the block.

        Raises QueueFull where too many wait, ScoringTimeout where no turn comes in time, or too late to be of use.
        """
        processes = self._count()
        if not processes:
            yield
            return
        waiting = self._join(batch, processes)
        if not waiting.turn.is_set() and not waiting.turn.wait(max(0.0, batch.deadline - self._clock())):
            self._leave(waiting)
        started = self._clock()
        try:
            self._check_time(batch)
            yield
            self._note(batch, self._clock() - started)
        finally:
            self._done()

    @property
    def waiting(self) -> int:
        """Count batches that wait for their turn."""
        return self._waiting

    def pause(self, batches: int) -> float:
        """Guess the seconds until as many batches are scored."""
        return max(_LEAST_PAUSE, self._mean * batches / (PER_PROCESS * self._processes))

    def _join(self, batch: Batch, processes: int) -> _Waiting:
        waiting = _Waiting(batch)
        with self._lock:
            self._processes = processes
            if self.waiting >= self._most_waiting:
                raise self._full()
            self._queue.push(batch.key, batch.cost, waiting)
            self._waiting += 1
            self._grant()
        return waiting

    def _leave(self, waiting: _Waiting) -> None:
        """End the wait for a turn that did not come. Raises ScoringTimeout unless it came just now."""
        with self._lock:
            if waiting.turn.is_set():
                return
            waiting.gone = True
            batch, others = waiting.batch, self._waiting - 1
            self._waiting = others
            self._queue.refund(batch.key, batch.cost)
        raise ScoringTimeout(
            f"the batch of {batch.rows} rows did not get its turn in the time that its caller waits;"
            f" {others} others wait in this gateway",
            "Give more time, send fewer batches at once, or add workers.",
        )

    def _done(self) -> None:
        with self._lock:
            self._on_queue -= 1
            self._grant()

    def _grant(self) -> None:
        """Give places to those whose turn it is."""
        while self._waiting and self._on_queue < PER_PROCESS * self._processes:
            first = self._queue.pop()
            if not first.gone:
                self._waiting -= 1
                self._on_queue += 1
                first.turn.set()

    def _check_time(self, batch: Batch) -> None:
        """A batch that cannot be scored in time is not put on the queue: it would take a place from one that can."""
        left = batch.deadline - self._clock()
        needed = _POSSIBLE * batch.cost * min(self._quickest, default=0.0)
        if left > 0 and left >= needed:
            return
        raise ScoringTimeout(
            f"the caller waits {max(0.0, left):.3g} s more, and a batch of {batch.rows} rows takes {needed:.3g} s or"
            " more",
            "Give more time.",
        )

    def _note(self, batch: Batch, seconds: float) -> None:
        """Note what a batch took that was answered."""
        with self._lock:
            self._mean += (_NEWEST if self._quickest else 1.0) * (seconds - self._mean)
            self._quickest.append(seconds / batch.cost)

    def _full(self) -> QueueFull:
        error = QueueFull(
            f"{self.waiting} batches wait in this gateway, of at most {self._most_waiting} (gateway.max_waiting)",
            "Try again later, or add workers.",
        )
        error.retry_after = self.pause(self.waiting)
        return error
