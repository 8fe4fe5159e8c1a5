"""The reader on a real server with the runtime key: every document once, whatever happens to indices and snapshots."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.closed_indices import closed_indices
from elastic_connector.read.documents import EventShaper
from elastic_connector.read.events import EventReader, event_reader
from elastic_connector.read.memory import Key
from elastic_connector.read.pages import RowPage, RowReader
from elastic_connector.read.readers import ReaderPlan, build_reader, read_settings
from elastic_connector.read.snapshot import PointInTime, Snapshots
from elastic_connector.read.source_documents import PAGE_BYTES, ReadSettings
from scorer.elastic_client.bounded import ANSWER_BYTES
from scorer.elastic_client.client import connect
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.moments import Millis
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.registry.store import card_of
from scorer.rows.recipe import load_recipe
from scorer.wire.errors import ConfigurationError, Forbidden
from tests.conftest import make_tiny_model
from tests.elastic.conftest import Server
from tests.elastic.run_tools import MAPPINGS, MODEL, connection

T0 = 1_772_352_900_000  # milliseconds
SECOND = 1000


@dataclass
class Place:
    """A source of this test alone: ``name`` is the beginning of all its indices."""

    server: Server
    client: Elasticsearch
    name: str
    opened: list[PointInTime] = field(default_factory=list)

    def index(self, suffix: str = "", mappings: dict[str, Any] | None = None) -> str:
        name = f"{self.name}{suffix}"
        self.server.admin.indices.create(index=name, mappings=MAPPINGS if mappings is None else mappings)
        return name

    def add(self, index: str, numbers: Sequence[int], at: int, **more: Any) -> None:
        """Documents ``d<number>`` that arrived at ``at`` and the milliseconds after it."""
        documents = ({"_index": index, "_id": f"d{k}", **connection(k, (at + k) / 1000), **more} for k in numbers)
        helpers.bulk(self.server.admin, documents, refresh=True)

    def reader(
        self,
        pattern: str = "",
        scored: set[Key] | None = None,
        now: int = T0 + 60 * SECOND,
        client: Elasticsearch | None = None,
        clock: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> EventReader:
        values = {"time_field": "event.ingested", "query": "", "page": 50, "overlap": 5.0, "settle": 0.0, **settings}
        shaper = EventShaper(card_recipe(load_recipe(MODEL).to_dict()))
        known = scored or set()
        return event_reader(
            Recording(client or self.client, pattern or f"{self.name}*", self.opened),
            shaper,
            ReadSettings(**values),
            lambda keys: known & set(keys),
            lambda: Millis(now),
            Millis(T0 + 3600 * SECOND),
            clock,
        )


@dataclass(frozen=True)
class Recording(Snapshots):
    """Remembers what it opened, so that a test can take it away on the server."""

    opened: list[PointInTime] = field(default_factory=list)  # type: ignore[assignment]  # shadows a method unused here

    def __init__(self, client: Elasticsearch, index: str, opened: list[PointInTime]) -> None:
        super().__init__(client, index)
        object.__setattr__(self, "opened", opened)

    def open(self) -> PointInTime:
        pit = super().open()
        self.opened.append(pit)
        return pit


@pytest.fixture
def place(elasticsearch: Server) -> Iterator[Place]:
    client = elasticsearch.client(elasticsearch.runtime_key())
    made = Place(elasticsearch, client, f"logs-e1r.{uuid.uuid4().hex[:8]}")
    yield made
    for index in elasticsearch.admin.indices.get(index=made.name + "*", expand_wildcards="all"):
        elasticsearch.admin.options(ignore_status=404).indices.delete(index=index)
    client.close()


def between(reader: RowReader, low: int, high: int) -> Iterator[RowPage]:
    """One round, milliseconds."""
    return reader.round(Millis(low), Millis(high))


def resumed(reader: RowReader, checkpoint: int) -> Iterator[RowPage]:
    """What a new leader reads first, milliseconds."""
    return reader.resume(Millis(checkpoint))


def ids(pages: Iterator[RowPage]) -> list[str]:
    return [str(name) for page in pages for name in page.table.column("origin_id").to_pylist()]


def names(numbers: Sequence[int]) -> list[str]:
    return [f"d{k}" for k in numbers]


def test_documents_come_in_order_each_once_and_positions_rise(place: Place) -> None:
    place.add(place.index(), range(333), T0)
    pages = list(between(place.reader(), 0, T0 + 10 * SECOND))
    assert ids(iter(pages)) == names(range(333))
    positions = [page.position for page in pages if page.position is not None]
    assert len(positions) == len(pages)
    assert positions == sorted(positions)
    assert positions[-1] == T0 + 332
    assert sum(page.documents for page in pages) == 333


def test_the_upper_bound_holds_and_the_next_round_goes_on_from_there(place: Place) -> None:
    place.add(place.index(), range(100), T0)
    reader = place.reader()
    assert ids(between(reader, 0, T0 + 40)) == names(range(40))
    assert ids(between(reader, T0 + 39, T0 + 1000)) == names(range(40, 100))


def test_many_documents_of_one_millisecond_are_told_apart(place: Place) -> None:
    index = place.index()
    for number in range(120):
        place.add(index, [number], T0 - number)  # connection() adds the number again: all arrive at T0
    reader = place.reader()
    first = ids(between(reader, 0, T0 + 1))
    assert sorted(first) == sorted(names(range(120)))
    assert ids(between(reader, T0, T0 + 1)) == [], "the same millisecond read again gives nothing twice"


def test_a_lost_snapshot_is_opened_again_without_gap_or_repetition(place: Place) -> None:
    place.add(place.index(), range(300), T0)
    reader = place.reader()
    pages = between(reader, 0, T0 + SECOND)
    got = [next(pages)]
    place.server.admin.close_point_in_time(id=place.opened[-1].id)  # as its expiry would
    got += list(pages)
    assert ids(iter(got)) == names(range(300))
    assert reader.reopened == 1
    assert len(place.opened) == 2


def test_a_deleted_index_ends_nothing(place: Place) -> None:
    place.add(place.index("-a"), range(200), T0)
    place.add(place.index("-b"), range(200, 400), T0)
    reader = place.reader()
    pages = between(reader, 0, T0 + SECOND)
    got = [next(pages)]
    place.server.admin.indices.delete(index=f"{place.name}-a")
    got += list(pages)
    found = ids(iter(got))
    assert set(names(range(200, 400))) <= set(found)
    assert len(found) == len(set(found))


def test_a_rolled_over_source_is_read_on(place: Place) -> None:
    first = place.index("-000001")
    admin = place.server.admin
    admin.indices.put_alias(index=first, name=f"{place.name}-w", is_write_index=True)
    place.add(first, range(60), T0)
    reader = place.reader(pattern=f"{place.name}-0*")
    assert ids(between(reader, 0, T0 + SECOND)) == names(range(60))
    admin.indices.rollover(alias=f"{place.name}-w", mappings=MAPPINGS)
    place.add(f"{place.name}-w", range(60, 90), T0)
    assert ids(between(reader, T0 + 59, T0 + SECOND)) == names(range(60, 90))


def test_a_closed_index_is_named_and_the_others_are_read(place: Place) -> None:
    closed, open_ = place.index("-a"), place.index("-b")
    place.add(open_, range(5), T0)
    place.server.admin.indices.close(index=closed)
    reader = place.reader(pattern=f"{closed},{open_}")
    assert closed_indices(place.client, f"{closed},{open_}") == (closed,)
    assert ids(between(reader, 0, T0 + SECOND)) == names(range(5))


def test_a_closed_index_of_a_data_stream_is_named_and_the_others_are_read(place: Place, installed: Server) -> None:
    admin, name = installed.admin, f"e1r-{uuid.uuid4().hex[:8]}"
    stream = f"logs-{name}-default"
    admin.indices.put_index_template(
        name=name, index_patterns=[f"logs-{name}-*"], data_stream={}, priority=500, template={"mappings": MAPPINGS}
    )
    first = admin.index(index=stream, op_type="create", document=connection(1, T0 / 1000))["_index"]
    admin.indices.rollover(alias=stream)
    admin.index(index=stream, op_type="create", document=connection(2, T0 / 1000), refresh=True)
    pattern = f"logs-{name}*,-logs-other*,elsewhere:logs-*"
    assert closed_indices(place.client, pattern) == ()
    admin.indices.close(index=first)
    assert closed_indices(place.client, pattern) == closed_indices(place.client, stream) == (first,)
    assert len(ids(between(place.reader(pattern=f"logs-{name}*"), 0, T0 + SECOND))) == 1
    admin.indices.open(index=first)
    assert closed_indices(place.client, pattern) == ()


def test_a_source_without_indices_gives_nothing_and_no_error(place: Place) -> None:
    assert ids(between(place.reader(), 0, T0)) == []
    assert closed_indices(place.client, f"{place.name}*") == ()
    assert closed_indices(place.client, f"{place.name}-none,-{place.name}-other") == ()


def test_a_late_document_is_found_by_reading_again(place: Place) -> None:
    index = place.index()
    place.add(index, range(50), T0 + 58 * SECOND)
    reader = place.reader(overlap=0.05, now=T0 + 58 * SECOND)  # seconds: looked for again at once
    since = T0 + 58 * SECOND + 49
    assert len(ids(between(reader, 0, T0 + 60 * SECOND))) == 50
    assert ids(between(reader, since, T0 + 60 * SECOND)) == []
    place.add(index, [500], T0 + 58 * SECOND - 480)  # arrives at +20 ms, visible only now
    assert _soon(lambda: ids(between(reader, since, T0 + 60 * SECOND))) == ["d500"]
    time.sleep(0.06)
    assert ids(between(reader, since, T0 + 60 * SECOND)) == [], "and once only"


def test_where_a_source_is_begun_nothing_before_it_is_late(place: Place) -> None:
    place.add(place.index(), range(50), T0 + 58 * SECOND)
    begin, seconds = T0 + 58 * SECOND + 25, [0.0]
    reader = place.reader(overlap=0.05, now=T0 + 58 * SECOND, clock=lambda: seconds[0])
    assert ids(between(reader, begin, T0 + 60 * SECOND)) == names(range(25, 50))
    seconds[0] += 60.0  # long enough to look back
    assert ids(between(reader, begin + 24, T0 + 60 * SECOND)) == []


def _soon(read: Any, seconds: float = 5.0) -> list[str]:
    """What ``read`` gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    found: list[str] = []
    while not found and time.monotonic() < deadline:
        found = read()
    return found


def test_a_new_leader_hands_out_what_has_no_score_yet(place: Place) -> None:
    index = place.index()
    place.add(index, range(20), T0)
    scored = {(index, f"d{k}") for k in range(20) if k != 7}
    reader = place.reader(scored=scored)
    pages = list(resumed(reader, T0 + 20))
    assert ids(iter(pages)) == ["d7"]
    assert all(page.position is None and page.repeated for page in pages)


def test_a_late_document_with_a_routing_is_found_by_it(place: Place) -> None:
    name = f"{place.name}-routed"
    place.server.admin.indices.create(index=name, mappings=MAPPINGS, settings={"number_of_shards": 5})
    place.add(name, range(20), T0, _routing="one-tenant")  # all in one shard, which their ids do not tell
    assert sorted(ids(resumed(place.reader(pattern=name), T0 + 20))) == sorted(names(range(20)))


def test_date_and_date_nanos_sort_together(place: Place) -> None:
    nanos = {"properties": {"event": {"properties": {"ingested": {"type": "date_nanos"}}}}}
    one, other = place.index("-a"), place.index("-b", nanos)
    place.add(one, range(0, 100, 2), T0)
    place.add(other, range(1, 100, 2), T0)
    assert ids(between(place.reader(), 0, T0 + SECOND)) == names(range(100))


def test_documents_of_megabytes_make_small_pages_and_only_named_fields_travel(place: Place) -> None:
    index = place.index()
    blob = "x" * 5_000_000
    for number in range(4):
        place.add(index, [number], T0, message=blob)
    reader = place.reader()
    pages = list(between(reader, 0, T0 + SECOND))
    assert ids(iter(pages)) == names(range(4))
    assert sum(page.bytes for page in pages) < 10_000, "the message is not even read"
    # The same in a field that the model needs: cut, and the next page is smaller.
    other = place.index("-huge")
    for number in range(4):
        place.add(other, [number], T0, network={"transport": blob})
    greedy = place.reader(pattern=other)
    assert ids(between(greedy, 0, T0 + SECOND)) == names(range(4))
    for number in range(4, 8):
        place.add(other, [number], T0, network={"transport": blob})
    found = list(between(greedy, T0 + 3, T0 + SECOND))
    assert ids(iter(found)) == names(range(4, 8))
    assert max(page.bytes for page in found) <= 2 * PAGE_BYTES, "the first page was of 20 MB"


def test_more_than_one_answer_holds_is_read_in_smaller_pages(place: Place, key_file: Callable[[str], Path]) -> None:
    """Pages and look-ups of documents that are far larger together than one answer may be."""
    settings = ElasticSettings(url=place.server.url, api_key_file=key_file(place.server.runtime_key()))
    place.client.close()
    place.client = connect(settings)
    not_indexed = {"properties": {**MAPPINGS["properties"], "network": {"enabled": False}}}
    index = place.index(mappings=not_indexed)
    for number in range(20):
        place.add(index, [number], T0, network={"transport": "x" * (ANSWER_BYTES // 15)})
    place.add(index, range(20, 30), T0)
    for read in (between(place.reader(), 0, T0 + SECOND), resumed(place.reader(), T0 + SECOND)):
        pages = list(read)
        assert ids(iter(pages)) == names(range(30))
        assert max(page.bytes for page in pages) < ANSWER_BYTES


def test_an_index_that_is_closed_while_it_is_read_costs_the_others_nothing(place: Place) -> None:
    place.add(place.index("-a"), range(100), T0)
    place.add(place.index("-b"), range(100, 200), T0)
    reader = place.reader()
    pages = between(reader, 0, T0 + SECOND)
    got = [next(pages)]
    place.server.admin.indices.close(index=f"{place.name}-a")
    found = ids(iter([*got, *pages]))
    assert set(names(range(100, 200))) <= set(found)
    assert len(found) == len(set(found))


ODD = {
    "half a surrogate pair": b'"\\ud800"',
    "a number beyond all": b"1e400",
    "arrays in arrays": b"[" * 900 + b"]" * 900,
    "nothing printable": b'"\\u0000\\u2028"',
}


@pytest.mark.parametrize("value", ODD.values(), ids=list(ODD))
@pytest.mark.parametrize("field", [b'{"transport":%s}', b"%s"], ids=["in the field", "in place of the object"])
def test_whatever_elasticsearch_takes_does_not_hold_up_the_others(place: Place, field: bytes, value: bytes) -> None:
    index = place.index(mappings={**MAPPINGS, "dynamic": False})
    place.add(index, range(3), T0)
    body = b'{"@timestamp":%d,"event":{"ingested":%d},"network":%s}' % (T0 + 1, T0 + 1, field % value)
    plain = {"content-type": "application/json", "accept": "application/json"}
    place.server.admin.perform_request("PUT", f"/{index}/_doc/odd?refresh=true", headers=plain, body=body)
    with connect(ElasticSettings(url=place.server.url), (place.server.dev.user, place.server.dev.password)) as client:
        found = ids(between(place.reader(client=client), 0, T0 + SECOND))
    assert sorted(found) == [*names(range(3)), "odd"]


def test_a_query_narrows_the_source_and_scores_are_never_read(place: Place) -> None:
    place.add(place.index(), range(10), T0)
    assert ids(between(place.reader(query="event.outcome: failure"), 0, T0 + SECOND)) == names([0, 5])


def test_without_event_ingested_the_source_is_read_by_timestamp(place: Place) -> None:
    index = place.index(mappings={"properties": {"@timestamp": {"type": "date"}}, "dynamic": False})
    place.add(index, range(3), T0)
    plan = _plan(place, place.name + "*")
    settings, reader = read_settings(plan), build_reader(plan)
    assert (settings.time_field, settings.overlap) == ("@timestamp", 600.0)
    assert ids(between(reader, 0, T0 + SECOND)) == names(range(3))


def test_a_time_field_that_is_no_date_is_refused(place: Place) -> None:
    place.index(mappings={"properties": {"event": {"properties": {"ingested": {"type": "keyword"}}}}})
    with pytest.raises(ConfigurationError, match=r"event\.ingested is mapped as keyword"):
        build_reader(_plan(place, place.name + "*"))


def test_what_the_key_may_not_read_is_an_error_and_not_an_empty_source(place: Place) -> None:
    with pytest.raises(Forbidden, match="may not read all of secret-e1"):
        build_reader(_plan(place, "secret-e1"))


def _plan(place: Place, pattern: str) -> ReaderPlan:
    model = make_tiny_model(MODEL)
    card = card_of(model, "1")
    event = type(card).from_dict({**card.to_dict(), "grain": "event"})
    source = ElasticSource(name="s", index=pattern, model=MODEL)
    return ReaderPlan(place.client, source, ElasticSettings(), event, ServerClock(place.client), Millis(0))


def test_the_servers_clock_decides_and_ours_is_only_spoken_of(place: Place) -> None:
    off = ServerClock(place.client, own=lambda: time.time() - 300)
    right = ServerClock(place.client)
    assert abs(off.now() - right.now()) < 20.0, "and not by five minutes"
    assert -20.0 < right.now() - time.time() <= 0.5, "never ahead; behind by a second and by what the answer took"
