"""Memory that large bodies took, given back to the system once the last of them has gone.

Their pieces lie in the C library's heap between others that stay, so that its top never comes free, and it keeps some
ten MiB for each that came at once. It gives them back when it is told to, which takes milliseconds: so it is told when
it has grown quiet, not after each body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass

#: Bytes from which on a body counts as large.
LARGE_BYTES = 1024 * 1024


@dataclass
class Rest:
    """Large bodies under way in one event loop. ``give_back``: gives free memory back to the system, called in
    ``threads`` when there was none for ``pause`` seconds."""

    give_back: Callable[[], None]
    threads: Executor
    pause: float = 1.0
    _under_way: int = 0
    _due: asyncio.TimerHandle | None = None

    @contextmanager
    def after(self, length: int) -> Iterator[None]:
        """Note a request whose body has so many bytes, for the time of the block."""
        if length < LARGE_BYTES:
            yield
            return
        self._under_way += 1
        if self._due is not None:
            self._due.cancel()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                loop = asyncio.get_running_loop()
                self._due = loop.call_later(self.pause, loop.run_in_executor, self.threads, self.give_back)
