"""The front over real TLS: what a caller could do by the way in which it spells, sends or breaks off a request."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filelock import FileLock
from flask import Flask
from structlog.testing import capture_logs

from scorer.service.access.api_keys import KeyFile, Terms
from scorer.service.gateway.app import QUICK_THREADS
from scorer.service.gateway.front.gate import ENVIRON_PERMIT, OpenPermit
from scorer.service.gateway.traffic.turns import PER_PROCESS
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.living import worker_name
from scorer.service.settings import GatewaySettings, Settings
from tests.unit.service.gateway.front.running import Running, answer_of, head, running_front, silent

SCORE = "/v1/models/lateral/score"
FEW = 2


@pytest.fixture
def front(settings: Settings) -> Iterator[Running]:
    with running_front(settings) as running:
        yield running


def bearer(settings: Settings, *scopes: str, expires: float | None = None) -> str:
    return "Authorization: Bearer " + KeyFile(settings.api_keys).add(scopes, terms=Terms(expires=expires))[1]


def batch(target: str, length: int, rows: int, *more: str) -> bytes:
    lines = [f"Content-Length: {length}", f"X-QScore-Rows: {rows}", "Content-Type: text/csv"]
    return head(f"POST {target} HTTP/1.1", *lines, *more)


def eventually(said: list[Any], **wanted: object) -> bool:
    """Tell whether the log has an entry with all that is wanted, within seconds."""
    until = time.monotonic() + 10.0
    while not any(wanted.items() <= entry.items() for entry in said):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("target", [f"/{SCORE}", f"/%2F{SCORE}", f"https://gateway/{SCORE}"])
def test_a_batch_waits_its_turn_however_its_path_is_spelled(settings: Settings, front: Running, target: str) -> None:
    """A path that the gate read in another way than the application took a thread that checks are made in."""
    key, reader = bearer(settings, "score"), bearer(settings, "read")
    queue = Exchange(redis_client(settings, server=FAST))
    queue.beat("score", worker_name("host", 1, 1))  # it takes nothing
    with contextlib.ExitStack() as held:
        callers = [held.enter_context(front.tls()) for _ in range(QUICK_THREADS + 1)]
        for caller in callers:
            caller.sendall(batch(target, 0, 1, key, "X-QScore-Timeout: 6"))
        until = time.monotonic() + 10.0
        while front.gateway.traffic.limits.batches < len(callers) and time.monotonic() < until:
            time.sleep(0.02)
        assert front.ask("GET /v1/models HTTP/1.1", reader).status == 200
        assert all(silent(caller) for caller in callers), "it came after theirs"
        assert queue.state().waiting["interactive"] <= PER_PROCESS


def test_what_the_gate_took_for_something_else_is_not_scored(settings: Settings, front: Running) -> None:
    key = bearer(settings, "score")
    lines = "Content-Length: 0", "X-QScore-Rows: 0", "Content-Type: text/csv", key
    assert front.ask(f"post {SCORE} HTTP/1.1", *lines).status == 501
    assert front.ask(f"PoST {SCORE} HTTP/1.1", *lines).status == 501
    assert front.ask("POST /v1//models/lateral/score HTTP/1.1", *lines).status == 404


def test_without_a_batchs_permit_the_application_scores_none(
    settings: Settings, application: Callable[..., Flask]
) -> None:
    key = KeyFile(settings.api_keys).add(["score"])[1]
    headers = {"Authorization": f"Bearer {key}", "X-QScore-Rows": "0", "Content-Type": "text/csv"}
    client = application(settings).test_client()
    let_in = {ENVIRON_PERMIT: OpenPermit(), "CONTENT_LENGTH": "0"}
    assert client.post(SCORE, headers=headers, environ_overrides=let_in).status_code == 500


@pytest.mark.parametrize(("line", "body"), [("Content-Length: 3", b"abc"), ("Expect: a miracle", b"")])
def test_the_answer_to_head_has_no_body_that_could_be_the_next_answer(front: Running, line: str, body: bytes) -> None:
    with front.tls() as connection:
        connection.sendall(head("HEAD /v1/models HTTP/1.1", line) + body)
        assert answer_of(connection, "HEAD").status in (400, 417)
        connection.sendall(head("GET /healthz HTTP/1.1"))
        assert answer_of(connection).body == b'{"status":"up"}\n'


def test_no_line_quotes_a_header_that_is_none(settings: Settings, front: Running) -> None:
    key = bearer(settings, "read")
    with capture_logs() as said:
        for line in (key.replace(":", " :", 1), key + "\x0b"):
            answer = front.ask("GET /v1/models HTTP/1.1", line)
            assert (answer.status, b"qsk_" in answer.body) == (400, False)
        assert eventually(said, end="head_refused")
    assert "qsk_" not in str(said)


@pytest.mark.parametrize("credentials", ["\xff", "YQ", "", "/w=="])
def test_a_browsers_password_that_is_none_is_refused(front: Running, credentials: str) -> None:
    with capture_logs() as said:
        assert front.ask("GET /docs HTTP/1.1", f"Authorization: Basic {credentials}").status == 401
    assert "failed" not in {entry["event"] for entry in said}


def _owes_its_body(connection: socket.socket) -> None:
    connection.sendall(head("POST /v1/token HTTP/1.1", "Content-Length: 9"))


def _owes_the_body_of_another_method(connection: socket.socket) -> None:
    connection.sendall(head(f"PUT {SCORE} HTTP/1.1", "Content-Length: 9"))


def _reads_nothing(connection: socket.socket) -> None:
    """Ask, and ask again, until the other side can send no more."""
    connection.settimeout(1.5)
    with contextlib.suppress(TimeoutError):
        while True:
            connection.sendall(head("GET /healthz HTTP/1.1") * 500)


@pytest.mark.parametrize("hold", [_owes_its_body, _owes_the_body_of_another_method, _reads_nothing])
def test_strangers_keep_no_connection_from_others(settings: Settings, hold: Any) -> None:
    few = GatewaySettings(connections=FEW, connections_per_address=FEW)
    with running_front(settings.model_copy(update={"gateway": few})) as front, contextlib.ExitStack() as held:
        for _ in range(FEW):
            hold(held.enter_context(front.tls(window=4096)))
        time.sleep(0.2)  # until the last one's head was read
        assert front.ask("GET /healthz HTTP/1.1").status == 200


def test_connections_that_break_leave_few_lines(front: Running) -> None:
    with capture_logs() as said:
        for _ in range(20):
            with socket.socket(fileno=front.tls().detach()) as beneath:
                beneath.settimeout(10.0)
                beneath.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)  # a record that nobody encrypted
                beneath.recv(4096)
        assert eventually(said, end="broken")
    assert len([entry for entry in said if entry["event"] == "connection"]) == 1


def test_a_body_that_is_broken_off_by_force_leaves_its_line(settings: Settings, front: Running) -> None:
    key = bearer(settings, "score")
    with capture_logs() as said:
        connection = front.tls()
        connection.sendall(batch(SCORE, 500, 1, key) + b"x")
        until = time.monotonic() + 10.0
        while not front.gateway.traffic.limits.batches and time.monotonic() < until:
            time.sleep(0.02)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert eventually(said, event="request", status=400, code="malformed_body")
    assert front.gateway.traffic.limits.batches == 0


def test_tokens_take_no_thread_of_a_batch(settings: Settings) -> None:
    """Exchanges wait for the audit record, as many as there are threads for batches, and another key's batch passes."""
    key, other = bearer(settings, "score"), bearer(settings, "score")
    settings.audit_dir.mkdir(mode=0o700)
    few = GatewaySettings(threads=FEW)
    with running_front(settings.model_copy(update={"gateway": few})) as front, contextlib.ExitStack() as held:
        held.enter_context(FileLock(settings.audit_dir / ".lock"))
        callers = [held.enter_context(front.tls()) for _ in range(FEW)]
        for caller in callers:
            caller.sendall(head("POST /v1/token HTTP/1.1", "Content-Length: 0", key))
        queue = redis_client(settings, server=FAST)
        until = time.monotonic() + 10.0
        while len(queue.keys("qscore:token:*")) < FEW and time.monotonic() < until:
            time.sleep(0.02)
        with front.tls() as passing:
            passing.sendall(batch(SCORE, 0, 0, other))
            assert answer_of(passing).status == 200
        assert all(silent(caller) for caller in callers), "it came after theirs"


def test_everybody_is_answered_while_the_audit_record_is_held(settings: Settings, front: Running) -> None:
    """An ended key that is presented gets an entry there; the event loop does not wait for it."""
    ended = bearer(settings, "score", expires=1.0)
    settings.audit_dir.mkdir(mode=0o700)
    asking = threading.Thread(target=lambda: front.ask(f"POST {SCORE} HTTP/1.1", "Content-Length: 0", ended))
    with FileLock(settings.audit_dir / ".lock"):
        asking.start()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            assert front.ask("GET /healthz HTTP/1.1").status == 200
        assert asking.is_alive()
    asking.join()
