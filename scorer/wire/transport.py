"""HTTP/1.1 over verified TLS with one deadline per exchange: the layer under the gateway client.

http.client counts a timeout per receive, so that a peer which sends one byte at a time could hold a search for hours;
here every send and receive of an exchange shares one deadline.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from scorer.wire.errors import ConfigurationError, NonsenseReply, QScoreError, ScoringTimeout, Unreachable

REMEDY = "Run `qscore status` on the gateway's host, and check its address and port."

_PIECE = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """A whole HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def media_type(self) -> str:
        """The content type without its parameters, lower case; empty where there is none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class TlsConnection:
    """One keep-alive connection to ``https://host:port``, opened when first needed; for one thread.

    ``ca_file``: PEM of the peer's authority; None: the system's. ``server_hostname``: the name that the certificate
    must carry where it is not the URL's host. Raises ConfigurationError for what can never work.
    """

    def __init__(self, url: str, ca_file: Optional[str], server_hostname: Optional[str] = None) -> None:
        self._host, self._port = _address(url)
        self._url = url
        self._context = _tls_context(ca_file)
        self._server_hostname = server_hostname or self._host
        self._connection: Optional[http.client.HTTPConnection] = None
        self._socket: Optional[_DeadlineSocket] = None

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._socket = None

    def exchange(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], allowed: float, cap: int
    ) -> Answer:
        """One request and its whole answer of at most ``cap`` bytes within ``allowed`` seconds.

        The request must be safe to repeat: it is sent again, once, when a kept connection proves closed. Raises
        Unreachable, ScoringTimeout or NonsenseReply.
        """
        deadline = time.monotonic() + allowed
        try:
            return self._send_and_read(method, path, body, headers, deadline, cap)
        except QScoreError:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise _named(error, self._url, allowed) from error

    def _send_and_read(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], deadline: float, cap: int
    ) -> Answer:
        reused = self._connection is not None
        try:
            response = self._request(method, path, body, headers, deadline)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if not reused:
                raise
            self.close()
            response = self._request(method, path, body, headers, deadline)
        answer = _read(response, cap)
        if response.will_close:
            self.close()
        return answer

    def _request(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], deadline: float
    ) -> http.client.HTTPResponse:
        if self._connection is None or self._socket is None:
            self._socket = _DeadlineSocket(self._connect(deadline))
            self._connection = http.client.HTTPConnection(self._host, self._port)
            self._connection.sock = self._socket  # it has the methods that http.client calls
        self._socket.deadline = deadline
        self._connection.request(method, path, body=body, headers=headers)
        return self._connection.getresponse()

    def _connect(self, deadline: float) -> ssl.SSLSocket:
        try:
            raw = socket.create_connection((self._host, self._port), timeout=_remaining(deadline))
        except socket.timeout:
            raise Unreachable("no connection to %s: it did not answer" % self._url, REMEDY) from None
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(_remaining(deadline))
            return self._context.wrap_socket(raw, server_hostname=self._server_hostname)
        except BaseException:
            raw.close()
            raise


class _DeadlineSocket:
    """A TLS socket whose sends and receives share one deadline (``time.monotonic()``)."""

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self._secured = secured
        self.deadline = 0.0

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._secured.settimeout(_remaining(self.deadline))
            self._secured.sendall(view[start : start + _PIECE])

    def makefile(self, _mode: str = "rb", *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self), 64 * 1024)

    def receive_into(self, buffer: Any) -> int:
        self._secured.settimeout(_remaining(self.deadline))
        return self._secured.recv_into(buffer)

    def close(self) -> None:
        self._secured.close()


class _DeadlineReader(io.RawIOBase):
    """The reading end that http.client buffers; closing it leaves the connection open for the next request."""

    def __init__(self, owner: _DeadlineSocket) -> None:
        super().__init__()
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._owner.receive_into(buffer)


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("deadline passed")
    return left


def _address(url: str) -> Tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        plain = not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")
    except ValueError:
        host, port, plain = None, None, False
    if not plain or not host or not url.lower().startswith("https://"):
        raise ConfigurationError(
            "the gateway URL %r is not of the form https://host:8417" % url[:200],
            "Give scheme, host and port alone; the gateway speaks TLS only.",
        )
    return host, port or 443


def _tls_context(ca_file: Optional[str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise ConfigurationError(
            "the CA file %s cannot be used: %s" % (ca_file, error.strerror or error),
            "Name the PEM file of the authority that signed the gateway's certificate (<home>/tls/ca.pem).",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _read(response: http.client.HTTPResponse, cap: int) -> Answer:
    if response.length is not None and response.length > cap:
        raise NonsenseReply("the gateway announced %d bytes, more than its answer can hold" % response.length, REMEDY)
    pieces: List[bytes] = []
    total = 0
    while True:
        piece = response.read(_PIECE)
        if not piece:
            break
        total += len(piece)
        if total > cap:
            raise NonsenseReply("the gateway sent more than %d bytes" % cap, REMEDY)
        pieces.append(piece)
    if response.length:
        raise NonsenseReply("the gateway's answer ended %d bytes early" % response.length, REMEDY)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, b"".join(pieces))


def _named(error: Exception, url: str, allowed: float) -> QScoreError:
    """The one tree's name for what the network, TLS or http.client threw."""
    if isinstance(error, socket.timeout):
        return ScoringTimeout(
            "the gateway %s did not answer within %g s" % (url, allowed),
            "Run `qscore status` on its host; give more time with timeout=.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            "the certificate of %s was not accepted: %s" % (url, error.verify_message),
            "Give the gateway's authority as ca_file (<home>/tls/ca.pem), and reach it by a name in its certificate.",
        )
    if isinstance(error, ssl.SSLError):
        return Unreachable("no TLS with %s: %s" % (url, error.reason or "the connection broke"), REMEDY)
    if isinstance(error, OSError):
        return Unreachable("no connection to %s: %s" % (url, error.strerror or "it was closed"), REMEDY)
    return NonsenseReply("%s did not answer in HTTP (%s)" % (url, type(error).__name__), REMEDY)
