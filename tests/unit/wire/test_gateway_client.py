"""The gateway's client against a TLS server that answers with the bytes it was told to."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scorer.service.access.authority import new_authority
from scorer.wire.client import REPLY_HEADER, GatewayClient
from scorer.wire.errors import (
    BodyTooLarge,
    ConfigurationError,
    NonsenseReply,
    Problem,
    ScoringTimeout,
    Unauthorised,
    UnknownModel,
    Unreachable,
)
from scorer.wire.names import MAX_BODY_BYTES, MAX_ROWS
from scorer.wire.options import ScoreOptions
from scorer.wire.transport import reach

KEY = "qsk_" + "k" * 40
LINE = b"0.5,50,low,0,0.1,0.4,,lateral,1,ok\n"


def http(body: bytes, status: str = "200 OK", kind: str = "text/csv", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def scores(rows: int = 1, body: bytes | None = None, **headers: str) -> bytes:
    content = REPLY_HEADER + LINE * rows if body is None else body
    given = {"X_QScore_Rows": str(rows), "X_QScore_Scored": str(rows), "X_QScore_Problems": "{}"} | headers
    return http(content, **given)


class Scripted:
    """Answers each request with the next script entry: bytes, or pieces with a pause before each; None closes."""

    def __init__(self, folder: Path, script: Sequence[bytes | list[bytes] | None], pause: float = 0.0) -> None:
        authority = new_authority()
        certificate, key = authority.issue(["localhost"])
        (folder / "server.pem").write_bytes(certificate + key)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(folder / "server.pem")
        self._script, self._pause = list(script), pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._script.clear()
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
            raw.settimeout(10)
            with contextlib.suppress(OSError), self._context.wrap_socket(raw, server_side=True) as connection:
                while self._script and self._answer(connection):
                    pass

    def _answer(self, connection: ssl.SSLSocket) -> bool:
        request = _read_request(connection)
        if not request:
            return False
        self.requests.append(request)
        entry = self._script.pop(0)
        for piece in entry if isinstance(entry, list) else [entry or b""]:
            time.sleep(self._pause)
            connection.sendall(piece)
        return entry is not None


def _read_request(connection: ssl.SSLSocket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next((int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length")), 0)
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest


Serve = Callable[..., contextlib.AbstractContextManager[tuple[Scripted, GatewayClient]]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    @contextlib.contextmanager
    def start(
        *script: bytes | list[bytes] | None, pause: float = 0.0, timeout: float = 5.0
    ) -> Iterator[tuple[Scripted, GatewayClient]]:
        with (
            Scripted(tmp_path, script, pause) as server,
            GatewayClient(server.url, KEY, str(server.ca), timeout) as client,
        ):
            yield server, client

    return start


def test_a_good_reply_and_what_was_sent(serve: Serve) -> None:
    problems = json.dumps({"missing_feature": 1})
    answer = scores(2, X_QScore_Version="3", X_QScore_Batch="batch-77", X_QScore_Scored="1", X_QScore_Problems=problems)
    with serve(answer) as (server, client):
        reply = client.score("lateral", b"a\n1\n2\n", 2, ScoreOptions("3", threshold=0.25), "batch-77", submitter="me")
    assert reply.body == REPLY_HEADER + LINE * 2
    assert (reply.version, reply.batch_id, reply.rows, reply.scored) == ("3", "batch-77", 2, 1)
    assert reply.problems == {"missing_feature": 1}
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b"a\n1\n2\n"
    assert head.startswith(
        b"POST /v1/models/lateral/score?version=3&explain=alerts&write=false&threshold=0.25 HTTP/1.1"
    )
    for line in (
        f"Authorization: Bearer {KEY}",
        "X-QScore-Rows: 2",
        "X-QScore-Batch: batch-77",
        "X-QScore-Submitter: me",
    ):
        assert line.encode() in head


def test_one_connection_serves_many_batches(serve: Serve) -> None:
    with serve(scores(), scores(), scores()) as (server, client):
        for _ in range(3):
            client.score("lateral", b"a\n1\n", 1)
    assert server.connections == 1


def test_a_kept_connection_that_was_closed_is_opened_again(serve: Serve) -> None:
    with serve(scores(Connection="keep-alive"), None, scores()) as (server, client):
        client.score("lateral", b"a\n1\n", 1)
        assert client.score("lateral", b"a\n1\n", 1).rows == 1
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "did not answer in HTTP"),
        (http(b"<html>", kind="text/html"), "instead of text/csv"),
        (http(b"moved", "302 Found", Location="https://elsewhere/"), "status 302 came back without a problem"),
        (http(b"oops", "500 Internal Server Error", "text/html"), "status 500 came back without a problem"),
        (http(b"[]", "500 Internal Server Error", "application/problem+json"), "a problem without a code"),
        (scores(2), "1 rows were sent and 2 came back"),
        (scores(1, X_QScore_Rows="one"), "X-QScore-Rows is 'one'"),
        (scores(1, X_QScore_Rows="١"), "X-QScore-Rows is"),
        (scores(1, REPLY_HEADER + LINE * 3), "not one line of scores per row"),
        (scores(1, REPLY_HEADER + LINE[:-1]), "not one line of scores per row"),
        (scores(1, b"other,header\n" + LINE), "not one line of scores per row"),
        (scores(1, X_QScore_Problems="[1]"), "not a table of counts"),
        (scores(1, X_QScore_Problems='{"Made, up": 1}'), "not a table of counts"),
        (scores(1, X_QScore_Problems="{" * 9000), "not JSON"),
        (scores(1).replace(b"Content-Length: ", b"Content-Length: 99999999"), "announced"),
        (scores(1, REPLY_HEADER + b"x" * 100_000 + b"\n"), "announced"),
    ],
)
def test_nonsense_is_named(serve: Serve, answer: bytes, what: str) -> None:
    with serve(answer) as (_server, client), pytest.raises(NonsenseReply) as caught:
        client.score("lateral", b"a\n1\n", 1)
    assert what in caught.value.sentence()
    assert "qscore status" in caught.value.remedy or "problem without" in what


def test_a_reply_cut_short_is_no_reply(serve: Serve) -> None:
    with serve([scores(1)[:-5], b""]) as (server, client), pytest.raises((NonsenseReply, Unreachable)):
        client.score("lateral", b"a\n1\n", 1)
    assert server.connections == 1


def test_a_reply_that_ends_its_connection_is_read_whole(serve: Serve) -> None:
    rows = 4_000  # more bytes than are received at once
    with serve(scores(rows, Connection="close"), scores()) as (server, client):
        assert client.score("lateral", b"a\n" + b"1\n" * rows, rows).rows == rows
        assert client.score("lateral", b"a\n1\n", 1).rows == 1
    assert server.connections == 2


def test_problems_become_the_errors_that_they_were(serve: Serve) -> None:
    refused = Problem.of(UnknownModel("there is no model x", "List them."))
    answer = http(refused.to_json(), "404 Not Found", "application/problem+json")
    stranger = http(Problem.of(Unauthorised("nobody knows this key")).to_json(), "401 No", "application/problem+json")
    with serve(answer, stranger) as (_server, client):
        with pytest.raises(UnknownModel, match="there is no model x"):
            client.card("x")
        with pytest.raises(Unauthorised):
            client.card("x")


def test_the_timeout_is_of_the_whole_exchange(serve: Serve) -> None:
    """A byte every 50 ms never lets a receive time out; the exchange must end all the same."""
    with (
        serve([bytes([b]) for b in scores(1)], pause=0.05) as (_server, client),
        pytest.raises(ScoringTimeout, match=r"within 0\.5 s"),
    ):
        client.score("lateral", b"a\n1\n", 1, timeout=0.5)


def test_after_a_timeout_the_next_batch_gets_its_own_answer(serve: Serve) -> None:
    late = scores(1, REPLY_HEADER + LINE.replace(b"0.5", b"0.9"))
    with serve([b"", late], scores(1), pause=0.4) as (_server, client):
        with pytest.raises(ScoringTimeout):
            client.score("lateral", b"a\n1\n", 1, timeout=0.2)
        assert client.score("lateral", b"a\n1\n", 1).body == REPLY_HEADER + LINE


def test_an_address_that_hangs_leaves_time_for_the_next() -> None:
    """A name may have several; the first here has no room for another connection, and drops what asks for one."""
    with contextlib.ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        with contextlib.suppress(OSError):
            for _ in range(20):
                held.enter_context(socket.create_connection(full.getsockname(), timeout=0.3))
        alive = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        found = [_found(server) for server in (full, full, alive)]
        with reach(found, time.monotonic() + 3) as reached:
            assert reached.getpeername() == alive.getsockname()
        with pytest.raises(TimeoutError):
            reach(found[:2], time.monotonic() + 0.3)


def _found(server: socket.socket) -> Any:
    host, port = server.getsockname()
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        GatewayClient(f"https://127.0.0.1:{port}", KEY) as client,
        pytest.raises(Unreachable, match="Connection refused"),
    ):
        client.card("lateral")


def test_a_server_without_tls_and_one_of_another_authority(serve: Serve, tmp_path: Path) -> None:
    with (
        serve(scores()) as (server, _client),
        GatewayClient(server.url, KEY) as stranger,
        pytest.raises(Unreachable, match=r"certificate of .* was not accepted"),
    ):
        stranger.score("lateral", b"a\n1\n", 1)
    other = tmp_path / "other"
    other.mkdir()
    with (
        Scripted(other, [scores()]) as server,
        GatewayClient(server.url.replace("localhost", "127.0.0.1"), KEY, str(server.ca)) as misnamed,
        pytest.raises(Unreachable, match="not accepted"),
    ):
        misnamed.score("lateral", b"a\n1\n", 1)


def test_a_name_of_the_certificate_may_be_given(tmp_path: Path) -> None:
    with Scripted(tmp_path, [scores()]) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        with GatewayClient(url, KEY, str(server.ca), server_hostname="localhost") as client:
            assert client.score("lateral", b"a\n1\n", 1).rows == 1


def test_too_much_is_refused_before_it_is_sent() -> None:
    client = GatewayClient("https://localhost:1", KEY)
    with pytest.raises(BodyTooLarge):
        client.score("lateral", b"", MAX_ROWS + 1)
    with pytest.raises(BodyTooLarge):
        client.score("lateral", bytes(MAX_BODY_BYTES + 1), 1)
    with pytest.raises(UnknownModel):
        client.score("../etc", b"", 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8417",
        "localhost:8417",
        "https://",
        "https://a:b@host",
        "https://h/x",
        "https://h:99999",
        "https://h?x=1",
        "",
    ],
)
def test_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not of the form https://host"):
        GatewayClient(url, KEY)


def test_keys_and_authorities_that_cannot_work(tmp_path: Path) -> None:
    for key in ("", "short", KEY + "\r\nX: y", KEY + " "):
        with pytest.raises(ConfigurationError, match="key is empty or holds characters"):
            GatewayClient("https://localhost", key)
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "absent.pem"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            GatewayClient("https://localhost", KEY, str(tmp_path / name))
