"""What fails between a page and its batch must not cost the page: half answered look-ups, a clock that is away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.history.backfill import Backfill, HistoryScope, LiveLag
from elastic_connector.history.reconcile import present_documents
from elastic_connector.history.unscored import VersionScores
from elastic_connector.lead.batches import Sender, StreamRoute
from elastic_connector.lead.ledger import Batch
from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.documents import EventShaper
from elastic_connector.read.events import EventReader, event_reader
from elastic_connector.read.pages import RowPage
from elastic_connector.read.snapshot import SnapshotLost, Snapshots
from elastic_connector.read.source_documents import ReadSettings
from scorer.elastic_client.bounded import ANSWER_BYTES
from scorer.elastic_client.client import connect
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.failures import ElasticBusy
from scorer.elastic_client.moments import Millis
from scorer.elastic_client.settings import ElasticSettings
from scorer.rows.columns import DEFECT_COLUMN, TIME_COLUMN
from scorer.rows.recipe import load_recipe
from scorer.wire.errors import ArtifactRejected
from tests.unit.elastic_client.servers import Canned, scripted_server
from tests.unit.elastic_connector.leading import QueueEnd, page

MODEL = "lateral_flow"
AT = Millis(1_772_352_900_000)
LATER = Millis(AT + 10)
STARTING = {"type": "no_shard_available_action_exception", "reason": "the shard is starting"}


@dataclass
class Cluster:
    """One document of a source; ``mget``: its entry in the answers, one after the other. Notes what was asked."""

    mget: list[dict[str, Any]] = field(default_factory=list)
    routing: str | None = None
    lost: bool = False
    epoch: list[Canned] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    searches: int = 0
    overtaxed: int = 0  # searches that the server does not survive
    sizes: list[int] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=lambda: {"@timestamp": AT})

    def __call__(self, _method: str, path: str, body: bytes) -> Canned:
        if path.startswith("/_cat/health"):
            return self.epoch.pop(0)
        if path.endswith("/_mget") or "/_mget?" in path:
            self.asked += json.loads(body)["docs"]
            return Canned(200, {"docs": [{"_index": "logs-a", "_id": "d1", **self.mget.pop(0)}]})
        if "/_settings/index.creation_date" in path:
            return Canned(404, {"error": {"type": "index_not_found_exception", "reason": "no scores yet"}})
        if "/_search" in path:
            return self._search(json.loads(body))
        return Canned(200, {"id": "snapshot", "_shards": {"total": 1}, "succeeded": True})

    def _search(self, body: dict[str, Any]) -> Canned:
        self.searches += 1
        self.sizes.append(body["size"])
        if self.overtaxed:
            self.overtaxed -= 1
            return Canned(503, {"error": {"type": "node_disconnected_exception", "reason": "gone"}})
        if self.lost:
            return Canned(404, {"error": {"type": "search_context_missing_exception", "reason": "gone"}})
        hit: dict[str, Any] = {"_index": "logs-a", "_id": "d1", "sort": [AT, 1]}
        hit |= {"_routing": self.routing} if self.routing else {}
        if body["_source"]:
            hit["_source"] = self.source
        return Canned(200, {"hits": {"hits": [] if "search_after" in body else [hit]}})


@pytest.fixture
def serve() -> Iterator[Callable[[Cluster], Elasticsearch]]:
    opened: list[Any] = []

    def make(cluster: Cluster) -> Elasticsearch:
        server = scripted_server(cluster)
        client = Elasticsearch(server.__enter__(), max_retries=0)
        opened.append((server, client))
        return client

    yield make
    for server, client in opened:
        client.close()
        server.__exit__(None, None, None)


def reader(client: Elasticsearch) -> EventReader:
    settings = ReadSettings("event.ingested", "", page=50, overlap=5.0, settle=0.0)
    shaper = EventShaper(card_recipe(load_recipe(MODEL).to_dict()))
    return event_reader(Snapshots(client, "logs-a"), shaper, settings, lambda _keys: set(), lambda: LATER, AT)


FOUND = {"found": True, "_source": {"@timestamp": AT}}


def test_a_late_document_whose_shard_is_starting_is_read_again_and_not_taken_for_deleted(
    serve: Callable[[Cluster], Elasticsearch],
) -> None:
    reading = reader(serve(Cluster([{"error": STARTING}, FOUND])))
    with pytest.raises(ElasticBusy, match="the shard is starting"):
        list(reading.resume(AT))
    assert [page.table["origin_id"].to_pylist() for page in reading.resume(AT)] == [["d1"]]


def test_a_late_document_that_was_deleted_is_nobodys_to_score(serve: Callable[[Cluster], Elasticsearch]) -> None:
    gone = {"error": {"type": "index_not_found_exception", "reason": "no such index"}}
    reading = reader(serve(Cluster([{"found": False}, gone])))
    assert list(reading.resume(AT)) == []
    assert list(reading.resume(AT)) == []


def test_a_late_document_is_fetched_by_its_routing(serve: Callable[[Cluster], Elasticsearch]) -> None:
    cluster = Cluster([FOUND], routing="tenant-7")
    list(reader(serve(cluster)).resume(AT))
    assert cluster.asked == [{"_index": "logs-a", "_id": "d1", "routing": "tenant-7"}]


def test_snapshots_that_are_lost_again_and_again_end_the_round(serve: Callable[[Cluster], Elasticsearch]) -> None:
    cluster = Cluster(lost=True)
    with pytest.raises(SnapshotLost):
        list(reader(serve(cluster)).round(AT, Millis(AT + 1)))
    assert cluster.searches == 4


def test_a_page_that_the_server_did_not_survive_is_asked_for_smaller(serve: Callable[[Cluster], Elasticsearch]) -> None:
    """Five megabytes in each of two hundred documents: the same page again would end the server again."""
    cluster = Cluster(overtaxed=2)
    reading = reader(serve(cluster))
    for _ in range(2):
        with pytest.raises(ElasticBusy):
            list(reading.round(AT, Millis(AT + 1)))
    assert [page.table["origin_id"].to_pylist() for page in reading.round(AT, Millis(AT + 1))] == [["d1"]]
    assert cluster.sizes[:3] == [50, 12, 3]


def test_a_document_that_is_too_large_for_any_answer_is_written_as_an_error(tmp_path: Path) -> None:
    huge = {"@timestamp": AT, "network": {"transport": "x" * (ANSWER_BYTES + 1)}}
    cluster = Cluster([{"found": True, "_source": huge}], source=huge)
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("a2V5OnNlY3JldA==")
    with scripted_server(cluster) as url:
        client = connect(ElasticSettings(url=url, api_key_file=key))
        pages = [*reader(client).round(AT, Millis(AT + 1)), *reader(client).resume(AT)]
        client.close()
    assert cluster.sizes[:5] == [50, 12, 3, 1, 1]
    for read in pages:
        (row,) = read.table.to_pylist()
        assert (row["origin_id"], row[TIME_COLUMN]) == ("d1", AT / 1000)
        assert row[DEFECT_COLUMN].startswith("not_scored: the fields that are read of the document are larger")
    assert len(pages) == 2


def test_reconciling_takes_no_score_for_an_orphan_while_a_shard_is_starting(
    serve: Callable[[Cluster], Elasticsearch],
) -> None:
    client = serve(Cluster([{"error": STARTING}]))
    with pytest.raises(ElasticBusy, match="the shard is starting"):
        present_documents(client, [("logs-a", "d1")])


def test_the_clock_goes_on_while_the_server_is_away(serve: Callable[[Cluster], Elasticsearch]) -> None:
    away = Canned(503, {"error": {"type": "unavailable", "reason": "starting"}})
    answers = [away, Canned(200, [{"epoch": "1000"}]), away, Canned(200, [{"epoch": "5000"}])]
    clock = ServerClock(serve(Cluster(epoch=answers)), own=lambda: 1000.0, ask_every=0.0)
    with pytest.raises(ElasticBusy):
        clock.now()  # it has never said what time it is
    assert 1000.0 <= clock.now() < 1010.0
    assert 1000.0 <= clock.now() < 1010.0, "the answer before still holds"
    assert len(answers) == 1
    assert 1000.0 <= clock.now() < 1010.0
    assert len(answers) == 1, "a server that is away is not asked at every call"


class Finished:
    """The lease of work that was done once before: its state is gone, its number begins anew."""

    id = "flows:job"
    seconds, look_every, renew_every = 15.0, 1.0, 1000.0
    state = None
    released = False

    def __init__(self) -> None:
        self.epoch = 0

    def acquire(self, _version: str) -> bool:
        self.epoch = 1
        return True

    def advance(self, epoch: int) -> None:
        self.epoch = epoch

    def release(self, _checkpoint: int | None = None) -> None:
        self.released = True


@dataclass
class Announced(QueueEnd):
    """The end of a queue that knows a leader of the number ``in_force``."""

    in_force: int = 1
    route: StreamRoute | None = None

    def announce(self) -> int:
        return self.in_force


def backfill(queue: Announced, lease: Finished, pages: list[RowPage], client: Elasticsearch) -> Backfill:
    def sender(route: StreamRoute) -> Sender:
        queue.route = route
        return cast("Sender", queue)

    held: Any = lease
    scope = HistoryScope("flows", MODEL, "1", "default", AT, Millis(AT + 1000))
    scores = VersionScores.of(client, "default", "dc", MODEL, "1")
    return Backfill(
        scope, lambda _start: iter(pages), scores, held, sender, lambda: AT / 1000.0, LiveLag(lambda: None), 100, 60.0
    )


def test_a_range_that_was_worked_on_before_goes_on_above_its_earlier_number(
    serve: Callable[[Cluster], Elasticsearch],
) -> None:
    queue, lease = Announced(in_force=4), Finished()
    backfill(queue, lease, [], serve(Cluster())).run()
    assert lease.epoch == 5, "workers drop what an earlier number has sent"
    assert queue.route is not None
    assert queue.route.epoch == 5
    assert lease.released


class Refusing(Announced):
    """A queue whose workers cannot use the model."""

    def send(self, batch: Batch) -> None:
        super().send(batch)
        self.refuse(batch, ArtifactRejected("the signature is wrong", "Publish it again."))


def test_a_model_that_cannot_be_used_ends_a_backfill_and_marks_no_row(
    serve: Callable[[Cluster], Elasticsearch],
) -> None:
    queue, lease = Refusing(), Finished()
    with pytest.raises(ArtifactRejected, match="the signature is wrong"):
        backfill(queue, lease, [page(2, AT + 1)], serve(Cluster())).run()
    assert [batch.rows for batch in queue.sent] == [2], "it was not cut into rows that get the blame"
    assert lease.released
