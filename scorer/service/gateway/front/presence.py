"""Whether a caller is still there while its request waits for something else than its bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from scorer.wire.errors import QScoreError


class CallerLeft(QScoreError):
    """The caller ended its connection. This is for the log alone: nobody is left to be told."""

    code = "caller_left"

    def __init__(self) -> None:
        super().__init__("the caller ended its connection while its request waited")
        self.status = 499  # as other servers log it


class Presence(asyncio.StreamReaderProtocol):
    """The protocol under a connection's streams. It hears of the other side's end also while nobody reads.

    What the caller sends meanwhile, its next request, stays in the reader. With TLS there is no half of an end: who
    closes one direction has closed both.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._gone = False
        self._block: asyncio.Timeout | None = None

    def eof_received(self) -> bool | None:
        """Hear that nothing more comes."""
        goes_on = super().eof_received()
        self._leave()
        return goes_on

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that the connection has ended."""
        super().connection_lost(exc)
        self._leave()

    def check(self) -> None:
        """Raise CallerLeft where the caller has gone."""
        if self._gone:
            raise CallerLeft

    @contextlib.asynccontextmanager
    async def awaited(self) -> AsyncIterator[None]:
        """Run the block for as long as the caller is there; one at a time. Raises CallerLeft when it goes."""
        self.check()
        try:
            async with asyncio.timeout(None) as self._block:
                yield
        except TimeoutError:
            self.check()
            raise
        finally:
            self._block = None

    def _leave(self) -> None:
        if not self._gone and self._block is not None:
            self._block.reschedule(asyncio.get_running_loop().time())
        self._gone = True
