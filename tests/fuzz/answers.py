"""Answers over a connection, byte for byte: those of the gateway, of HEC, of splunkd and of Kibana."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from elastic_connector.install.kibana import Kibana, KibanaLogin
from scorer.delivery.hec.http import HecClient
from scorer.service.access.authority import new_authority
from scorer.wire.client import REPLY_HEADER, GatewayClient
from splunk_app.passwords import read_key
from tests.fuzz.target import Target
from tests.unit.delivery.builders import make_card

SECONDS = 3.0


class AnswerServer:
    """Answers every request with the bytes that are set, and closes."""

    def __init__(self, folder: Path) -> None:
        authority = new_authority()
        certificate, key = authority.issue(["localhost"])
        (folder / "server.pem").write_bytes(certificate + key)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / "server.pem")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.answer = b""
        self.folder: object = None  # what goes with this server
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            raw, _ = self._listener.accept()
            raw.settimeout(SECONDS)
            with contextlib.suppress(OSError), self._context.wrap_socket(raw, server_side=True) as connection:
                _read_request(connection)
                connection.sendall(self.answer)


def _read_request(connection: ssl.SSLSocket) -> None:
    """Read a request whole: closing before what is still to come would break the answer off as well."""
    data = b""
    while b"\r\n\r\n" not in data and (piece := connection.recv(1 << 16)):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    left = int(found[1]) - len(body) if found else 0
    while left > 0 and (piece := connection.recv(1 << 16)):
        left -= len(piece)


@functools.cache
def _server(_process: int) -> AnswerServer:
    """Make the server of this process: the thread of another does not come along when it forks."""
    folder = tempfile.TemporaryDirectory(prefix="qscore-fuzz-")
    server = AnswerServer(Path(folder.name))
    server.folder = folder
    return server


def http(body: bytes, media_type: str = "application/json", status: str = "200 OK", more: str = "") -> bytes:
    """Write one whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def targets() -> list[Target]:
    """List the clients, each with a server of this process."""

    def answered(ask: Callable[[AnswerServer], object]) -> Callable[[bytes], object]:
        def whole(raw: bytes) -> object:
            server = _server(os.getpid())
            server.answer = raw
            return ask(server)

        return whole

    def score(server: AnswerServer) -> object:
        with GatewayClient(server.url, "k" * 40, str(server.ca), timeout=SECONDS) as client:
            return client.score("lateral", b"events\n1\n", 1)

    def card(server: AnswerServer) -> object:
        with GatewayClient(server.url, "k" * 40, str(server.ca), timeout=SECONDS) as client:
            return client.card("lateral")

    def hec(server: AnswerServer) -> object:
        with HecClient(server.url, "t", server.ca, SECONDS).connected() as post:
            return post(b"{}")

    def kibana(server: AnswerServer) -> object:
        client = Kibana(server.url, KibanaLogin("u", "p"), server.ca, SECONDS)
        with contextlib.closing(client):
            return client.version(), client.rule("r")

    scored = REPLY_HEADER + b"0.5,50,low,0,0.1,0.4,,lateral,1,ok\n"
    counts = "X-QScore-Rows: 1\r\nX-QScore-Scored: 1\r\nX-QScore-Problems: {}\r\n"
    problem = b'{"code":"queue_full","detail":"x","remedy":"y","status":429,"retryable":true}'
    card_body = make_card().to_dict()
    return [
        Target(
            "answer to scoring",
            answered(score),
            (
                http(scored, "text/csv", more=counts),
                http(problem, "application/problem+json", "429 Too Many", "Retry-After: 2\r\n"),
            ),
            weight=2,
        ),
        Target("answer with a card", answered(card), (http(json.dumps(card_body).encode()),), weight=2),
        Target(
            "answer of HEC",
            answered(hec),
            (
                http(b'{"text":"Success","code":0}'),
                http(b'{"text":"Busy","code":9}', status="503 Busy", more="Retry-After: 1\r\n"),
                http(b'{"text":"Invalid data","code":6,"invalid-event-number":0}', status="400 Bad"),
            ),
            weight=2,
        ),
        Target(
            "answer of splunkd",
            answered(lambda server: read_key(server.url, "s", str(server.ca), "r", "u", SECONDS)),
            (
                http(b'{"entry":[{"content":{"clear_password":"p","realm":"r","username":"u"}}]}'),
                http(b"{}", status="403 No"),
            ),
            weight=2,
        ),
        Target(
            "answer of Kibana",
            answered(kibana),
            (
                http(b'{"version":{"number":"9.1.0"},"id":"r"}'),
                http(b'{"statusCode":404,"message":"x"}', status="404 Not"),
            ),
            weight=2,
        ),
    ]
