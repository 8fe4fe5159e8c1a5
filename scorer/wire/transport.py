"""HTTP/1.1 over verified TLS with one deadline per exchange: how the gateway, splunkd and HEC are asked.

http.client counts a timeout per receive, so that a peer which sends one byte at a time could hold a search for hours;
here connecting, the handshake and every send and receive of an exchange share one deadline.
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

from scorer.wire.errors import ConfigurationError, NonsenseReply, QScoreError, ScoringTimeout, Unreachable, Untrusted

_PIECE = 256 * 1024
#: Nobody is on the way to this machine.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class HttpAnswer:
    """A whole HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def media_type(self) -> str:
        """Give the content type without its parameters, lower case; empty where there is none."""
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


@dataclass(frozen=True)
class Peer:
    """The other side of a connection, in the words of messages.

    ``name``: such as "the gateway". ``form``: how its address is written; ``port``: where an address names none. The
    other four are remedies: ``address`` for an address of another form, ``trust`` for an authority or a certificate
    that is not accepted, ``silent`` for no answer or a wrong one, ``slow`` for an answer that came too late.
    ``plain_here``: whether its address may begin with http:// where it is one of this machine.
    """

    name: str
    form: str
    port: int
    address: str
    trust: str
    silent: str
    slow: str
    plain_here: bool = False


@dataclass(frozen=True)
class Trust:
    """The terms on which a peer's certificate is accepted: by an authority always, by a name unless ``any_name``.

    ``ca_file``: PEM of the peer's authority; None: the system's. ``server_hostname``: the name that the certificate
    must carry where it is not the URL's host. ``any_name``: no name is compared, for a peer on this machine.
    ``old_authority``: the authority may lack the extensions that Python 3.13 asks for by default. ``certificate``: PEM
    of our own certificate and its key, for a peer that asks for one.
    """

    ca_file: Optional[str] = None
    server_hostname: Optional[str] = None
    any_name: bool = False
    old_authority: bool = False
    certificate: Optional[str] = None


class TlsConnection:
    """One keep-alive connection to ``https://host:port``, opened when first needed; for one thread.

    Without TLS only where the peer allows that on this machine.

    ``url``: the same address with its port. Raises ConfigurationError for what can never work.
    """

    def __init__(self, url: str, peer: Peer, trust: Trust) -> None:
        scheme, self._host, self._port = _address(url, peer)
        self.url = "%s://%s:%d" % (scheme, "[%s]" % self._host if ":" in self._host else self._host, self._port)
        self._peer = peer
        self._context = _tls_context(peer, trust) if scheme == "https" else None
        self._server_hostname = trust.server_hostname or self._host
        self._connection: Optional[http.client.HTTPConnection] = None
        self._socket: Optional[_DeadlineSocket] = None

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        if self._connection is not None:
            self._connection.close()
        if self._socket is not None:
            self._socket.end()
        self._connection = self._socket = None

    def exchange(
        self,
        method: str,
        path: str,
        body: Optional[bytes],
        headers: Dict[str, str],
        allowed: float,
        cap: int,
        cut: bool = False,
    ) -> HttpAnswer:
        """Send one request and read its whole answer of at most ``cap`` bytes within ``allowed`` seconds.

        Looking up the host's name comes on top, for which the system's resolver has limits of its own.
        ``cut``: a longer answer ends at ``cap``; without it, it is nonsense. The request must be safe to repeat: it is
        sent again, once, when a kept connection proves closed. Raises Unreachable, Untrusted, ScoringTimeout or
        NonsenseReply.
        """
        deadline = time.monotonic() + allowed
        try:
            response = self._answered(method, path, body, headers, deadline)
            answer = _read(response, cap, cut, self._peer)
        except QScoreError:
            self.close()
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise _named(error, self._peer, self.url, allowed) from error
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _answered(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], deadline: float
    ) -> http.client.HTTPResponse:
        reused = self._connection is not None
        try:
            return self._request(method, path, body, headers, deadline)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            if not reused:
                raise
            self.close()
            return self._request(method, path, body, headers, deadline)

    def _request(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], deadline: float
    ) -> http.client.HTTPResponse:
        if self._connection is None or self._socket is None:
            self._socket = _DeadlineSocket(self._connect(deadline))
            self._connection = http.client.HTTPConnection(self._host, self._port)
            self._connection.auto_open = 0  # it would open one without TLS
            self._connection.sock = self._socket  # it has the methods that http.client calls
        self._socket.deadline = deadline
        self._connection.request(method, path, body=body, headers=headers)
        return self._connection.getresponse()

    def _connect(self, deadline: float) -> socket.socket:
        try:
            raw = reach(socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM), deadline)
        except socket.timeout:
            where = "%s %s" % (self._peer.name, self.url)
            raise Unreachable("no connection to %s: it did not answer" % where, self._peer.silent) from None
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(_remaining(deadline))
            if self._context is None:
                return raw
            return self._context.wrap_socket(raw, server_hostname=self._server_hostname)
        except BaseException:
            raw.close()
            raise


def reach(found: List[Any], deadline: float) -> socket.socket:
    """Connect to the first address that answers; ``found``: at least one, as getaddrinfo gives them.

    Each gets an equal share of what is left until ``deadline``, so that one which hangs leaves time for the next.
    Raises the last one's OSError.
    """
    try:
        return _open(found[0], _remaining(deadline) / len(found))
    except OSError:
        if len(found) == 1:
            raise
    return reach(found[1:], deadline)


def _open(found: Any, timeout: float) -> socket.socket:
    family, kind, protocol, _name, address = found
    raw = socket.socket(family, kind, protocol)
    try:
        raw.settimeout(timeout)
        raw.connect(address)
    except BaseException:
        raw.close()
        raise
    return raw


class _DeadlineSocket:
    """A socket whose sends and receives share one deadline (``time.monotonic()``)."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        self.deadline = 0.0

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._connected.settimeout(_remaining(self.deadline))
            self._connected.sendall(view[start : start + _PIECE])

    def makefile(self, _mode: str = "rb", *_args: Any, **_kwargs: Any) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self), 64 * 1024)

    def receive_into(self, buffer: Any) -> int:
        self._connected.settimeout(_remaining(self.deadline))
        return self._connected.recv_into(buffer)

    def close(self) -> None:
        """Do nothing: http.client calls it before an answer that ends with the connection is read."""

    def end(self) -> None:
        self._connected.close()


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


def _address(url: str, peer: Peer) -> Tuple[str, str, int]:
    """Scheme, host and port."""
    scheme = "https"
    try:
        parts = urlsplit(url)
        if peer.plain_here and parts.scheme == "http" and parts.hostname in _LOOPBACK:
            scheme = "http"
        host, port = parts.hostname, parts.port
        plain = not (parts.username or parts.password or parts.query or parts.fragment) and parts.path in ("", "/")
    except ValueError:
        host, port, plain = None, None, False
    if not plain or not host or not url.lower().startswith(scheme + "://"):
        raise ConfigurationError(
            "the address %r of %s is not of the form %s" % (url[:200], peer.name, peer.form), peer.address
        )
    return scheme, host, port or (peer.port if scheme == "https" else http.client.HTTP_PORT)


def _tls_context(peer: Peer, trust: Trust) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.ca_file or None)
    except OSError as error:
        raise ConfigurationError(
            "the CA file %s cannot be used for %s: %s" % (trust.ca_file, peer.name, error.strerror or error),
            peer.trust,
        ) from error
    _load_own(context, peer, trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = not trust.any_name
    if trust.old_authority:
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _load_own(context: ssl.SSLContext, peer: Peer, trust: Trust) -> None:
    if trust.certificate is None:
        return
    try:
        context.load_cert_chain(trust.certificate)
    except OSError as error:
        raise ConfigurationError(
            "the client certificate %s cannot be used for %s: %s"
            % (trust.certificate, peer.name, error.strerror or error),
            "Name a PEM file that holds the certificate and its private key.",
        ) from error


def _read(response: http.client.HTTPResponse, cap: int, cut: bool, peer: Peer) -> HttpAnswer:
    if not cut and response.length is not None and response.length > cap:
        raise NonsenseReply(
            "%s announced %d bytes, more than its answer can hold" % (peer.name, response.length), peer.silent
        )
    body = _body(response, cap + 1)
    if len(body) > cap and not cut:
        raise NonsenseReply("%s sent more than %d bytes" % (peer.name, cap), peer.silent)
    if len(body) <= cap and response.length:
        raise NonsenseReply("the answer of %s ended %d bytes early" % (peer.name, response.length), peer.silent)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return HttpAnswer(response.status, headers, body[:cap])


def _body(response: http.client.HTTPResponse, most: int) -> bytes:
    pieces: List[bytes] = []
    while most and (piece := response.read(min(_PIECE, most))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _named(error: Exception, peer: Peer, url: str, allowed: float) -> QScoreError:
    """The one tree's name for what the network, TLS or http.client threw."""
    where = "%s %s" % (peer.name, url)
    if isinstance(error, socket.timeout):
        return ScoringTimeout("%s did not answer within %g s" % (where, allowed), peer.slow)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted("the certificate of %s was not accepted: %s" % (where, error.verify_message), peer.trust)
    if isinstance(error, ssl.SSLError):
        return Unreachable("no TLS with %s: %s" % (where, error.reason or "the connection broke"), peer.silent)
    if isinstance(error, OSError):
        return Unreachable("no connection to %s: %s" % (where, error.strerror or "it was closed"), peer.silent)
    return NonsenseReply("%s did not answer in HTTP (%s)" % (where, type(error).__name__), peer.silent)
