"""Lines in the log about connections that end badly: one at once, then one a window that counts, whatever comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from scorer.logs import get_log

#: Seconds for which connections that end alike, from one address, are counted into one line.
WINDOW = 10.0
#: Addresses that get lines of their own within a window; the others share one.
MOST_ADDRESSES = 20
_OTHERS = "others"


class End(StrEnum):
    """Why a connection ended, or a request on it was not read."""

    HANDSHAKE_TIMED_OUT = "handshake_timed_out"
    HANDSHAKE_FAILED = "handshake_failed"
    HEAD_TIMED_OUT = "head_timed_out"
    HEAD_REFUSED = "head_refused"
    BODY_TOO_SLOW = "body_too_slow"
    BODY_BROKEN = "body_broken"
    BODY_REFUSED = "body_refused"
    CALLER_LEFT = "caller_left"
    ANSWER_TOO_SLOW = "answer_too_slow"
    EVICTED = "evicted"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    BROKEN = "broken"
    NO_DESCRIPTORS = "no_descriptors"
    FAILED = "failed"


@dataclass
class Notices:
    """The log of one server, for one event loop. ``counted``: told of every end, for the metrics."""

    counted: Callable[[str], None]
    window: float = WINDOW
    _more: Counter[tuple[End, str]] = field(default_factory=Counter)
    _open: bool = False

    def note(self, end: End, address: str, **about: object) -> None:
        """Log the first of its kind from its address at once, and count the others until the window ends."""
        self.counted(end.value)
        if not self._open:
            self._open = True
            asyncio.get_running_loop().call_later(self.window, self.flush)
        known = [seen for kind, seen in self._more if kind is end]
        if address not in known and len(known) >= MOST_ADDRESSES:
            address = _OTHERS
        if (end, address) in self._more:
            self._more[end, address] += 1
            return
        self._more[end, address] = 0
        get_log().warning("connection", end=end.value, address=address, **about)

    def flush(self) -> None:
        """Log what was counted, and begin a new window."""
        for (end, address), count in self._more.items():
            if count:
                seconds = self.window
                get_log().warning("connection", end=end.value, address=address, more=count, seconds=seconds)
        self._more.clear()
        self._open = False
