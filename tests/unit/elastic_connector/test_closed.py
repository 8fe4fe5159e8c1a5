"""Indices that are closed while a source is read: said once, shown as long as they are, and costing nobody a page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import structlog
from elasticsearch import Elasticsearch

from elastic_connector.lead.health import metrics_text, state_json
from elastic_connector.lead.heartbeat import heartbeat
from elastic_connector.lead.ledger import Totals
from elastic_connector.lead.shared import Setting
from elastic_connector.lead.status import Board, SourceStatus
from elastic_connector.lead.term import Term
from elastic_connector.read.closed_indices import EVERY, ClosedWatch
from elastic_connector.read.pages import RowPage
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.wire.card import ModelCard
from tests.unit.elastic_client.servers import Canned, scripted_server

NOW = 1_772_352_900_000  # milliseconds
MODEL = "lateral_flow"
MARK = "index.verified_before_close"


@dataclass
class Cluster:
    """``closed``: its closed indices; None: it is away."""

    closed: list[str] | None = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __call__(self, _method: str, path: str, _body: bytes) -> Canned:
        self.paths.append(path)
        if self.closed is None:
            return Canned(503, {"error": {"type": "unavailable", "reason": "starting"}})
        settings: dict[str, Any] = {"logs-open": {"settings": {}}, "logs-odd": 7, "logs-none": {"settings": None}}
        return Canned(200, settings | {name: {"settings": {MARK: "true"}} for name in self.closed})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Elasticsearch]:
    with scripted_server(cluster) as url, Elasticsearch(url, max_retries=0) as made:
        yield made


def test_what_is_closed_or_opened_is_said_once_at_most_a_minute_later(client: Elasticsearch, cluster: Cluster) -> None:
    now = [0.0]
    watch = ClosedWatch(client, "flows", "logs-*,-logs-x", lambda: now[0])
    steps: list[tuple[list[str] | None, tuple[str, ...]]] = [
        ([], ()),
        (["logs-b", "logs-a"], ("logs-a", "logs-b")),
        (None, ("logs-a", "logs-b")),
        (["logs-b"], ("logs-b",)),
    ]
    with structlog.testing.capture_logs() as logs:
        for closed, expected in steps:
            cluster.closed = closed
            assert watch.look() == expected
            cluster.closed = ["logs-c"]
            now[0] += EVERY - 1
            assert watch.look() == expected, "it is not asked at every look"
            now[0] += 1
    assert len(cluster.paths) == len(steps)
    assert cluster.paths[0].startswith("/logs-*,-logs-x/_settings/")
    said = [(line["event"], line["names"]) for line in logs if "names" in line]
    assert said == [("index_closed", ["logs-a", "logs-b"]), ("index_opened", ["logs-a"])]


class Quiet:
    """A reader that reads nothing, and a lease that is held."""

    checkpoint: int | None = NOW
    lost = False

    def held(self) -> bool:
        return True

    def resume(self, _checkpoint: int) -> Iterator[RowPage]:
        return iter(())

    waiting = resume

    def outcomes(self) -> list[Any]:
        return []

    def busy(self) -> bool:
        return False

    def millis(self) -> int:
        return NOW

    def now(self) -> float:
        return NOW / 1000.0


def test_an_index_that_is_closed_in_the_middle_of_a_term_shows_everywhere(
    client: Elasticsearch, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet: Any = Quiet()
    monkeypatch.setattr("elastic_connector.lead.term.build_reader", lambda _plan: quiet)
    quiet.round = lambda _since, _upper: iter(())
    board = Board([SourceStatus("flows", MODEL, "default")])
    source = ElasticSource(name="flows", index="logs-*,-logs-qscore.*", model=MODEL)
    card = ModelCard(MODEL, "7", "svc", "t", "rows", False, "quantum", "event", (), (), "m", 0.5, 0.01, {})
    setting = Setting(client, quiet, quiet, ElasticSettings(), quiet, board)
    term = Term(source, setting, threading.Event(), Totals(), card, quiet, quiet, NOW)
    term._step()
    assert board["flows"].closed_indices == ()
    cluster.closed = ["logs-a"]
    term._closed._due = term._next_round = 0.0  # a minute later
    term._step()
    status = board["flows"]
    assert status.closed_indices == ("logs-a",)
    assert orjson.loads(state_json(board))["sources"][0]["closed_indices"] == ["logs-a"]
    assert b'qscore_elastic_closed_indices{model="lateral_flow",source="flows"} 1.0' in metrics_text(board)
    assert heartbeat(status, NOW)["qscore"]["heartbeat"]["closed_indices"] == ["logs-a"]
