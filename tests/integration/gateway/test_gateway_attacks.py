"""A gateway of small limits under attack: another caller is answered all the while, and each attack leaves a line.

`make attack` does the same at full size and measures.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo.running_stack import running_stack
from scorer.service.stack.up import StackState
from scorer.wire.client import GATEWAY
from scorer.wire.transport import TlsConnection, Trust
from tests.attack.assaults import Place, head_of
from tests.attack.watch import resident
from tests.integration.stack_tools import body, client_of, eventually, processes, settings_of, stopped

#: Seconds for a caller, beside an attack on a machine that others share.
PATIENCE = 10.0
_SMALL = {
    "THREADS": "2",
    "HEAD_SECONDS": "2",
    "BODY_SECONDS": "2",
    "CONNECTIONS": "24",
    "CONNECTIONS_PER_ADDRESS": "16",
    "BODY_MEMORY": str(16 * 1024**2),
}


class Target:
    """The stack that is attacked, and what another caller hears meanwhile."""

    def __init__(self, home: Path, state: StackState) -> None:
        parts = urlsplit(state.url)
        key = settings_of(home).local_key.read_text().strip()
        self.home, self.state = home, state
        self.place = Place(str(parts.hostname), int(parts.port or 0), str(state.ca_file), key)
        self._context = ssl.create_default_context(cafile=state.ca_file)

    def bare(self) -> socket.socket:
        return socket.create_connection((self.place.host, self.place.port), timeout=PATIENCE)

    def tls(self) -> ssl.SSLSocket:
        return self._context.wrap_socket(self.bare(), server_hostname="localhost")

    def answers(self) -> None:
        """Another caller is answered: three rows scored, and /healthz."""
        with client_of(self.home, self.state) as client:
            assert client.score("lateral", body(3), 3, timeout=PATIENCE).scored == 3
        self.is_up()

    def is_up(self) -> None:
        connection = TlsConnection(self.state.url, GATEWAY, Trust(self.state.ca_file))
        try:
            assert connection.exchange("GET", "/healthz", None, {}, PATIENCE, 1024).status == 200
        finally:
            connection.close()

    @property
    def gateway(self) -> int:
        (pid,) = processes(self.home, "scorer.service.gateway")
        return pid

    def said(self, end: str) -> bool:
        """The gateway's log names an end of this kind, with the caller's address."""
        lines = (self.home / "logs" / "gateway.log").read_text().splitlines()
        return any(f'"end": "{end}"' in line and '"address": "127.0.0.1"' in line for line in lines)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("attacked") / "home"
    publish_tiny(home)
    environment = {f"QSCORE_GATEWAY__{name}": value for name, value in _SMALL.items()}
    with running_stack(home, "--port", "0", "--workers", "1", environment=environment) as state:
        yield Target(home, state)


def answer_of(connection: socket.socket) -> tuple[int, str, bytes]:
    """Status, media type and body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, str(response.headers["Content-Type"]), response.read()


def ends(connection: socket.socket) -> bytes:
    """Everything until the other side ends it; raises TimeoutError where no deadline does."""
    said = b""
    with contextlib.suppress(ConnectionResetError):  # of a connection on which something was left unread
        while piece := connection.recv(4096):
            said += piece
    return said


def _say(target: Target, content: bytes, tls: bool) -> socket.socket:
    connection = target.tls() if tls else target.bare()
    connection.sendall(content)
    return connection


@pytest.mark.parametrize(
    ("content", "tls", "end"),
    [
        (b"", False, "handshake_timed_out"),
        (b"\x16", False, "handshake_timed_out"),
        (b"\x16\x03\x01\x02\x00\x01", False, "handshake_timed_out"),
        (b"", True, "head_timed_out"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", True, "head_timed_out"),
    ],
    ids=["silence", "one byte of TLS", "half a hello", "idle TLS", "half a head"],
)
def test_who_sends_no_whole_head_holds_nobody_up_and_is_sent_away(
    target: Target, content: bytes, tls: bool, end: str
) -> None:
    with contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(_say(target, content, tls)) for _ in range(40 if not tls else 14)]
        target.answers()
        ends(held[-1])
    assert eventually(lambda: target.said(end))


def test_where_there_are_too_many_the_idle_make_room(target: Target) -> None:
    with contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(target.tls()) for _ in range(30)]
        target.answers()
        assert ends(held[0]) == b""
    assert eventually(lambda: target.said("evicted"))


def test_bodies_that_drip_hold_no_thread_and_end_at_their_deadline(target: Target) -> None:
    with contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(_say(target, head_of(target.place, 500_000) + b"x", True)) for _ in range(8)]
        target.answers()
        stop = threading.Event()
        dripping = threading.Thread(target=_drip, args=(held[-1], stop))
        dripping.start()
        try:
            status, media_type, content = answer_of(held[-1])
        finally:
            stop.set()
            dripping.join()
    assert (status, media_type) == (408, "application/problem+json")
    assert json.loads(content)["retryable"] is True
    assert eventually(lambda: target.said("body_too_slow"))


def _drip(connection: socket.socket, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not stop.wait(0.2):
            connection.sendall(b"x")


def test_a_caller_without_a_key_is_refused_before_a_byte_of_the_body_is_there(target: Target) -> None:
    with target.tls() as connection:
        connection.sendall(head_of(target.place, 60_000_000, 50_000, "application/vnd.apache.arrow.stream", key=""))
        status, media_type, _ = answer_of(connection)
    assert (status, media_type) == (401, "application/problem+json")
    assert eventually(lambda: target.said("body_refused"))


def test_bodies_take_the_memory_that_they_are_given_and_no_more(target: Target) -> None:
    """Six bodies of 48 MiB that lack their last byte: more than the gateway may have, were they in its memory."""
    length = 48 * 1024**2
    head = head_of(target.place, length, 50_000, "application/vnd.apache.arrow.stream")
    before = resident(target.gateway)
    with contextlib.ExitStack() as open_ones:
        for _ in range(6):
            open_ones.enter_context(_say(target, head, True)).sendall(bytes(length - 1))
        grown = resident(target.gateway) - before
        target.answers()
    assert grown < 100 * 1024**2, f"{grown / 1024**2:.0f} MiB more"


def test_health_is_answered_while_every_request_thread_waits(target: Target) -> None:
    content = body(1)
    with stopped(processes(target.home, "scorer.service.worker")), contextlib.ExitStack() as held:
        for _ in range(6):
            held.enter_context(_say(target, head_of(target.place, len(content), 1) + content, True))
        for _ in range(3):
            target.is_up()


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /\r\n", 400),
        (b"GET / HTTP/3.0\r\n", 505),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 60 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: a miracle\r\n\r\nx", 417),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"BREW /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_what_http_forbids_is_answered_as_every_problem(target: Target, request_bytes: bytes, expected: int) -> None:
    with target.tls() as connection:
        connection.sendall(request_bytes)
        status, media_type, content = answer_of(connection)
    assert (status, media_type) == (expected, "application/problem+json")
    assert json.loads(content)["status"] == expected
    assert b"<" not in content


def test_a_body_waits_for_the_word_where_its_caller_does(target: Target) -> None:
    content = body(2)
    head = head_of(target.place, len(content), 2).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
    with target.tls() as connection:
        connection.sendall(head)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(content)
        assert answer_of(connection)[0] == 200


def test_requests_sent_ahead_are_answered_in_turn(target: Target) -> None:
    content = body(2)
    score = head_of(target.place, len(content), 2) + content
    with target.tls() as connection:
        connection.sendall(score + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + score)
        assert connection.recv(1) == b"H"
        said = b"H"
        while said.count(b"HTTP/1.1 200 OK") < 3 and (piece := connection.recv(65536)):
            said += piece
    assert said.count(b"HTTP/1.1 200 OK") == 3


def test_another_protocol_is_not_answered(target: Target) -> None:
    with target.bare() as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert ends(plain) == b""
    assert eventually(lambda: target.said("handshake_failed"))
    target.is_up()
