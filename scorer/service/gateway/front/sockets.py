"""Sockets before TLS: what a connection that says nothing, or little, must not cost."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct

#: The header of a TLS record: its kind, a version, its length.
_RECORD = struct.Struct("!BHH")
_HANDSHAKE = 22
_LONGEST_RECORD = 2**14


async def hello(connected: socket.socket, until: float) -> None:
    """Wait until the first TLS record is there as a whole, and leave it there.

    Buffers for TLS are large; so nobody gets any before he has said what he wants. The kernel wakes us when enough has
    come, not for every byte. Raises TimeoutError or ConnectionError, after which the socket is closed.
    """
    try:
        async with asyncio.timeout_at(until):
            await _has(connected, _RECORD.size)
            kind, _, length = _RECORD.unpack(_peeked(connected, _RECORD.size))
            if kind != _HANDSHAKE or not 0 < length <= _LONGEST_RECORD:
                raise ConnectionAbortedError("no TLS")
            await _has(connected, _RECORD.size + length)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    except BaseException:
        connected.close()
        raise


def shut(connected: socket.socket) -> None:
    """End a connection for both sides; whoever waits for it sees its end, and closes it."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def descriptors(wanted: int) -> int:
    """Raise the soft limit of open files to ``wanted``, as far as the hard one allows; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


async def _has(connected: socket.socket, count: int) -> None:
    """Wait until ``count`` bytes can be read, or the other side has ended."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connected, _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(connected)


def _peeked(connected: socket.socket, count: int) -> bytes:
    found = connected.recv(count, socket.MSG_PEEK)
    if len(found) < count:
        raise ConnectionResetError("closed before it said anything")
    return found


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
