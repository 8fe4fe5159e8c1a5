"""Recipes from model cards as search bodies, and answers as rows: what needs no server."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pytest

from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.windows import DOCUMENTS_AT_ONCE, Search, WindowReader, WindowRow, cut_windows
from elastic_connector.read.windows_query import PRECISION_THRESHOLD, Span, WindowQuery
from elastic_connector.read.windows_reader import window_table
from scorer.elastic_client.failures import AnswerTooLarge
from scorer.rows.identity import row_identity, score_id
from scorer.rows.recipe import load_recipe
from scorer.scoring.decode import decode
from scorer.wire.errors import NonsenseReply
from scorer.wire.names import MEDIA_ARROW
from tests.conftest import make_tiny_model


def raw(name: str = "lateral") -> dict[str, Any]:
    return copy.deepcopy(load_recipe(name).to_dict())


def damaged(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    recipe = raw("lateral_flow")
    change(recipe)
    return recipe


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (None, "recipe"),
    "no row": (damaged(lambda r: r.pop("row")), "no 'row'"),
    "span of a text": (damaged(lambda r: r["row"].update(span="600")), "row.span is '600'"),
    "span of no seconds": (damaged(lambda r: r["row"].update(span=0)), "row.span is '0'"),
    "unknown key": (damaged(lambda r: r["row"].update(keys=["src", "colour"])), "'colour'"),
    "unknown op": (damaged(lambda r: r["input"][0].update(op="median")), "'median'"),
    "a count of a field": (damaged(lambda r: r["input"][0].update(field="src")), "input connections"),
    "over what is no key": (damaged(lambda r: r["input"][8].update(over=["user"])), "dests_of_source"),
    "a script for a name": (damaged(lambda r: r["input"][0].update(name="x'); drop")), "drop"),
    "a port of nobody": (damaged(lambda r: r["class"][0]["bins"][0].update(ports=[70_000])), "ports"),
    "a scale of zero": (damaged(lambda r: r["field"][7].update(scale_ecs=0)), "scale_ecs"),
    "too many fields": (damaged(lambda r: r.update(field=r["field"] * 40)), "field"),
    "a count of times": (damaged(lambda r: r["input"][5].update(field="time")), "input duration is made of the time"),
    "a key that only a later version has": (damaged(lambda r: r.update(colour="blue")), "unknown key 'colour'"),
    "ports without end": (damaged(lambda r: r["class"][0]["bins"][0].update(ports=[1] * 70_000)), "ports is a list of"),
    "an empty null key": (damaged(lambda r: r["row"].update(null_key="")), "null_key"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_recipe_from_outside_is_checked(case: str) -> None:
    recipe, told = WRONG[case]
    with pytest.raises(NonsenseReply) as caught:
        card_recipe(recipe)
    assert told in caught.value.detail


def test_fields_of_the_source_take_the_place_of_ecs_names() -> None:
    recipe = card_recipe(raw(), {"user": ["winlog.user.name", "user.id"], "time": ["event.created"]})
    names = {f.name: f.ecs for f in recipe.fields}
    assert names["user"] == ("winlog.user.name", "user.id")
    assert names["src"] == ("source.ip", "source.address")
    assert recipe.time_names == ("event.created",)


def test_only_inputs_that_the_model_needs_are_counted() -> None:
    recipe = card_recipe(raw(), wanted=["events", "failures"])
    body = WindowQuery(recipe, "@timestamp").rows(Span((600,), 5), None)
    assert set(body["aggs"]["rows"]["aggs"]) == {"failures"}  # events is the number of documents
    assert set(body["runtime_mappings"]) == {f"qscore_window_{n}" for n in ("user", "src", "dest", "signature_id")}
    assert recipe.overs == ()


def test_a_page_of_many_distinct_counts_stays_small() -> None:
    query = WindowQuery(card_recipe(raw()), "@timestamp")
    sizes = {n: query.rows(Span((0,), n), None)["aggs"]["rows"] for n in (10, 20_000, 5_000_000)}
    assert sizes[10]["composite"]["size"] == 2_000
    assert sizes[10]["composite"]["size"] > sizes[20_000]["composite"]["size"] >= sizes[5_000_000]["composite"]["size"]
    threshold = sizes[5_000_000]["aggs"]["signatures"]["cardinality"]["precision_threshold"]
    assert threshold == PRECISION_THRESHOLD
    assert sizes[5_000_000]["composite"]["size"] * 2**18 <= 64 * 1024 * 1024


def test_neighbouring_windows_are_one_range() -> None:
    query = WindowQuery(card_recipe(raw()), "@timestamp")
    body = query.rows(Span((600, 1200, 3000), 9), {"window": 600_000, "user": "u", "src": "s", "dest": "d"})
    ranges = body["query"]["bool"]["filter"][0]["bool"]["should"]
    assert [(r["range"]["@timestamp"]["gte"], r["range"]["@timestamp"]["lt"]) for r in ranges] == [
        (600_000, 1_800_000),
        (3_000_000, 3_600_000),
    ]
    assert body["aggs"]["rows"]["composite"]["after"]["user"] == "u"


def answering(*answers: Any) -> WindowReader:
    """A reader whose searches are answered in turn; the last answer stays."""
    left: list[Mapping[str, Any]] = list(answers)

    def search(_body: Any) -> Mapping[str, Any]:
        return left.pop(0) if len(left) > 1 else left[0]

    @contextmanager
    def snapshot() -> Iterator[Search]:
        yield search

    return WindowReader(snapshot, WindowQuery(card_recipe(raw()), "@timestamp"))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"aggregations": None},
        {"aggregations": {"rows": {"buckets": "none"}}},
        {"aggregations": {"rows": {"buckets": [{"key": {"window": 0}}]}}},
        {"aggregations": {"rows": {"buckets": [{"key": {"window": 0}, "doc_count": "9"}]}}},
        {"aggregations": {"rows": {"buckets": [{"key": {"colour": 0}, "doc_count": 9}]}}},
    ],
)
def test_an_answer_that_is_none_is_named(answer: Any) -> None:
    with pytest.raises(NonsenseReply, match="Elasticsearch's answer"):
        answering(answer).documents(0, 6000)


def test_pages_of_large_keys_are_asked_for_smaller() -> None:
    """Keys of kilobytes: a page of them would be larger than an answer may be, again and again."""
    sizes: list[int] = []

    def search(body: Mapping[str, Any]) -> Mapping[str, Any]:
        composite = body["aggs"]["rows"]["composite"]
        sizes.append(composite["size"])
        if composite["size"] > 40:
            raise AnswerTooLarge("the answer is larger than 64 MiB")
        first = composite.get("after", {"window": 0})["window"] + 600_000
        bucket = {"key": {"window": first}, "doc_count": 2}
        more = {"buckets": [bucket], "after_key": bucket["key"]}
        return {"aggregations": {"rows": more if len(sizes) < 12 else {"buckets": []}}}

    @contextmanager
    def snapshot() -> Iterator[Search]:
        yield search

    query = WindowQuery(card_recipe(raw()), "@timestamp")
    found = WindowReader(snapshot, query, "event.ingested", 0.0).documents(0, 6000)
    assert list(found.values()) == [2] * 2
    assert sizes[:5] == [2000, 500, 125, 31, 2000]


def test_a_page_that_is_too_large_with_one_row_is_an_error() -> None:
    def search(_body: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AnswerTooLarge("the answer is larger than 64 MiB")

    @contextmanager
    def snapshot() -> Iterator[Search]:
        yield search

    query = WindowQuery(card_recipe(raw()), "@timestamp")
    with pytest.raises(AnswerTooLarge):
        WindowReader(snapshot, query, "event.ingested", 0.0).documents(0, 6000)


def test_windows_are_cut_so_that_pages_stay_cheap() -> None:
    totals = [(start * 600, DOCUMENTS_AT_ONCE // 2) for start in range(5)] + [(9000, 10 * DOCUMENTS_AT_ONCE)]
    spans = list(cut_windows(totals))
    assert [len(s.starts) for s in spans] == [2, 2, 1, 1]
    assert sum(s.documents for s in spans) == sum(n for _, n in totals)


ROW = WindowRow(
    600,
    {"user": "eve", "src": "10.0.0.1", "dest": "SRV1"},
    {i.name: 2.0 for i in card_recipe(raw()).inputs} | {"dests_of_source": None},
    documents=3,
    revision=8,
    flags=("cardinality_approximate",),
)


def test_a_row_travels_as_the_worker_decodes_it() -> None:
    recipe = card_recipe(raw())
    table = window_table(recipe, [ROW])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    batch = decode(body, MEDIA_ARROW, 1, make_tiny_model(), model_name="lateral", batch_id="b1", write=True)
    assert batch.context["qscore_revision"] == ["8"]
    assert batch.context["qscore_flags"] == ["cardinality_approximate"]
    identity = row_identity(batch.context, 0)
    assert identity == ("window", "600.000", "eve", "10.0.0.1", "SRV1", "")
    assert score_id("lateral", "1", identity, 8) != score_id("lateral", "1", identity, 9)
