"""A gateway's front in a thread of the test: over real TLS, and asked byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from scorer.service.gateway.app import Gateway
from scorer.service.gateway.server import front_of
from scorer.service.settings import Settings

_PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Running:
    """A front that serves, and how to speak to it."""

    gateway: Gateway
    port: int

    def tls(self, window: int = 0) -> ssl.SSLSocket:
        """Connect; ``window``: bytes that this side takes before somebody reads them, 0: as many as usual."""
        context = ssl.create_default_context(cafile=self.gateway.settings.tls_dir / "ca.pem")
        bare = socket.socket()
        bare.settimeout(_PATIENCE)
        if window:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        bare.connect(("127.0.0.1", self.port))
        return context.wrap_socket(bare, server_hostname="localhost")

    def ask(self, *lines: str, body: bytes = b"") -> Answer:
        """Send one request by hand: its first line, its headers beside Host, its body."""
        with self.tls() as connection:
            connection.sendall(head(*lines) + body)
            return answer_of(connection, lines[0].partition(" ")[0])


def head(*lines: str) -> bytes:
    """Write a request's head: its first line, and headers beside Host."""
    return "\r\n".join([lines[0], "Host: x", *lines[1:], "", ""]).encode("latin-1")


def answer_of(connection: socket.socket, method: str = "GET") -> Answer:
    """Read one response from a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, dict(response.getheaders()), response.read())


def silent(connection: ssl.SSLSocket) -> bool:
    """Tell whether nothing of an answer is there, whatever TLS itself has sent."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except ssl.SSLWantReadError:
        return True


@contextmanager
def running_front(settings: Settings) -> Iterator[Running]:
    """Serve a gateway of these settings for the time of the block."""
    gateway = Gateway.of(settings)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        loop, stop, serving = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

        async def serve() -> None:
            front = front_of(gateway, listener)
            serving.set()
            await front.serve(stop, 1.0)

        port = listener.getsockname()[1]
        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        try:
            assert serving.wait(_PATIENCE)
            yield Running(gateway, port)
        finally:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
            thread.join()
            loop.close()
            gateway.close()
