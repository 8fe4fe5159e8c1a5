"""A TLS peer that never stops and never gets done: what a timeout of each receive does not end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

_PAUSE = 0.05  # seconds before each byte


class TricklingPeer:
    """Reads one request on 127.0.0.1 and sends its answer byte by byte, 20 of them in a second.

    ``certificate``: PEM of its key and certificate. ``sent``: bytes that went out before the other side left;
    ``finished``: whether all did.
    """

    def __init__(self, certificate: Path, answer: bytes) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self._thread = threading.Thread(target=self._serve)

    @property
    def finished(self) -> bool:
        return self.sent == len(self._answer)

    def __enter__(self) -> TricklingPeer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            raw, _ = self._listener.accept()
            raw.settimeout(10)
            with self._context.wrap_socket(raw, server_side=True) as connection:
                _read_request(connection)
                for byte in self._answer:
                    time.sleep(_PAUSE)
                    connection.sendall(bytes([byte]))
                    self.sent += 1


def _read_request(connection: ssl.SSLSocket) -> None:
    """Read the head and a body of the announced length; raises OSError where the other side leaves before."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
    while len(body) < length:
        body += _some(connection)


def _some(connection: ssl.SSLSocket) -> bytes:
    piece = connection.recv(64 * 1024)
    if not piece:
        raise ConnectionResetError("the other side left")
    return piece


def json_answer(body: bytes) -> bytes:
    """An HTTP answer of status 200 with this JSON."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
