"""Indices that are closed while a source is read: said once, shown as long as they are, and costing nobody a page."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import structlog
from elasticsearch import Elasticsearch

from demo.elasticsearch_server import free_port
from elastic_connector.lead.health import health_server, state_json
from elastic_connector.lead.heartbeat import heartbeat
from elastic_connector.read.closed_indices import EVERY, ClosedWatch
from scorer.elastic_client.settings import ElasticSource
from tests.unit.elastic_client.servers import Canned, scripted_server
from tests.unit.elastic_connector.leading import MODEL, NOW, Leader

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


def test_an_index_that_is_closed_in_the_middle_of_a_term_shows_everywhere(
    client: Elasticsearch, cluster: Cluster
) -> None:
    leader = Leader(client)
    term = leader.term(source=ElasticSource(name="flows", index="logs-*,-logs-qscore.*", model=MODEL))
    term.step()
    assert leader.status.closed_indices == ()
    cluster.closed = ["logs-a"]
    leader.ticks.now += EVERY
    term.step()
    status = leader.status
    assert status.closed_indices == ("logs-a",)
    assert orjson.loads(state_json(leader.board))["sources"][0]["closed_indices"] == ["logs-a"]
    with (
        health_server(leader.board, "127.0.0.1", free_port()) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
    ):
        metrics = answer.read()
    assert b'qscore_elastic_closed_indices{model="lateral_flow",source="flows"} 1.0' in metrics
    assert heartbeat(status, NOW)["qscore"]["heartbeat"]["closed_indices"] == ["logs-a"]
