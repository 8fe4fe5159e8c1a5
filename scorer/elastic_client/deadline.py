"""An end to each exchange with Elasticsearch, however slowly its bytes come.

urllib3 counts a timeout for each receive, so that a server which sends one byte at a time, or interim answers without
end, could hold the connector for ever. Here all that is sent shares one timeout, and so does all that is received.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any

from urllib3.connection import HTTPConnection

#: As many bytes as give a large page or bulk request the timeout once more; and how often at most, all in all.
_LARGE = 4 * 1024 * 1024
_MOST_TIMES = 4.0
#: Bytes sent at a time: what one record of TLS holds, so that a slow reader is noticed between two of them.
_PIECE = 16 * 1024


class TimedSocket:
    """A connected socket whose timeout is of everything until the next ``settimeout``. For one thread at a time."""

    def __init__(self, connected: socket.socket, seconds: float | None) -> None:
        self._connected = connected
        self.settimeout(seconds)

    def settimeout(self, seconds: float | None) -> None:
        """Begin to count anew; None: without an end."""
        self._seconds, self._since, self._moved = seconds, time.monotonic(), 0
        self._connected.settimeout(seconds)

    def sendall(self, data: Any) -> None:
        """Send all bytes. Raises TimeoutError where they are not taken in time."""
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self.arm()
            self._connected.sendall(view[start : start + _PIECE])
            self.moved(_PIECE)

    def makefile(self, *_mode: Any, **_options: Any) -> io.BufferedReader:
        """Open the end from which an answer is read."""
        return io.BufferedReader(_Reader(self, self._connected.makefile("rb", buffering=0)), 64 * 1024)

    def arm(self) -> None:
        """Give the next call on the socket what is left. Raises TimeoutError where that is nothing."""
        if self._seconds is None:
            return
        allowed = self._seconds * min(_MOST_TIMES, 1.0 + self._moved / _LARGE)
        left = self._since + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done within {allowed:g} s")
        self._connected.settimeout(left)

    def moved(self, count: int) -> None:
        """Note bytes that were sent or received."""
        self._moved += count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connected, name)


class _Reader(io.RawIOBase):
    """The receiving end; the socket's own file below it keeps the socket open until an answer is read."""

    def __init__(self, owner: TimedSocket, file: Any) -> None:
        super().__init__()
        self._owner, self._file = owner, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._owner.arm()
        count: int | None = self._file.readinto(buffer)
        self._owner.moved(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def timed(kind: type[HTTPConnection]) -> type[HTTPConnection]:
    """Make a kind of connection whose exchanges end, of one that connects and verifies in its own way."""

    class Timed(kind):  # type: ignore[misc, valid-type]  # the client chooses what to connect with
        def connect(self) -> None:
            super().connect()
            connected: Any = self.sock
            self.sock: Any = TimedSocket(connected, _seconds(self.timeout))

    return Timed


def _seconds(timeout: Any) -> float | None:
    return float(timeout) if isinstance(timeout, (int, float)) else None
