"""The server's clock: what documents are stamped with, so what decides which of them are settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from elasticsearch import Elasticsearch

from scorer.elastic_client.failures import reached
from scorer.elastic_client.moments import Millis, millis
from scorer.logs import get_log
from scorer.wire.errors import NonsenseReply, QScoreError

#: Difference to our own clock, in seconds, from which on it is said in the log.
_NOTABLE = 5.0
_ASK_AGAIN = 10.0  # after a question that was not answered


class Clock(Protocol):
    """A clock that documents are stamped by; `ServerClock` is one."""

    def now(self) -> float:
        """Return the seconds of the epoch."""
        ...

    def millis(self) -> Millis:
        """Return the moment it is, in the form that documents are compared by."""
        ...


@dataclass
class ServerClock:
    """The cluster's clock, asked every ``ask_every`` seconds and carried on by a monotonic clock in between.

    ``own``: this machine's clock, for the warning alone. ``ticks``: monotonic seconds.
    """

    client: Elasticsearch
    own: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic
    ask_every: float = 60.0
    _offset: float = 0.0
    _asked: float | None = None
    _not_before: float = 0.0

    def now(self) -> float:
        """Return the seconds of the epoch, never ahead of the server, and behind by a second and its answer's time at
        most.

        Raises what scorer.elastic_client.failures names, but only until the server has said it once: after that, a
        server that is away costs nobody what they were about to do.
        """
        if self._asked is None:
            self._ask()
        elif self.ticks() - self._asked > self.ask_every and self.ticks() >= self._not_before:
            try:
                self._ask()
            except QScoreError as error:
                self._not_before = self.ticks() + _ASK_AGAIN
                get_log().info("clock_not_asked", reason=error.detail)
        return self.ticks() + self._offset

    def millis(self) -> Millis:
        """Return the moment up to which documents may be stamped by now."""
        return millis(self.now())

    def _ask(self) -> None:
        with reached("ask Elasticsearch for its time", "cluster privilege monitor"):
            answer: Any = self.client.cat.health(format="json", h="epoch").body
        first = answer[0] if isinstance(answer, list) and answer else None
        epoch = first.get("epoch") if isinstance(first, Mapping) else None
        if not isinstance(epoch, str | int) or not str(epoch).isdigit():
            raise NonsenseReply("Elasticsearch does not say what time it is", "Run `qscore elastic doctor`.")
        # By when the answer was here, and not by when it was asked for: a server that took ten seconds over it read
        # its clock within them, and documents that it stamps after that must not count as settled already.
        after = self.ticks()
        self._offset, self._asked = float(epoch) - after, after
        off = self.own() - float(epoch)
        if abs(off) > _NOTABLE:
            get_log().warning("clock_off", seconds=round(off, 1), remedy="scoring goes by Elasticsearch's clock")
