"""Servers that mean harm, at the level of bytes: endless, dripping, huge, lying about themselves, leading elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Elastic-Product: Elasticsearch\r\n"
#: Seconds after which a server gives up by itself: a client that is still there has no end of its own.
PATIENCE = 15.0
_BLOCK = b"x" * 65536
_BOMB = gzip.compress(b" " * (160 * 1024 * 1024), 9)

Pieces = Iterator[bytes]


#: Seconds before each byte of those who drip.
DRIP = 0.05


def _drip(content: bytes) -> Pieces:
    for byte in content:
        time.sleep(DRIP)
        yield bytes([byte])


def _after(head: bytes, piece: bytes = _BLOCK) -> Pieces:
    yield head
    yield from itertools.repeat(piece)


def answer(body: bytes, head: bytes = OK) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


#: What a server says to a request, piece by piece; when that is all, it waits for the client to leave.
SAYINGS: dict[str, Callable[[], Pieces]] = {
    "nothing": lambda: iter(()),
    "a head by drips": lambda: _drip(OK + b"X: y\r\n" * 200),
    "a body by drips": lambda: _drip(OK + b"Content-Length: 4000\r\n\r\n" + b" " * 4000),
    "interim answers without end": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
    "interim answers by drips": lambda: _drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 400),
    "early hints without end": lambda: itertools.repeat(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
    "headers without end": lambda: _after(OK, b"X: y\r\n" * 100),
    "a header without end": lambda: _after(OK + b"X: "),
    "a first line without end": lambda: _after(b"HTTP/1.1 200 "),
    "a body without end": lambda: _after(OK + b"Connection: close\r\n\r\n"),
    "a huge body": lambda: _after(OK + b"Content-Length: 99999999999\r\n\r\n"),
    "a body of a length that is none": lambda: _after(OK + b"Content-Length: -1\r\n\r\n"),
    "a body of a length of 5,000 digits": lambda: _after(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
    "chunks without end": lambda: _after(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + _BLOCK + b"\r\n"),
    "one chunk without end": lambda: _after(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
    "a chunk of less than nothing": lambda: _after(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n"),
    "a chunk's length without end": lambda: _after(OK + b"Transfer-Encoding: chunked\r\n\r\n5;"),
    "trailers without end": lambda: _after(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
    "a packed answer that becomes a huge one": lambda: iter([answer(_BOMB, OK + b"Content-Encoding: gzip\r\n")]),
    "packed, and is not": lambda: iter([answer(b"nonsense", OK + b"Content-Encoding: gzip\r\n")]),
    "no HTTP": lambda: iter([b"220 mail.example ESMTP\r\n" * 10]),
    "HTTP of another kind": lambda: iter([b"HTTP/9.9 200 OK\r\n\r\n"]),
    "a status that is none": lambda: iter([b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}"]),
    "another protocol": lambda: iter([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"]),
    "a page": lambda: iter([answer(b"<html>", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n")]),
    "JSON nested without end": lambda: iter([answer(b"[" * 100_000)]),
    "a number without end": lambda: iter([answer(b'{"version":{"number":' + b"9" * 60_000 + b"}}")]),
    "bytes": lambda: iter([answer(bytes(range(256)) * 10)]),
}
#: What a server does in the place of an answer: it ends the connection, sooner or later.
ENDINGS: dict[str, bytes] = {
    "at once": b"",
    "in the first line": b"HTTP/1.1 2",
    "in the head": OK,
    "in the body": OK + b"Content-Length: 4000\r\n\r\n{",
    "in a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
}
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass
class Hostile:
    """A TLS server on 127.0.0.1 that reads a request and says what ``saying`` makes.

    ``ends``: then it ends the connection. ``reads``: bytes that it reads of a body twenty times a second, None: all.
    ``left``: whether the other side went before the server's patience was over. ``requests``: heads that came.
    ``pieces``: how many of what it says it got rid of.
    """

    certificate: Path
    saying: Callable[[], Pieces]
    ends: bool = False
    reads: int | None = None
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: bool = True
    pieces: int = 0

    def __enter__(self) -> Hostile:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        if self.versions is not None:
            self._context.set_ciphers("ALL:@SECLEVEL=0")
            self._context.minimum_version, self._context.maximum_version = self.versions
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"https://127.0.0.1:{self.port}"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            raw.settimeout(PATIENCE)
            with contextlib.suppress(OSError), raw, self._context.wrap_socket(raw, server_side=True) as connection:
                self._answer(connection)

    def _answer(self, connection: ssl.SSLSocket) -> None:
        until = time.monotonic() + PATIENCE
        head = self._request(connection)
        if not head:
            return
        self.requests.append(head)
        for piece in self.saying():
            if time.monotonic() > until:
                self.left = False
                return
            connection.sendall(piece)
            self.pieces += 1
        try:
            while not self.ends and connection.recv(65536):
                pass
        except TimeoutError:
            self.left = False
        finally:
            self.left = self.left and time.monotonic() < until

    def _request(self, connection: ssl.SSLSocket) -> bytes:
        """Read a request whole, so that nothing of it is in the way of the answer; gives its head."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        left = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0) - len(body)
        while left > 0 and not (self.reads and self._over.wait(0.05)):
            left -= len(connection.recv(self.reads or 65536)) or left
        return head
