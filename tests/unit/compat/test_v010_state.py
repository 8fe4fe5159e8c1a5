"""The connector's state of 0.1.0: a lease goes on with its epoch and its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.lead.lease import Lease
from tests.unit.elastic_client.servers import Canned, scripted_server
from tests.v010 import content

CHECKPOINT = 1_790_000_400_254


@dataclass
class StateIndex:
    """One document, written under sequence-number guards as Elasticsearch does."""

    document: dict[str, Any]
    url: str = ""

    def answer(self, method: str, path: str, body: bytes) -> Canned:
        if "/authentication:lateral" not in path.replace("%3A", ":"):
            return Canned(404, {"found": False})
        if method == "GET":
            return Canned(200, self.document)
        number = self.document["_seq_no"]
        if f"if_seq_no={number}" not in path or "if_primary_term=1" not in path:
            return Canned(409, {"error": {"type": "version_conflict_engine_exception", "reason": path}})
        self.document = {**self.document, "_seq_no": number + 1, "_source": json.loads(body)}
        return Canned(200, {"_seq_no": number + 1, "_primary_term": 1, "result": "updated"})


@pytest.fixture
def index() -> Iterator[StateIndex]:
    made = StateIndex(content("state_held.json"))
    with scripted_server(made.answer) as url:
        made.url = url
        yield made


@dataclass
class Hand:
    """A monotonic clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", ["held", "released"])
def test_the_lease_goes_on_with_its_epoch_and_checkpoint(index: StateIndex, name: str) -> None:
    index.document, hand = content(f"state_{name}.json"), Hand()
    before = index.document["_source"]
    with Elasticsearch(index.url) as client:
        lease = Lease(client, "qscore-state", "authentication", "lateral", 15.0, 5.0, clock=hand)
        if name == "held":  # by a connector of 0.1.0 that still runs, or was killed
            assert not lease.acquire("2")
            hand.now += 15.1
        assert lease.acquire("2")
        assert lease.taken_over is (name == "held")
        assert (lease.epoch, lease.state and lease.state.checkpoint) == (6, CHECKPOINT)
        written = index.document["_source"]
        assert {part: written[part] for part in ("epoch", "source", "model", "version", "checkpoint")} == {
            "epoch": before["epoch"] + 1,
            "source": "authentication",
            "model": "lateral",
            "version": "2",
            "checkpoint": before["checkpoint"],
        }


def test_a_connector_of_0_1_0_that_still_runs_keeps_its_lease(index: StateIndex) -> None:
    hand = Hand()
    with Elasticsearch(index.url) as client:
        lease = Lease(client, "qscore-state", "authentication", "lateral", 15.0, 5.0, clock=hand)
        for _ in range(4):
            assert not lease.acquire("2")
            hand.now += 10.0
            index.document["_seq_no"] += 1  # it renews
        assert index.document["_source"] == content("state_held.json")["_source"]
