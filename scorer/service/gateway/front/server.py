"""The listening side: accepts, counts, does the handshake under its deadline, and stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from dataclasses import dataclass, field

from scorer.logs import get_log
from scorer.service.gateway.front.census import Census, Guest, Stage
from scorer.service.gateway.front.connection import Connection, House
from scorer.service.gateway.front.gate import Peer
from scorer.service.gateway.front.notices import End

#: Bytes after which a connection's reader asks its caller to wait (twice this much at most lies in memory).
_READ_AHEAD = 64 * 1024
#: Seconds for the end of TLS on a connection that is over.
_GOODBYE = 1.0
#: File descriptors beside those of connections: queue, registry, spooled bodies, logs.
_OTHER_DESCRIPTORS = 512


@dataclass
class Front:
    """The server of one listening socket; lives in one event loop."""

    house: House
    census: Census
    listener: socket.socket
    context: ssl.SSLContext
    _connections: dict[asyncio.Task[None], Connection | None] = field(default_factory=dict)

    async def serve(self, stop: asyncio.Event, grace: float) -> None:
        """Serve until ``stop``; then accept nobody, and give what is under way ``grace`` seconds."""
        self.listener.setblocking(False)
        allow_descriptors(self.census.limit + _OTHER_DESCRIPTORS)
        accepting = asyncio.create_task(self._accept())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((accepting, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (accepting, stopped):
            task.cancel()
        await self._drain(grace)
        if accepting.done() and not accepting.cancelled():
            accepting.result()

    async def _drain(self, grace: float) -> None:
        """Finish what is under way; connections without a request end at once."""
        for connection in list(self._connections.values()):
            if connection is not None:
                connection.stop()
        for guest in self.census.guests():
            if guest.stage is not Stage.BUSY:
                guest.leave()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=grace)
            if late:
                get_log().warning("stopped", cut_off=len(late), grace=grace)
            for task in late:
                task.cancel()
        self.house.notices.flush()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, address = await loop.sock_accept(self.listener)
            except OSError as error:  # no file descriptor is left, or the caller is gone already
                self.house.notices.note(End.NO_DESCRIPTORS, "", error=error.strerror)
                await asyncio.sleep(0.05)
                continue
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(connected, Peer(str(address[0]), int(address[1])))

    def _take(self, connected: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        guest = Guest(peer.address, loop.time(), lambda: _shut(connected))
        entered, gone = self.census.enter(guest, loop.time())
        if gone is not None:
            self.house.notices.note(End.EVICTED, gone.address, stage=gone.stage.value)
        if not entered:
            self.house.notices.note(End.TOO_MANY_CONNECTIONS, peer.address)
            connected.close()
            return
        task = asyncio.create_task(self._serve(guest, peer, connected))
        self._connections[task] = None
        task.add_done_callback(self._connections.pop)

    async def _serve(self, guest: Guest, peer: Peer, connected: socket.socket) -> None:
        try:
            await self._served(guest, peer, connected)
        except ConnectionError:
            pass  # the caller is gone, or had to go
        except OSError as error:
            get_log().info("connection", end="broken", address=peer.address, error=str(error))
        except Exception as error:
            self.house.notices.note(End.FAILED, peer.address, exc_info=error)
        finally:
            self.census.leave(guest)

    async def _served(self, guest: Guest, peer: Peer, connected: socket.socket) -> None:
        until = asyncio.get_running_loop().time() + self.house.limits.head
        streams = await self._secured(guest, peer, connected, until)
        if streams is None:
            return
        reader, writer = streams
        guest.leave = writer.transport.abort
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            named = Peer(peer.address, peer.port, certificate)
            connection = Connection(self.house, guest, named, reader, writer)
            self._connections[asyncio.current_task()] = connection  # type: ignore[index]  # this runs in a task
            await connection.serve(until)
        finally:
            await _close(writer)

    async def _secured(
        self, guest: Guest, peer: Peer, connected: socket.socket, until: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Wait for the first byte, then do the handshake; None where either did not come to its end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_AHEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            # A connection that says nothing must not cost the buffers of TLS.
            await _readable(connected, until)
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connected,
                ssl=self.context,
                ssl_handshake_timeout=max(0.1, until - loop.time()),
                ssl_shutdown_timeout=_GOODBYE,
            )
        except (OSError, TimeoutError) as error:
            _shut(connected)  # where there is a transport, it is the one to close it
            if guest in self.census:
                self._note_handshake(peer, error, loop.time() >= until - 0.05)
            return None
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _note_handshake(self, peer: Peer, error: Exception, late: bool) -> None:
        if late:
            self.house.notices.note(End.HANDSHAKE_TIMED_OUT, peer.address)
        else:
            reason = getattr(error, "reason", None) or type(error).__name__
            self.house.notices.note(End.HANDSHAKE_FAILED, peer.address, reason=reason)


async def _readable(connected: socket.socket, until: float) -> None:
    """Wait for a first byte. Raises TimeoutError, after which the socket is closed."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connected, _set, ready)
    try:
        async with asyncio.timeout_at(until):
            await ready
    except BaseException:
        loop.remove_reader(connected)
        connected.close()
        raise
    loop.remove_reader(connected)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _shut(connected: socket.socket) -> None:
    """End a connection that is still without its streams: whoever waits for it sees its end."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


async def _close(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        writer.close()
        async with asyncio.timeout(_GOODBYE):
            await writer.wait_closed()
    writer.transport.abort()


def allow_descriptors(count: int) -> None:
    """Raise the soft limit of open files to ``count``, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
