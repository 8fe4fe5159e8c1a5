"""Rows that Elasticsearch counts are the rows that training counts, on real captures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from elasticsearch import Elasticsearch, helpers

from demo.elastic_documents import MAPPINGS, documents, with_plain_addresses
from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.windows import FLAG_APPROXIMATE, Search, WindowReader, WindowRow
from elastic_connector.read.windows_query import WindowQuery
from scorer.elastic_client.moments import millis
from scorer.rows.builder import build_rows
from scorer.rows.files import read_table
from scorer.rows.recipe import Recipe, load_recipe

CAPTURES = {
    "logons": ("lateral", "lm_winevents_mordor_covenant/logon_events_labelled.csv.gz"),
    "host flows": ("lateral_flow", "lm_winevents_mordor_covenant/host_flows_labelled.csv.gz"),
    "zeek": ("lateral_flow", "lm_zeek_apt29_day1/conn_labelled.csv.gz"),
}
NOW = 1_700_000_000.0  # when the documents of these tests arrived


@pytest.fixture
def index(elasticsearch: Any) -> Iterator[str]:
    name = f"e4-windows-{uuid.uuid4().hex[:8]}"
    elasticsearch.admin.indices.create(index=name, mappings=MAPPINGS)
    yield name
    elasticsearch.admin.indices.delete(index=name, ignore_unavailable=True)


@pytest.fixture
def reading(elasticsearch: Any, index: str) -> Iterator[Elasticsearch]:
    """A client that may read the documents and nothing else."""
    role = {"indices": [{"names": [index], "privileges": ["read", "view_index_metadata"]}]}
    client = elasticsearch.client(elasticsearch.api_key("windows", role))
    yield client
    client.close()


def reader(client: Elasticsearch, index: str, recipe: Recipe) -> WindowReader:
    @contextmanager
    def snapshot() -> Iterator[Search]:
        pit = client.open_point_in_time(index=index, keep_alive="1m")["id"]
        try:
            yield lambda body: client.search(**body, pit={"id": pit}, allow_partial_search_results=False).body
        finally:
            client.close_point_in_time(id=pit)

    return WindowReader(snapshot, WindowQuery(recipe, "@timestamp"))


def load(admin: Elasticsearch, index: str, found: Any) -> None:
    helpers.bulk(admin, ({"_index": index, "_source": document} for document in found), refresh=True)


def by_key(rows: Any, keys: tuple[str, ...]) -> dict[tuple[Any, ...], Mapping[str, float | None]]:
    return {(r.start, *(r.keys[k] for k in keys)): r.inputs for r in rows}


def all_rows(pages: Any) -> list[WindowRow]:
    return [row for page in pages for row in page.rows]


@pytest.mark.parametrize("capture", CAPTURES)
def test_rows_equal_those_of_training(
    capture: str, elasticsearch: Any, reading: Elasticsearch, index: str, shared_data: Any
) -> None:
    model, path = CAPTURES[capture]
    recipe = load_recipe(model)
    events = with_plain_addresses(recipe, read_table(shared_data / path))
    load(elasticsearch.admin, index, documents(recipe, events, NOW))
    wanted = build_rows(recipe, events, "window").to_pylist()
    read = reader(reading, index, card_recipe(recipe.to_dict()))
    found = by_key(all_rows(read.pages(millis(NOW - 60), millis(NOW + 60))), recipe.keys)
    assert len(found) == len(wanted) > 40
    for row in wanted:
        # abs: ECS durations are whole nanoseconds.
        counted = found[(row["_time"], *(row[key] for key in recipe.keys))]
        assert counted == pytest.approx({i.name: row[i.name] for i in recipe.inputs}, rel=1e-9, abs=1e-9)
    assert all_rows(read.pages(millis(NOW - 60), millis(NOW + 60))) == []  # counted already, nothing has come since
    low, high = pc.min(pa.array(r["_time"] for r in wanted)), pc.max(pa.array(r["_time"] for r in wanted))
    again = [row for rows, _ in read.between(low.as_py(), high.as_py() + 1) for row in rows]
    assert by_key(again, recipe.keys) == found


def lateral() -> Recipe:
    return card_recipe(load_recipe("lateral").to_dict())


def logon(start: float, user: Any = "eve", dest: str = "SRV1", ingested: float = NOW, **more: Any) -> dict[str, Any]:
    return {
        "@timestamp": int(start * 1000),
        "event": {"ingested": int(ingested * 1000), "code": "4624"},
        "user": {"name": user},
        "source": {"ip": "10.0.0.1"},
        "host": {"name": dest},
        **more,
    }


def test_a_late_document_gives_its_window_new_revisions_and_leaves_the_others(
    elasticsearch: Any, reading: Elasticsearch, index: str
) -> None:
    window, other = 1_699_990_200, 1_699_990_800
    load(elasticsearch.admin, index, [logon(window), logon(window + 5), logon(window, dest="SRV2"), logon(other)])
    read = reader(reading, index, lateral())
    first = {(r.start, r.keys["dest"]): r for r in all_rows(read.pages(millis(NOW - 60), millis(NOW + 60)))}
    assert set(first) == {(window, "SRV1"), (window, "SRV2"), (other, "SRV1")}
    load(elasticsearch.admin, index, [logon(window + 9, dest="SRV3", ingested=NOW + 90)])
    later = {(r.start, r.keys["dest"]): r for r in all_rows(read.pages(millis(NOW + 60), millis(NOW + 120)))}
    # The same source reached one host more: dests_of_source of all its rows in this window is another number now.
    assert set(later) == {(window, "SRV1"), (window, "SRV2"), (window, "SRV3")}
    assert {r.inputs["dests_of_source"] for r in later.values()} == {3.0}
    assert all(later[key].revision > first[key].revision for key in later.keys() & first.keys())
    # A reader that remembers nothing counts the same and gives the same revisions, so that the ids are the same.
    fresh = {
        (r.start, r.keys["dest"]): r
        for r in all_rows(reader(reading, index, lateral()).pages(millis(NOW - 60), millis(NOW + 120)))
    }
    assert {key: row for key, row in fresh.items() if key[0] == window} == later
    assert fresh[(other, "SRV1")] == first[(other, "SRV1")]


def test_an_open_window_waits_and_holds_the_position(elasticsearch: Any, reading: Elasticsearch, index: str) -> None:
    opened = NOW - NOW % 600
    arrived = NOW - 20.0
    load(elasticsearch.admin, index, [logon(opened + 1, ingested=arrived), logon(opened - 1, ingested=NOW - 30)])
    read = reader(reading, index, lateral())
    pages = list(read.pages(millis(NOW - 60), millis(NOW)))
    assert [row.start for page in pages for row in page.rows] == [opened - 600]
    assert pages[-1].position == millis(arrived)
    closed = opened + 600 + 30
    later = list(read.pages(pages[-1].position, millis(closed)))
    assert [row.start for page in later for row in page.rows] == [opened]
    assert later[-1].position == millis(closed)


def test_a_window_far_in_the_future_holds_back_nothing(elasticsearch: Any, reading: Elasticsearch, index: str) -> None:
    load(elasticsearch.admin, index, [logon(NOW + 40 * 86_400)])
    pages = list(reader(reading, index, lateral()).pages(millis(NOW - 60), millis(NOW + 1)))
    assert len(all_rows(pages)) == 1
    assert pages[-1].position == millis(NOW + 1)


def test_what_real_data_has_and_a_recipe_does_not_expect(
    elasticsearch: Any, reading: Elasticsearch, index: str
) -> None:
    window = 1_699_990_200
    odd = [
        logon(window, user=["zoe", "adam"]),  # an array: one row, not two
        logon(window, user="-"),
        logon(window, user="  "),
        logon(window, user="Adam@corp.example"),
        logon(window, user="@corp.example"),
        logon(window, user=42),  # an integer where text is expected
        {"@timestamp": window * 1000, "event": {"ingested": int(NOW * 1000), "code": 4624}},
    ]
    load(elasticsearch.admin, index, odd)
    rows = all_rows(reader(reading, index, lateral()).pages(millis(NOW - 60), millis(NOW + 60)))
    found = {(r.keys["user"], r.keys["src"], r.keys["dest"]): r.inputs["logons"] for r in rows}
    assert found == {
        ("adam", "10.0.0.1", "SRV1"): 2.0,
        ("unknown", "10.0.0.1", "SRV1"): 3.0,
        ("42", "10.0.0.1", "SRV1"): 1.0,
        ("unknown", "unknown", "unknown"): 1.0,
    }


def test_text_fields_without_a_mapping_of_ours(elasticsearch: Any) -> None:
    """A dynamic mapping makes user.name text with a keyword beneath it; an index may lack the field altogether."""
    admin, name = elasticsearch.admin, f"e4-dynamic-{uuid.uuid4().hex[:8]}"
    try:
        admin.indices.create(index=name + "-a", mappings={"properties": {"@timestamp": {"type": "date"}}})
        admin.indices.create(index=name + "-b", mappings=MAPPINGS)
        moment = {"ingested": "2023-11-14T22:13:20Z"}
        load(admin, name + "-a", [{"@timestamp": 1_699_990_200_000, "event": moment, "user": {"name": "Eve"}}])
        load(admin, name + "-b", [{"@timestamp": 1_699_990_200_000, "event": moment}])
        rows = all_rows(reader(admin, name + "-*", lateral()).pages(millis(NOW - 60), millis(NOW + 60)))
        assert sorted(row.keys["user"] for row in rows) == ["eve", "unknown"]
    finally:
        admin.indices.delete(index=f"{name}-a,{name}-b")


def test_more_different_values_than_are_counted_exactly_are_flagged(
    elasticsearch: Any, reading: Elasticsearch, index: str
) -> None:
    window, hosts = 1_699_990_200, 41_000
    load(elasticsearch.admin, index, (logon(window, user="u", dest=f"h{n}") for n in range(hosts)))
    raw = load_recipe("lateral").to_dict()
    raw["row"]["keys"] = ["user", "src"]
    raw["input"] = [i for i in raw["input"] if i["name"] in ("events",)] + [
        {"name": "hosts", "op": "dc", "field": "dest", "missing": "reject"}
    ]
    raw["feature"] = [{"name": "hosts", "op": "identity", "of": ["hosts"], "phrase": "hosts"}]
    (row,) = all_rows(reader(reading, index, card_recipe(raw)).pages(millis(NOW - 60), millis(NOW + 60)))
    assert row.inputs["events"] == hosts
    assert row.inputs["hosts"] == pytest.approx(hosts, rel=0.02)
    assert row.flags == (FLAG_APPROXIMATE,)
