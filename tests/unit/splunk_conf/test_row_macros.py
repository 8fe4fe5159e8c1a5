"""The macros' rows are the rows that training builds from the same events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

from scorer.rows.builder import build_rows
from scorer.rows.fields import resolve
from scorer.rows.recipe import Recipe, load_recipe
from scorer.splunk_preview.conf import read_conf
from scorer.splunk_preview.environment import Environment
from scorer.splunk_preview.language.values import Value
from scorer.splunk_preview.pipeline import run

#: Values that real data has for each kind of field; None: the column is empty on that event.
VALUES: dict[str, list[str | None]] = {
    "user": ["alice", "ALICE@CORP.EXAMPLE", " bob ", "-", "", None, "@corp", "5.0"],
    "TargetUserName": ["Carol", "-", None, "svc$"],
    "SubjectUserName": ["dave@x@y", None],
    "src": ["10.0.0.1", "10.0.0.2", "-", None],
    "IpAddress": ["::1", "-", None],
    "dest": ["srv1", "srv2", "srv3", "", None],
    "Computer": ["ws1", None],
    "EventCode": ["4624", "4625", "4648", "4672", "4768", "4769", "4771", "5140", "5145", "4624.0", "1", "-", None],
    "signature_id": ["4624", None, None, None],
    "Logon_Type": ["3", "10", "2", None],
    "LogonType": ["3", "3.0", None],
    "authentication_method": ["NTLM", "Kerberos", "-", None],
    "AuthenticationPackageName": ["NTLM", None],
    "src_ip": ["10.0.0.9", None],
    "dest_ip": ["10.1.0.1", "10.1.0.2", "10.1.0.3", "-", None],
    "id.orig_h": ["192.168.1.1", None],
    "id.resp_h": ["192.168.1.2", None],
    "src_port": ["49152", "50000", "50001", None],
    "dest_port": ["445", "3389", "135", "49152", "65535", "443", "88", "53", "12345", "445.0", "-", None],
    "id.resp_p": ["22", "593", None],
    "transport": ["tcp", "udp", "6", None],
    "proto": ["tcp", "icmp"],
    "action": ["allowed", "blocked", None, None],
    "conn_state": ["SF", "S0", "REJ", "SHR", None],
    "duration": ["0.25", "17", "-", None],
    "bytes_out": ["100", "0", "-", None, "123456789"],
    "orig_bytes": ["7", None],
    "resp_bytes": ["1024", "2048.0", None],
    "uid": ["-", None],
}
COLUMNS = {
    "lateral": [
        "user",
        "TargetUserName",
        "SubjectUserName",
        "src",
        "IpAddress",
        "dest",
        "Computer",
        "EventCode",
        "signature_id",
        "Logon_Type",
        "LogonType",
        "authentication_method",
        "AuthenticationPackageName",
    ],
    "lateral_flow": [
        "src",
        "src_ip",
        "id.orig_h",
        "dest",
        "dest_ip",
        "id.resp_h",
        "src_port",
        "dest_port",
        "id.resp_p",
        "transport",
        "proto",
        "action",
        "conn_state",
        "duration",
        "bytes_out",
        "orig_bytes",
        "resp_bytes",
    ],
}


@pytest.fixture(scope="module")
def macros(repository: Path) -> Any:
    return read_conf(repository / "default" / "macros.conf")


def some_events(model: str, count: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    events = []
    for number in range(count):
        drawn = {name: VALUES[name][rng.integers(len(VALUES[name]))] for name in COLUMNS[model]}
        time = 1_700_000_000 + int(rng.integers(0, 3000)) + int(rng.integers(0, 1000)) / 1000
        events.append({"_time": time, "index": "main", "sourcetype": "test", "uid": f"C{number}", **drawn})
    return events


def as_table(events: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: [event[name] for event in events] for name in events[0]})


def by_macro(recipe: Recipe, macro: str, events: list[dict[str, Any]], macros: Any) -> list[tuple[Any, ...]]:
    given = [{name: value for name, value in event.items() if value is not None} for event in events]
    rows = run(f"index=main | `{macro}`", Environment(events=given, macros=macros))
    inputs = [i.name for i in recipe.inputs]
    return sorted((number(r["_time"]), *(r[k] for k in recipe.keys), *(number(r[n]) for n in inputs)) for r in rows)


def number(cell: Value) -> float:
    assert isinstance(cell, int | float | str), cell
    return float(cell)


def by_training(recipe: Recipe, grain: str, events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    rows = build_rows(recipe, as_table(events), grain)
    names = ["_time", *recipe.keys, *(i.name for i in recipe.inputs)]
    return sorted(zip(*(rows[name].to_pylist() for name in names), strict=True))


@pytest.mark.parametrize("model", ["lateral", "lateral_flow"])
@pytest.mark.parametrize("seed", range(4))
def test_window_rows_are_trainings(model: str, seed: int, macros: Any) -> None:
    recipe, events = load_recipe(model), some_events(model, 400, seed)
    assert by_macro(recipe, recipe.macro, events, macros) == by_training(recipe, "window", events)


@pytest.mark.parametrize("model", ["lateral", "lateral_flow"])
@pytest.mark.parametrize("seed", range(2))
def test_event_rows_are_trainings(model: str, seed: int, macros: Any) -> None:
    recipe, events = load_recipe(model), some_events(model, 200, seed)
    assert by_macro(recipe, recipe.macro_event, events, macros) == by_training(recipe, "event", events)


@pytest.mark.parametrize("model", ["lateral", "lateral_flow"])
def test_the_macro_knows_every_name_that_the_recipe_has(model: str, macros: Any) -> None:
    definition = macros[f"qscore_{model}_fields"]["definition"]
    recipe = load_recipe(model)
    for field in recipe.fields:
        if field.name in ("time", "origin_id"):
            continue
        names = list(dict.fromkeys((*field.splunk, *field.zeek, *field.windows)))
        calls = [f"`qscore_clean({name})`" for name in names]
        assert ", ".join(calls) in definition, field.name


def test_events_carry_an_origin_of_their_own(macros: Any) -> None:
    base = {"_time": 1, "index": "main", "user": "u", "src": "s", "dest": "d", "host": "h", "source": "x"}
    events: list[dict[str, Any]] = [
        {**base, "uid": "Cabc"},
        {**base, "_bkt": "main~1~GUID", "_cd": "1:23"},
        {**base, "_raw": "the event"},
        {**base, "_raw": "another"},
    ]
    rows = run("index=main | `qscore_lateral_events`", Environment(events=events, macros=macros))
    origins = [str(row["origin_id"]) for row in rows]
    assert origins[:2] == ["Cabc", "main~1~GUID:1:23"]
    assert len(set(origins)) == 4
    assert not [name for name in rows[0] if name.startswith("qs_")]


def test_a_multivalue_user_counts_an_event_once(macros: Any) -> None:
    events: list[dict[str, Any]] = [{"_time": 1, "index": "main", "user": ["alice", "bob"], "src": "s", "dest": "d"}]
    rows = run("index=main | `qscore_lateral_rows`", Environment(events=events, macros=macros))
    assert [(row["user"], row["events"]) for row in rows] == [("alice", 1)]


def test_windows_carry_where_their_events_came_from(macros: Any) -> None:
    events: list[dict[str, Any]] = [
        {"_time": 1, "index": "b", "sourcetype": "x", "src": "s", "dest": "d"},
        {"_time": 2, "index": "a", "sourcetype": "x", "src": "s", "dest": "d"},
    ]
    rows = run("index=* | `qscore_lateral_rows`", Environment(events=events, macros=macros))
    assert [(row["user"], row["index"], row["sourcetype"]) for row in rows] == [("unknown", "a,b", "x")]


@pytest.mark.parametrize("grain", ["window", "event"])
@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("lateral", "lm_winevents_mordor_covenant/logon_events_labelled.csv.gz"),
        ("lateral_flow", "lm_winevents_mordor_covenant/host_flows_labelled.csv.gz"),
        ("lateral_flow", "lm_zeek_apt29_day1/conn_labelled.csv.gz"),
    ],
)
def test_rows_of_real_captures_are_trainings(model: str, file: str, grain: str, shared_data: Path, macros: Any) -> None:
    recipe = load_recipe(model)
    table = csv.read_csv(shared_data / file, parse_options=csv.ParseOptions(newlines_in_values=True))
    table = table.append_column("_time", resolve(recipe, table)["time"])
    events = [{**event, "index": "main"} for event in table.to_pylist()]
    macro = recipe.macro if grain == "window" else recipe.macro_event
    rows = build_rows(recipe, table, grain)
    names = ["_time", *recipe.keys, *(i.name for i in recipe.inputs)]
    expected = sorted(zip(*(rows[name].to_pylist() for name in names), strict=True))
    assert by_macro(recipe, macro, [_as_splunk_has_it(event) for event in events], macros) == expected


def _as_splunk_has_it(event: dict[str, Any]) -> dict[str, Any]:
    """Fields of events are text; the time is a number."""
    return {n: v if n == "_time" else str(v) for n, v in event.items() if v is not None}
