"""The listening side: accepts, counts, does the handshake under its deadline, and stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass, field

from scorer.logs import get_log
from scorer.service.gateway.front.census import Census, Guest, Stage
from scorer.service.gateway.front.connection import Connection, House
from scorer.service.gateway.front.gate import Peer
from scorer.service.gateway.front.notices import End
from scorer.service.gateway.front.presence import Presence
from scorer.service.gateway.front.sockets import hello, shut

#: Bytes after which a connection's reader asks its caller to wait (twice this much at most lies in memory).
_READ_AHEAD = 256 * 1024
#: Seconds for the end of TLS on a connection that is over.
_GOODBYE = 1.0


@dataclass
class Front:
    """The server of one listening socket; lives in one event loop.

    ``arrivals``: connections that have not said a whole ClientHello; they cost little, and many may be. ``census``: the
    others, which cost buffers.
    """

    house: House
    arrivals: Census
    census: Census
    listener: socket.socket
    context: ssl.SSLContext
    _connections: dict[asyncio.Task[None], Connection | None] = field(default_factory=dict)

    async def serve(self, stop: asyncio.Event, grace: float) -> None:
        """Serve until ``stop``; then accept nobody, and give what is under way ``grace`` seconds."""
        self.listener.setblocking(False)
        accepting = asyncio.create_task(self._accept())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((accepting, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (accepting, stopped):
            task.cancel()
        await asyncio.wait((accepting, stopped))
        self.listener.close()  # callers that come now go elsewhere, and do not wait in vain
        await self._drain(grace)
        if accepting.done() and not accepting.cancelled():
            accepting.result()

    async def _drain(self, grace: float) -> None:
        """Finish what is under way; connections without a request end at once."""
        for connection in list(self._connections.values()):
            if connection is not None:
                connection.stop()
        for guest in [*self.arrivals.guests(), *self.census.guests()]:
            if not guest.asks:
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
        guest = Guest(peer.address, asyncio.get_running_loop().time(), lambda: shut(connected))
        if not self._entered(self.arrivals, guest):
            connected.close()
            return
        task = asyncio.create_task(self._serve(guest, peer, connected))
        self._connections[task] = None
        task.add_done_callback(self._connections.pop)

    def _entered(self, census: Census, guest: Guest) -> bool:
        """Let a connection into a census, and say who had to leave, or that it cannot stay."""
        entered, gone = census.enter(guest, asyncio.get_running_loop().time())
        if gone is not None:
            self.house.notices.note(End.EVICTED, gone.address, stage=gone.stage.value)
        if not entered:
            self.house.notices.note(End.TOO_MANY_CONNECTIONS, guest.address)
        return entered

    async def _serve(self, guest: Guest, peer: Peer, connected: socket.socket) -> None:
        try:
            await self._served(guest, peer, connected)
        except ConnectionError as error:  # the caller is gone, or had to go
            _forget_frames(error)
        except OSError as error:
            self.house.notices.note(End.BROKEN, peer.address, error=str(error))
            _forget_frames(error)
        except Exception as error:
            self.house.notices.note(End.FAILED, peer.address, exc_info=error)
            _forget_frames(error)
        finally:
            self.arrivals.leave(guest)
            self.census.leave(guest)

    async def _served(self, guest: Guest, peer: Peer, connected: socket.socket) -> None:
        until = asyncio.get_running_loop().time() + self.house.limits.head
        streams = await self._secured(guest, peer, connected, until)
        if streams is None:
            return
        reader, writer, presence = streams
        guest.leave = writer.transport.abort
        try:
            named = Peer(peer.address, peer.port, _certificate(writer))
            connection = Connection(self.house, guest, named, reader, writer, presence)
            self._connections[asyncio.current_task()] = connection  # type: ignore[index]  # this runs in a task
            await connection.serve(until)
        finally:
            await _close(writer)

    async def _secured(
        self, guest: Guest, peer: Peer, connected: socket.socket, until: float
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Presence] | None:
        """Wait for a ClientHello, then do the handshake; None where either did not come to its end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_AHEAD)
        presence = Presence(reader)
        try:
            await hello(connected, until)
            self.arrivals.leave(guest)
            guest.enter(Stage.HANDSHAKE, loop.time())
            if not self._entered(self.census, guest):
                connected.close()
                return None
            transport, _ = await loop.connect_accepted_socket(
                lambda: presence,
                connected,
                ssl=self.context,
                ssl_handshake_timeout=max(0.1, until - loop.time()),
                ssl_shutdown_timeout=_GOODBYE,
            )
        except (OSError, TimeoutError) as error:
            shut(connected)  # where there is a transport, it is the one to close it
            if guest in self.arrivals or guest in self.census:  # else it was sent away
                self._note_handshake(peer, error, loop.time() >= until - 0.05)
            return None
        return reader, asyncio.StreamWriter(transport, presence, reader, loop), presence

    def _note_handshake(self, peer: Peer, error: Exception, late: bool) -> None:
        if late:
            self.house.notices.note(End.HANDSHAKE_TIMED_OUT, peer.address)
        else:
            reason = getattr(error, "reason", None) or type(error).__name__
            self.house.notices.note(End.HANDSHAKE_FAILED, peer.address, reason=reason)


def _certificate(writer: asyncio.StreamWriter) -> bytes | None:
    """Read the caller's certificate (DER), None where it sent none. Raises OSError where TLS is broken already."""
    try:
        found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    except ValueError as error:
        raise OSError(str(error)) from None
    return found


async def _close(writer: asyncio.StreamWriter) -> None:
    try:
        writer.close()
        async with asyncio.timeout(_GOODBYE):
            await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        _forget_frames(error)
    writer.transport.abort()


def _forget_frames(error: BaseException | None) -> None:
    """Take its frames from an error that a connection ended with.

    The connection keeps the error, and the frames keep the connection, with half a MiB of buffers for TLS: until
    garbage is collected, which comes seldom here.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__context__
