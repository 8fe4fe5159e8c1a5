"""Reading away what refused callers still send: without a thread, for some seconds, slowly, not for many at once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

_PIECE = 64 * 1024


@dataclass
class Discard:
    """What is read away for nobody. ``rate``: bytes a second in all; ``most``: connections at once."""

    seconds: float = 5.0
    rate: float = 64e6
    most: int = 32
    _under_way: int = 0
    _pace: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def rest(self, reader: asyncio.StreamReader, length: int | None) -> bool:
        """Read ``length`` bytes, or what comes (None); gives whether all of them came. Never raises."""
        left = length
        if self._under_way >= self.most and left != 0:
            return False
        self._under_way += 1
        try:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(self.seconds):
                    while left is None or left > 0:
                        piece = await reader.read(_PIECE if left is None else min(_PIECE, left))
                        if not piece:
                            return False
                        left = None if left is None else left - len(piece)
                        if left is None or left > 0:
                            async with self._pace:
                                await asyncio.sleep(len(piece) / self.rate)
            return left == 0
        finally:
            self._under_way -= 1
