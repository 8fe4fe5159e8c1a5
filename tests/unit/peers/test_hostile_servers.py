"""Whatever a server says, who asked it hears one named error, soon, and the secret goes nowhere else."""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from scorer.delivery.sink import SinkBusy, SinkRefused
from scorer.elastic_client.failures import reached
from scorer.wire.client import REPLY_HEADER, GatewayClient
from scorer.wire.errors import QScoreError
from tests.unit.peers.conftest import SECRET, TIMEOUT, Client, Each, Tls, elastic_client
from tests.unit.peers.hostile import DRIP, ENDINGS, PATIENCE, REDIRECTS, SAYINGS, Hostile, Pieces, answer

#: Where nothing came of it: of a sink they are faults of their own.
NAMED = (QScoreError, SinkBusy, SinkRefused)
#: Seconds after which an exchange must be over; four timeouts are possible for one that moves much, the rest is for
#: machines that others share.
SOON = 12.0
MEMORY = 600 * 1024  # KiB, for five at a time: the largest answer of Elasticsearch, unpacked, and copies of it


def empty() -> Pieces:
    return iter([answer(b"{}")])


@pytest.mark.parametrize("said", SAYINGS)
def test_no_saying_holds_a_client_up_or_fills_its_memory(each: Each, tls: Tls, said: str) -> None:
    def work(client: Client) -> None:
        with Hostile(tls.server, SAYINGS[said]) as server:
            started = time.monotonic()
            with pytest.raises(NAMED) as caught:
                client.ask(server.url, TIMEOUT)
            taken = time.monotonic() - started
        assert server.connections
        assert server.left, "the client would have stayed"
        assert taken < SOON < PATIENCE
        if said.endswith("by drips"):  # what counts is time, which a slow machine takes from both sides
            assert server.pieces < 2 * TIMEOUT / DRIP
        assert SECRET not in str(caught.value)
        assert len(str(caught.value)) < 1500

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    each(work)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


@pytest.mark.parametrize("end", ENDINGS)
def test_an_answer_that_breaks_off_is_none(each: Each, tls: Tls, end: str) -> None:
    def work(client: Client) -> None:
        with Hostile(tls.server, lambda: iter([ENDINGS[end]]), ends=True) as server, pytest.raises(NAMED):
            client.ask(server.url)
        assert len(server.requests) == 1

    each(work)


@pytest.mark.parametrize("status", REDIRECTS)
def test_no_redirect_is_followed_and_no_secret_goes_elsewhere(each: Each, tls: Tls, status: int) -> None:
    def work(client: Client) -> None:
        for location in (elsewhere.url.encode(), b"//127.0.0.1:%d/x" % elsewhere.port):
            head = b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nX-Elastic-Product: Elasticsearch\r\n" % (status, location)
            redirect = [answer(b"", head)]
            with Hostile(tls.server, redirect.__iter__, ends=True) as server, pytest.raises(NAMED):
                client.ask(server.url)
            assert len(server.requests) == 1
            assert SECRET.encode() in server.requests[0]

    with Hostile(tls.server, empty, ends=True) as elsewhere:
        each(work)
    assert elsewhere.connections == 0


VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")


def test_no_proxy_of_the_environment_is_asked(each: Each, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(client: Client) -> None:
        with Hostile(tls.server, empty, ends=True) as server, contextlib.suppress(*NAMED):
            client.ask(server.url)
        assert len(server.requests) == 1
        assert not server.requests[0].startswith(b"CONNECT")

    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in VARIABLES:
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        each(work)
        proxy.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_server_of_another_authority_hears_no_secret(each: Each, tls: Tls, tmp_path: Path) -> None:
    def work(client: Client) -> None:
        with Hostile(tls.server, empty) as server, pytest.raises(NAMED):
            client.ask(server.url, authority=tmp_path / "other.pem")
        assert server.connections >= 1
        assert server.requests == []

    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    each(work)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.*:DeprecationWarning")
def test_a_server_of_old_tls_hears_no_secret(each: Each, tls: Tls, version: ssl.TLSVersion) -> None:
    def work(client: Client) -> None:
        with Hostile(tls.server, empty, versions=(version, version)) as server, pytest.raises(NAMED):
            client.ask(server.url)
        assert server.requests == []

    each(work)


@pytest.mark.parametrize("url", ["http://10.0.0.1:1", "http://search.example:1", "ftp://127.0.0.1:1", "file:///etc/x"])
def test_no_secret_leaves_this_machine_unencrypted(each: Each, url: str) -> None:
    def work(client: Client) -> None:
        with pytest.raises(NAMED, match=r"https|unencrypted"):
            client.ask(url)

    each(work)


@pytest.mark.parametrize("said", [b"", b"\x16"], ids=["nothing", "bytes by drips"])
def test_who_never_ends_the_handshake_is_left(each: Each, said: bytes) -> None:
    def work(client: Client) -> None:
        with _mute(said) as port:
            started = time.monotonic()
            with pytest.raises(NAMED):
                client.ask(f"https://127.0.0.1:{port}", TIMEOUT)
            assert time.monotonic() - started < SOON

    each(work)


@contextlib.contextmanager
def _mute(said: bytes) -> Iterator[int]:
    """A listener that begins a record of TLS and goes on with it byte by byte, or says nothing."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connected, _ = listener.accept()
            with connected:
                connected.sendall(b"\x16\x03\x03\x40\x00" if said else b"")
                while not stop.wait(0.05):
                    connected.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stop.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


_LINE = b"0.5,50,low,0,0.1,0.4,,lateral,1,ok\n"
_COUNTS = b"Content-Type: text/csv\r\nX-QScore-Rows: 1\r\nX-QScore-Scored: 1\r\nX-QScore-Problems: {}\r\n"
GOOD = {
    "gateway": answer(REPLY_HEADER + _LINE, b"HTTP/1.1 200 OK\r\n" + _COUNTS),
    "splunkd": answer(b'{"entry": [{"content": {"clear_password": "the-key"}}]}'),
    "HEC": answer(b'{"text": "Success", "code": 0}'),
    "Elasticsearch": answer(b'{"version": {"number": "8.19.0"}}'),
    "Kibana": answer(b'{"version": {"number": "9.1.0"}}'),
}


def test_a_good_answer_is_heard_by_each_also_in_pieces(each: Each, tls: Tls) -> None:
    """What all of the above would be worth nothing without. Interim answers before it are passed over."""

    def work(client: Client) -> None:
        good = GOOD[client.name]
        for pieces in ([good], [b"HTTP/1.1 100 Continue\r\n\r\n", good[:9], good[9:60], good[60:]]):
            with Hostile(tls.server, pieces.__iter__, ends=True) as server:
                assert client.ask(server.url)
            assert SECRET.encode() in server.requests[0]

    each(work)


LARGE: Any = b"5," * 8 * 1024 * 1024


def post_to_gateway(url: str, authority: Path, _folder: Path) -> None:
    with GatewayClient(url, SECRET, str(authority), TIMEOUT) as client:
        client.score("lateral", LARGE, 50_000)


def post_to_elastic(url: str, authority: Path, folder: Path) -> None:
    with contextlib.closing(elastic_client(url, authority, folder, TIMEOUT)) as client, reached("write scores"):
        client.bulk(operations=LARGE)


@pytest.mark.parametrize("post", [post_to_gateway, post_to_elastic])
def test_a_server_that_hardly_reads_is_left(tls: Tls, tmp_path: Path, post: Callable[[str, Path, Path], None]) -> None:
    with Hostile(tls.server, empty, reads=1024) as server:
        started = time.monotonic()
        with pytest.raises(QScoreError):
            post(server.url, tls.authority, tmp_path)
        assert time.monotonic() - started < SOON
