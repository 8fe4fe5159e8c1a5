"""Cards from a gateway that hangs, fails or changes: a source that knows its card goes on at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import structlog
from cryptography.hazmat.primitives.serialization import Encoding

from demo.standins.https_server import EndpointHandler, HttpsEndpoint, endpoint_of
from elastic_connector.lead.cards import GatewayCards
from scorer.service.access.authority import new_authority
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Problem, QScoreError, UnknownModel, Unreachable
from scorer.wire.names import MEDIA_JSON, MEDIA_PROBLEM
from tests.unit.delivery.builders import make_card

KEY = "qsk_" + "k" * 40
SOURCES = 6
GUARD = 20.0  # seconds after which a test that would hang fails
KEEP = 30.0


class Handler(EndpointHandler):
    """Answers with a card, or with what the peer is told to; hangs while the peer hangs."""

    def do_GET(self) -> None:  # noqa: N802 (http.server's own name)
        peer: Peer = endpoint_of(self)
        peer.asked.append(self.path)
        peer.arrived.release()
        peer.open.wait(GUARD)
        card = make_card(name=self.path.split("/")[3].partition("?")[0], version=peer.version).to_dict()
        status, kind, body = 200, MEDIA_JSON, json.dumps(card).encode()
        if peer.refusal is not None:
            problem = Problem.of(peer.refusal)
            status, kind, body = problem.status, MEDIA_PROBLEM, problem.to_json()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Peer(HttpsEndpoint):
    """A gateway. ``open``: cleared, every answer hangs. ``arrived`` counts requests; ``now``: the cards' clock."""

    def __init__(self, folder: Path) -> None:
        authority = new_authority()
        certificate, key = authority.issue(["localhost"])
        (folder / "server.pem").write_bytes(certificate + key)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(authority.certificate.public_bytes(Encoding.PEM))
        super().__init__(Handler, folder / "server.pem")
        self.asked: list[str] = []
        self.arrived, self.open = threading.Semaphore(0), threading.Event()
        self.open.set()
        self.version, self.now = "7", 0.0
        self.refusal: QScoreError | None = None

    def cards(self) -> GatewayCards:
        return GatewayCards(self._client, KEEP, lambda: self.now)

    def _client(self) -> GatewayClient:
        return GatewayClient(self.url, KEY, str(self.ca), GUARD, "localhost")

    def wait(self) -> None:
        """Let the time pass that a card is kept."""
        self.now += KEEP

    def request_came(self) -> bool:
        """Wait for the next request that nobody has waited for."""
        return self.arrived.acquire(timeout=GUARD)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    with Peer(tmp_path) as peer:
        try:
            yield peer
        finally:
            peer.open.set()


def at_once(ask: Callable[[int], str]) -> list[str]:
    """What all sources get that ask together."""
    together = threading.Barrier(SOURCES)

    def one(source: int) -> str:
        together.wait(GUARD)
        return ask(source)

    pool = ThreadPoolExecutor(SOURCES)
    try:
        return list(pool.map(one, range(SOURCES), timeout=GUARD / 2))
    finally:
        pool.shutdown(wait=False)


def until(holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait for what a thread in the background does."""
    for _ in range(2000):
        if holds():
            return
        meanwhile()
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to that")


def test_sources_that_know_their_card_do_not_wait_for_a_gateway_that_hangs(peer: Peer) -> None:
    cards = peer.cards()
    assert cards("lateral", "live").version == "7"
    assert peer.request_came()
    peer.open.clear()
    peer.wait()
    assert at_once(lambda _source: cards("lateral", "live").version) == ["7"] * SOURCES
    assert peer.request_came(), "it is asked for beside them"
    peer.now += 10 * KEEP
    assert at_once(lambda _source: cards("lateral", "live").version) == ["7"] * SOURCES
    assert len(peer.asked) == 2, "one question at a time"


def test_a_source_that_waits_for_its_first_card_holds_up_no_other(peer: Peer) -> None:
    cards = peer.cards()
    cards("lateral", "live")
    assert peer.request_came()
    peer.open.clear()
    with ThreadPoolExecutor(2) as pool:
        try:
            waiting = [pool.submit(cards, name, "live") for name in ("lateral_flow", "other")]
            assert peer.request_came()
            assert peer.request_came(), "neither waits for the other's question"
            assert cards("lateral", "live").version == "7"
            assert not any(future.done() for future in waiting)
        finally:
            peer.open.set()
        assert [future.result(GUARD).name for future in waiting] == ["lateral_flow", "other"]


def test_a_gateway_that_fails_is_asked_once_in_the_time_that_a_card_is_kept(peer: Peer) -> None:
    cards = peer.cards()
    cards("lateral", "live")
    assert peer.request_came()
    peer.refusal = Unreachable("the gateway is being started", "Wait.")
    with structlog.testing.capture_logs() as logs:
        peer.wait()
        cards("lateral", "live")
        assert peer.request_came()
        until(lambda: bool(logs))
        for _ in range(100):
            assert cards("lateral", "live").version == "7"
        assert len(peer.asked) == 2
    assert [line["event"] for line in logs] == ["card_not_read"]


def test_a_new_version_shows_once_the_background_has_seen_it(peer: Peer) -> None:
    cards = peer.cards()
    assert cards("lateral", "live").version == "7"
    peer.version = "8"
    assert cards("lateral", "live").version == "7", "kept"
    until(lambda: cards("lateral", "live").version == "8", peer.wait)


def test_a_model_that_is_gone_is_said_and_may_come_back(peer: Peer) -> None:
    cards = peer.cards()
    cards("lateral", "live")
    peer.refusal = UnknownModel("there is no model lateral", "See `qscore models`.")

    def gone() -> bool:
        try:
            cards("lateral", "live")
        except UnknownModel:
            return True
        return False

    until(gone, peer.wait)
    peer.refusal = None
    until(lambda: not gone(), peer.wait)


@pytest.mark.parametrize("error", [Unreachable("away", "Wait."), UnknownModel("no model other", "Look.")])
def test_what_is_wrong_with_a_first_card_is_said_at_once(peer: Peer, error: QScoreError) -> None:
    peer.refusal = error
    with pytest.raises(type(error)):
        peer.cards()("other", "live")
