"""Bounds the log lines about callers that nobody knows: so many per address and minute, and a count of the rest."""

from __future__ import annotations

import threading
from typing import NamedTuple

from scorer.service.access.door.addresses import neighbourhood

LINES = 10
SECONDS = 60.0
#: Addresses told apart at a time; those beyond share one count.
_MOST = 1024
_OTHERS = "others"


class Silenced(NamedTuple):
    """How many requests from one neighbourhood of addresses had no line of their own within a minute."""

    address: str
    requests: int


class Strangers:
    """Counts refused requests without a known key. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._until = 0.0

    def lines(self, address: str, now: float) -> bool:
        """Count one request; whether it gets a line of its own. ``now``: seconds of one clock."""
        with self._lock:
            where = neighbourhood(address)
            if where not in self._counts and len(self._counts) >= _MOST:
                where = _OTHERS
            count = self._counts[where] = self._counts.get(where, 0) + 1
            if self._until == 0.0:
                self._until = now + SECONDS
            return count <= LINES

    def silenced(self, now: float) -> list[Silenced]:
        """Give what had no lines in the minute that ended, once; mostly nothing."""
        if self._until == 0.0 or now < self._until:
            return []
        with self._lock:
            counts, self._counts, self._until = self._counts, {}, 0.0
        return [Silenced(where, count - LINES) for where, count in counts.items() if count > LINES]
