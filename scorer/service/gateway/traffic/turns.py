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
from collections.abc import Callable
from dataclasses import dataclass

from scorer.service.gateway.traffic.fair_queue import FairQueue
from scorer.wire.errors import ScoringTimeout

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


class Turn:
    """One batch's turn: it waits, has a place on the queue, or is over."""

    def __init__(self, turns: Turns, batch: Batch, wake: Callable[[], None]) -> None:
        self._turns = turns
        self.batch = batch
        self.wake = wake
        self.came: float | None = None
        self.over = False

    def end(self, served: bool = False) -> None:
        """Free the place, or stop waiting for it; safe to call twice. ``served``: whether a worker answered."""
        self._turns.end(self, served)


class Turns:
    """The turns of one lane. ``processes``: how many of its scoring processes live. ``most``: places at most. Never
    waits, and is safe for many threads."""

    def __init__(self, processes: Callable[[], int], most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: FairQueue[Turn] = FairQueue()
        self._waiting = 0
        self._on_queue = 0
        self._mean = 0.0
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)  # seconds for each unit of cost
        self._quickest = 0.0  # of the latest

    def join(self, batch: Batch, wake: Callable[[], None]) -> Turn:
        """Wait for a batch's turn; ``wake`` is called when it comes, from whichever thread.

        Where it comes at once, ``came`` says so, and nobody is woken: that would cost an event loop a round.
        """
        turn = Turn(self, batch, wake)
        with self._lock:
            self._queue.push(batch.key, batch.cost, turn)
            self._waiting += 1
            self._grant(turn)
        return turn

    def end(self, turn: Turn, served: bool) -> None:
        """Take a turn out; the next ones get its place."""
        with self._lock:
            if turn.over:
                return
            turn.over = True
            if turn.came is None:
                self._waiting -= 1
                self._queue.refund(turn.batch.key, turn.batch.cost)
                return
            self._on_queue -= 1
            if served:
                self._note(turn.batch, self._clock() - turn.came)
            self._grant()

    @property
    def waiting(self) -> int:
        """Count batches that wait for their turn."""
        return self._waiting

    @property
    def places(self) -> int:
        """Count the places on the queue. Without a living worker nobody waits here: the queue refuses at once."""
        return min(self._most, PER_PROCESS * self._processes() or self._most)

    def left(self, batch: Batch) -> float:
        """Give the seconds that a batch's caller still waits."""
        return batch.deadline - self._clock()

    def pause(self) -> float:
        """Guess the seconds until a batch is scored and a place is free."""
        return max(_LEAST_PAUSE, self._mean / self.places)

    def check_time(self, batch: Batch) -> None:
        """Keep a batch off the queue that cannot be scored in time: it would take the place of one that can.

        Raises ScoringTimeout.
        """
        left, needed = self.left(batch), _POSSIBLE * batch.cost * self._quickest
        if left > 0 and left >= needed:
            return
        raise ScoringTimeout(
            f"the caller waits {max(0.0, left):.3g} s more, and a batch of {batch.rows} rows takes {needed:.3g} s or"
            " more",
            "Give more time.",
        )

    def too_late(self, batch: Batch) -> ScoringTimeout:
        """Make the error of a batch whose turn did not come in time."""
        return ScoringTimeout(
            f"the batch of {batch.rows} rows did not get its turn in the time that its caller waits;"
            f" {self.waiting} others wait in this gateway",
            "Give more time, send fewer batches at once, or add workers.",
        )

    def _grant(self, joining: Turn | None = None) -> None:
        """Give places to those whose turn it is. ``joining``: who asks just now, and need not be woken."""
        places = self.places if self._waiting else 0
        while self._waiting and self._on_queue < places:
            first = self._queue.pop()
            if not first.over:
                self._waiting -= 1
                self._on_queue += 1
                first.came = self._clock()
                if first is not joining:
                    first.wake()

    def _note(self, batch: Batch, seconds: float) -> None:
        """Note what a batch took that was answered."""
        self._mean += (_NEWEST if self._latest else 1.0) * (seconds - self._mean)
        self._latest.append(seconds / batch.cost)
        self._quickest = min(self._latest)
