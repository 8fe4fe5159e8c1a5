"""Bodies as they arrive: each under a deadline of its own, and all together in memory that is counted.

Small bodies lie in memory, and so do middling ones while there is room. What is larger goes to an unlinked file in a
private folder, and comes back into memory only for the moment in which it is put on the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scorer.service.gateway.front.refusals import refusal
from scorer.wire.errors import MalformedBody, Unavailable

_PIECE = 256 * 1024
_WRITTEN = 256 * 1024  # bytes that are written to a file at a time; until then they are counted nowhere
#: Bodies up to this size are not counted: connections are, and this times their number is little.
FREE_BYTES = 64 * 1024
#: Bodies above this size are never gathered in memory.
GATHERED_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Pace:
    """The slowest that a body may arrive: ``seconds`` in which nothing need come, then ``rate`` bytes a second."""

    seconds: float
    rate: float

    def limit(self, moved: int) -> float:
        """Give the seconds after the start until which more than ``moved`` bytes must have moved."""
        return self.seconds + moved / self.rate


@dataclass
class Room:
    """Bytes that may be held at once. For one event loop; those who wait are served in their order."""

    size: int
    _held: int = 0
    _waiting: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)

    def take_now(self, count: int) -> bool:
        """Take ``count`` bytes if they are free and nobody waits."""
        if self._waiting or self._held + count > self.size:
            return False
        self._held += count
        return True

    async def take(self, count: int) -> None:
        """Wait for ``count`` bytes; more than there are in all count as all."""
        count = min(count, self.size)
        if self.take_now(count):
            return
        free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, free))
        try:
            await free
        except asyncio.CancelledError:
            if free.done() and not free.cancelled():
                self.give(count)
            elif (count, free) in self._waiting:  # else whoever gave something back has passed it already
                self._waiting.remove((count, free))
            raise

    def give(self, count: int) -> None:
        """Give ``count`` bytes back."""
        self._held -= min(count, self.size)
        while self._waiting and self._held + self._waiting[0][0] <= self.size:
            count, free = self._waiting.popleft()
            if not free.done():
                self._held += count
                free.set_result(None)


class HeldBody:
    """A whole body in memory, for the thread that works on it. Its room is free again when it was taken away."""

    def __init__(self, content: bytes, freed: Callable[[], None]) -> None:
        self._content = content
        self._freed: Callable[[], None] | None = freed

    def content(self) -> bytes:
        """Give the body's bytes; empty after ``free``."""
        return self._content

    def free(self) -> None:
        """Let the bytes go; safe to call twice, and from any thread."""
        self._content, freed, self._freed = b"", self._freed, None
        if freed is not None:
            freed()


class Incoming:
    """One body on its way: announced with ``length`` bytes, gathered in memory or in a file."""

    def __init__(self, rooms: BodyRooms, length: int) -> None:
        self._rooms = rooms
        self._length = length
        self._counted = length if length > FREE_BYTES else 0
        gathered = length <= GATHERED_BYTES and (not self._counted or rooms.gathered.take_now(length))
        self._pieces: list[bytes] | None = [] if gathered else None
        self._file: IO[bytes] | None = None
        self._filed = 0

    async def receive(self, reader: asyncio.StreamReader, pace: Pace) -> None:
        """Read the whole body. Raises MalformedBody where it ends early, BadInput where it is slow, Unavailable."""
        loop = asyncio.get_running_loop()
        started, got, unwritten = loop.time(), 0, bytearray()
        while got < self._length:
            try:
                async with asyncio.timeout_at(started + pace.limit(got)):
                    piece = await reader.read(min(_PIECE, self._length - got))
            except TimeoutError:
                raise refusal(
                    408,
                    f"{got} of the body's {self._length} bytes came within {pace.limit(got):.0f} s",
                    "Send it faster, or fewer rows at a time.",
                ) from None
            except OSError:  # broken off by force
                piece = b""
            if not piece:
                raise MalformedBody("the body stopped in the middle", "Send it again.")
            got += len(piece)
            if self._pieces is not None:
                self._pieces.append(piece)
                continue
            unwritten += piece
            if len(unwritten) >= _WRITTEN or got == self._length:
                await self._write(unwritten)
                unwritten = bytearray()

    async def load(self) -> HeldBody:
        """Bring the whole body into memory, when there is room for it."""
        loop = asyncio.get_running_loop()
        if self._pieces is not None:
            content = b"".join(self._pieces)
            self._pieces = []
            room, counted, self._counted = self._rooms.gathered, self._counted, 0
        else:
            room, counted = self._rooms.loaded, self._length
            await room.take(counted)
            try:
                content = await loop.run_in_executor(self._rooms.threads, self._read)
            except BaseException:
                room.give(counted)
                raise

        def freed() -> None:
            with contextlib.suppress(RuntimeError):  # the loop ended, and with it whoever waits
                loop.call_soon_threadsafe(room.give, counted)

        return HeldBody(content, freed)

    def close(self) -> None:
        """Give back what is held; safe to call twice."""
        if self._pieces is not None and self._counted:
            self._rooms.gathered.give(self._counted)
        self._pieces, self._counted = None, 0
        if self._file is not None:
            self._file.close()
            self._file = None
        self._rooms.filed.give(self._filed)
        self._filed = 0

    async def _write(self, content: bytearray) -> None:
        if not self._rooms.filed.take_now(len(content)):
            raise Unavailable("too many large bodies arrive at once", "Try again in some seconds.")
        self._filed += len(content)
        try:
            await asyncio.get_running_loop().run_in_executor(self._rooms.threads, self._append, content)
        except OSError as error:
            raise Unavailable(
                f"the body cannot be kept: {error.strerror}", "Make room on the gateway's disk."
            ) from None

    def _append(self, content: bytearray) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._rooms.folder, buffering=0)  # noqa: SIM115  # closed in close
        view = memoryview(content)
        while view:
            view = view[self._file.write(view) :]

    def _read(self) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(0)
        return self._file.read()


@dataclass(frozen=True)
class BodyRooms:
    """The memory and the disk that all bodies share.

    ``gathered``: middling bodies in memory; ``loaded``: large ones that came back from their file; ``filed``: bytes in
    files under ``folder``. ``threads``: where files are written and read.
    """

    gathered: Room
    loaded: Room
    filed: Room
    folder: Path
    threads: Executor

    @classmethod
    def of(cls, memory: int, disk: int, folder: Path, threads: Executor) -> BodyRooms:
        """Share ``memory`` bytes half and half."""
        return cls(Room(memory // 2), Room(memory - memory // 2), Room(disk), folder, threads)
