"""Whether a search would be scored now: what /readyz tells. It asks the queue at most twice a second, whoever asks."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

from scorer.service.queue.exchange import QueueState
from scorer.service.queue.exchanges import Exchanges
from scorer.wire.errors import QScoreError, Unavailable
from scorer.wire.names import QUEUE_INTERACTIVE

#: Seconds for which an answer holds, and for which it serves while the queue is being asked for the next one.
ANSWER_HOLDS = 0.5
_ANSWER_SERVES = 3.0


@dataclass
class Readiness:
    """Looks at all that a search needs. ``most_waiting``: messages from which on searches are refused.

    Nobody waits for another's look: a server that hangs holds one thread, however many ask.
    """

    queue: Exchanges
    most_waiting: int
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _looked_at: float = float("-inf")
    _found: QueueState | QScoreError = field(default_factory=lambda: Unavailable("the queue was not looked at yet"))

    def state(self) -> QueueState:
        """Return the queue's state. Raises Unavailable where a search would be refused, and says why."""
        if self._age() >= ANSWER_HOLDS and self._asking.acquire(blocking=False):
            try:
                self._found = self._looked()
                self._looked_at = time.monotonic()
            finally:
                self._asking.release()
        elif self._age() >= _ANSWER_SERVES:
            raise Unavailable("the queue's server has not answered yet", "Try again; `qscore status` says more.")
        found = self._found
        if isinstance(found, QScoreError):
            raise type(found)(found.detail, found.remedy)
        return found

    def _age(self) -> float:
        return time.monotonic() - self._looked_at

    def _looked(self) -> QueueState | QScoreError:
        lane = self.queue.lanes.serving(QUEUE_INTERACTIVE)
        try:
            # The durable server may be away: searches do without it, and its lanes are left out of what is told.
            self.queue.serving(lane).prove_writable()
            state = self.queue.serving(lane).state()
            with contextlib.suppress(Unavailable):
                state = self.queue.state()
        except QScoreError as error:
            return error
        if state.workers[lane.name] == 0:
            return lane.nobody()
        if (waiting := state.waiting[QUEUE_INTERACTIVE]) >= self.most_waiting:
            return Unavailable(f"{waiting} batches wait for a worker", "Try again later, or add workers.")
        return state
