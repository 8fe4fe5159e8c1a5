"""Documents become the rows that training makes of the same events; what cannot be used costs its own row alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.documents import FLAG_FIELDS_CUT, EventShaper
from elastic_connector.read.events import EventReader
from elastic_connector.read.memory import Memory
from scorer.elastic_client.moments import Millis
from scorer.rows.builder import Columns, build_rows
from scorer.rows.columns import DEFECT_COLUMN, MAX_FIELDS_BYTES
from scorer.rows.files import read_table
from scorer.rows.recipe import load_recipe
from tests.unit.elastic_connector.read.listed import Listed

TIME = "2026-03-01T08:15:00.250Z"
FLOW = {
    "@timestamp": TIME,
    "source": {"ip": "10.0.0.1", "port": 50123, "bytes": 400},
    "destination": {"ip": "10.0.0.2", "port": 445, "bytes": 120},
    "network": {"transport": "tcp"},
    "event": {"outcome": "failure", "duration": 2_500_000_000},
}
#: Columns of the captures by the ECS name that a shipper would give them.
ZEEK = {
    "ts": "@timestamp", "id_orig_h": "source.ip", "id_resp_h": "destination.ip", "id_orig_p": "source.port",
    "id_resp_p": "destination.port", "proto": "network.transport", "conn_state": "event.outcome",
    "duration": "event.duration", "orig_bytes": "source.bytes", "resp_bytes": "destination.bytes",
}  # fmt: skip
LOGONS = {
    "TimeCreated": "@timestamp", "TargetUserName": "user.name", "IpAddress": "source.ip", "Hostname": "host.name",
    "EventID": "event.code", "LogonType": "winlog.event_data.LogonType",
    "AuthenticationPackageName": "winlog.event_data.AuthenticationPackageName",
}  # fmt: skip


def shaper(name: str = "lateral_flow", copy: tuple[str, ...] = (), **overrides: tuple[str, ...]) -> EventShaper:
    return EventShaper(card_recipe(load_recipe(name).to_dict(), overrides), copy)


def hit(source: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"_index": "logs-zeek-1", "_id": f"id{number}", "_source": source, "sort": [1_772_000_000_000, number]}


def rows(source: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The one row of a document."""
    row: dict[str, Any] = shaper(**options).table([hit(source)]).to_pylist()[0]
    return row


def merged(**parts: Any) -> dict[str, Any]:
    return {**FLOW, **{name: {**FLOW.get(name, {}), **value} for name, value in parts.items()}}  # type: ignore[dict-item]


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        node = out
        for part in outer:
            node = node.setdefault(part, {})
        node[last] = value
    return out


def documents(table: pa.Table, names: dict[str, str], flattened: bool) -> Iterator[dict[str, Any]]:
    """A capture's rows as a shipper would send them: numbers as numbers, durations in nanoseconds."""
    for number, row in enumerate(table.to_pylist()):
        flat = {ecs: row[column] for column, ecs in names.items() if row.get(column) not in (None, "")}
        for name in ("source.port", "destination.port", "source.bytes", "destination.bytes", "event.code"):
            if name in flat:
                flat[name] = int(float(flat[name]))
        if "event.duration" in flat:
            flat["event.duration"] = float(flat["event.duration"]) * 1e9
        yield hit(flat if flattened else nested(flat), number)


@pytest.mark.parametrize("flattened", [False, True], ids=["nested", "flattened"])
@pytest.mark.parametrize(
    ("model", "capture", "names"),
    [
        ("lateral_flow", "lm_zeek_apt29_day1/conn_labelled.csv.gz", ZEEK),
        ("lateral", "lm_winevents_mordor_covenant/logon_events_labelled.csv.gz", LOGONS),
    ],
)
def test_rows_are_those_of_training(
    model: str, capture: str, names: dict[str, str], flattened: bool, shared_data: Path
) -> None:
    recipe = load_recipe(model)
    events = read_table(shared_data / capture).slice(0, 4000)
    events = events.append_column("number", pa.array([f"id{k}" for k in range(events.num_rows)]))
    # The training side reads the same columns and no others.
    events = events.select(["number", *(name for name in names if name in events.column_names)])
    built = build_rows(recipe, events, grain="event", columns=Columns(group="number"))
    wanted = {row["number"]: row for row in built.to_pylist()}
    found = shaper(model).table(list(documents(events, names, flattened)))
    assert found.num_rows == events.num_rows == len(wanted)
    numbers = [i.name for i in recipe.inputs]
    for row in found.to_pylist():
        other = wanted[row["origin_id"]]
        assert [row[key] for key in recipe.keys] == [other[key] for key in recipe.keys]
        assert row["_time"] == pytest.approx(other["_time"], abs=1e-6)
        assert [row[name] for name in numbers] == pytest.approx([other[name] for name in numbers])


def test_a_connection_is_counted_by_its_own_fields() -> None:
    row = rows(FLOW)
    counts = ("connections", "failed", "tcp", "admin_connections", "rpc_connections", "src_ports", "dests_of_source")
    assert [row[name] for name in counts] == [1, 1, 1, 1, 0, 1, 1]
    assert (row["bytes_out"], row["bytes_in"], row["duration"]) == (400, 120, pytest.approx(2.5))
    assert (row["src"], row["dest"], row["port_class"]) == ("10.0.0.1", "10.0.0.2", "admin")
    assert (row["_time"], row["origin_id"], row["index"]) == (1772352900.25, "id0", "logs-zeek-1")


@pytest.mark.parametrize("spelling", ["2026-03-01T08:15:00.250+00:00", "2026-03-01T10:15:00.250+0200", 1772352900250])
def test_times_are_read_as_elasticsearch_reads_them(spelling: Any) -> None:
    assert rows({**FLOW, "@timestamp": spelling})["_time"] == pytest.approx(1772352900.25)


def test_an_array_of_one_is_its_element() -> None:
    assert rows(merged(source={"ip": ["10.0.0.1"], "bytes": [7]}))["bytes_out"] == 7


def test_an_integer_where_a_keyword_is_expected_is_text() -> None:
    assert rows({"@timestamp": TIME, "user": {"name": 1001}, "event": {"code": 4624}}, name="lateral")["user"] == "1001"


def test_dotted_and_nested_spellings_may_mix() -> None:
    mixed = {"@timestamp": TIME, "source.ip": "10.9.9.9", "source": {"port": 1}, "destination": FLOW["destination"]}
    assert rows(mixed)["src"] == "10.9.9.9"


def test_a_field_below_an_array_of_objects_is_found() -> None:
    row = rows({**FLOW, "source": [{"ip": "10.0.0.1", "bytes": 5}]})
    assert (row["src"], row["bytes_out"]) == ("10.0.0.1", 5)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (merged(source={"ip": ["10.0.0.1", "10.0.0.9"]}), "multivalue: source.ip holds 2 values"),
        (merged(source={"bytes": "many"}), "not_a_number: source.bytes is 'many'"),
        (merged(source={"bytes": {"out": 3}}), "not_a_number: source.bytes holds an object"),
        ({**FLOW, "@timestamp": "yesterday"}, "bad_context: @timestamp is 'yesterday', which is no time"),
        ({key: FLOW[key] for key in FLOW if key != "@timestamp"}, "bad_context: @timestamp is missing"),
    ],
)
def test_what_cannot_be_used_is_said_for_its_row_alone(source: dict[str, Any], said: str) -> None:
    table = shaper().table([hit(FLOW, 1), hit(source, 2), hit(FLOW, 3)])
    defects = table.column("qscore_defect").to_pylist()
    assert defects[0] is None
    assert defects[1].startswith(said)
    assert defects[2] is None
    assert table.column("bytes_out").to_pylist()[0::2] == [400, 400]
    # Even the error needs a time of its own: without one, that at which the document came.
    assert table.column("_time").null_count == 0


def test_arrays_in_arrays_are_walked_without_end_of_the_stack() -> None:
    deep: Any = {"transport": "tcp"}
    for _ in range(5000):
        deep = [deep]
    assert rows({**FLOW, "network": deep})["tcp"] == 1.0
    assert rows({**FLOW, "network": [[{"transport": "tcp"}], {}, [[]]]})["tcp"] == 1.0


class Picky(EventShaper):
    """Breaks on one document."""

    def table(self, hits: Any) -> Any:
        if any(one["_source"].get("breaks") for one in hits):
            raise RecursionError("a document that nobody thought of")
        return super().table(hits)


def test_a_document_of_which_no_row_can_be_made_is_an_error_of_its_own() -> None:
    start, picky = Millis(0), Picky(shaper().recipe)
    there = Listed([hit(FLOW, 0), hit({**FLOW, "breaks": True}, 1), hit(FLOW, 2)])
    reader = EventReader(there, picky, Memory(0.0), lambda _keys: set(), lambda: start, start)
    (page,) = reader.round(start, Millis(2_000_000_000_000))
    assert page.table["origin_id"].to_pylist() == ["id0", "id1", "id2"]
    first, odd, last = page.table[DEFECT_COLUMN].to_pylist()
    assert (first, last) == (None, None)
    assert odd.startswith("not_scored: no row can be made of the document")


def test_missing_fields_are_what_the_recipe_says() -> None:
    row = rows({"@timestamp": TIME})
    assert (row["src"], row["dest"], row["port_class"]) == ("unknown", "unknown", "other")
    assert (row["bytes_out"], row["src_ports"]) == (0, 0)
    assert row["dests_of_source"] == 1  # of the unknown: a row without a key is scored as it is in Splunk


def test_only_named_fields_are_read_and_copied() -> None:
    made = shaper(copy=("host.name", "user.name"))
    table = made.table([hit({**FLOW, "host": {"name": "fs1"}, "user": {"name": ["a", "b"], "email": "a@b"}})])
    assert orjson.loads(table.column("qscore_fields")[0].as_py()) == {"host.name": "fs1", "user.name": ["a", "b"]}
    assert "user.email" not in made.includes
    assert {"host.name", "user.name", "source.ip", "@timestamp"} <= set(made.includes)
    assert "qscore_fields" not in shaper().table([hit(FLOW)]).column_names


def test_copied_fields_are_bounded_and_say_so() -> None:
    source = {**FLOW, "a": "x" * 5_000_000, "b": ["y" * 1000] * 50}
    table = shaper(copy=("a", "b")).table([hit(source)])
    assert len(table.column("qscore_fields")[0].as_py()) <= MAX_FIELDS_BYTES
    assert table.column("qscore_flags")[0].as_py() == FLAG_FIELDS_CUT


def test_a_value_of_megabytes_is_cut() -> None:
    assert len(rows(merged(source={"ip": "1" * 5_000_000}))["src"]) == 1024


def test_a_field_map_takes_the_place_of_the_recipes_names() -> None:
    made = shaper(src=("client.ip", "source.address"))
    table = made.table([hit({**FLOW, "source": {"ip": "10.0.0.1", "address": "10.7.7.7"}})])
    assert table.column("src").to_pylist() == ["10.7.7.7"]
    assert "source.ip" not in made.includes


def test_no_documents_make_no_rows() -> None:
    assert shaper().table([]).num_rows == 0
