"""Rows from events, held against a plain Python reading of the recipe."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.rows.builder import Columns, build_rows, is_rows, labels
from scorer.rows.recipe import load_recipe
from scorer.wire.errors import BadTrainingData

LATERAL = load_recipe("lateral")
FLOW = load_recipe("lateral_flow")

maybe = st.sampled_from
auth_event = st.fixed_dictionaries(
    {
        "_time": st.floats(1.7e9, 1.7e9 + 2400).map(lambda t: round(t, 3)),
        "user": maybe(["Ann", "ann@corp", "bob", "-", ""]),
        "src": maybe(["10.0.0.1", "10.0.0.2", "-", ""]),
        "dest": maybe(["srv1", "srv2", "srv3", ""]),
        "signature_id": maybe(["4624", "4625", "4672", "4648", "5140", "4769", "-"]),
        "Logon_Type": maybe(["3", "10", "2", "-"]),
        "AuthenticationPackageName": maybe(["NTLM", "Kerberos", ""]),
        "label": maybe([0, 1]),
    }
)


def clean(text: str) -> str:
    return "" if text in ("", "-") else text


def reference_rows(events: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, float]]:
    """The recipe `lateral` in plain Python."""
    windows: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    reached: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for e in events:
        start = math.floor(e["_time"] / 600) * 600
        user = clean(e["user"].lower().split("@")[0]) or "unknown"
        src, dest = clean(e["src"]) or "unknown", clean(e["dest"]) or "unknown"
        windows[(start, user, src, dest)].append(e)
        reached[(start, user, src)].add(dest)
    result = {}
    for key, found in windows.items():
        tried = [e for e in found if e["signature_id"] in ("4624", "4625")]
        result[key] = {
            "events": len(found),
            "logons": sum(e["signature_id"] == "4624" for e in found),
            "failures": sum(e["signature_id"] in ("4625", "4771") for e in found),
            "network_logons": sum(e["Logon_Type"] == "3" for e in tried),
            "remote_logons": sum(e["Logon_Type"] == "10" for e in tried),
            "explicit_logons": sum(e["signature_id"] == "4648" for e in found),
            "privileged_logons": sum(e["signature_id"] == "4672" for e in found),
            "share_events": sum(e["signature_id"] in ("5140", "5145") for e in found),
            "ticket_requests": sum(e["signature_id"] in ("4768", "4769") for e in found),
            "ntlm_logons": sum(e["AuthenticationPackageName"] == "NTLM" for e in tried),
            "signatures": len({clean(e["signature_id"]) for e in found} - {""}),
            "dests_of_source": len(reached[key[:3]]),
            "label": max(e["label"] for e in found),
        }
    return result


@settings(max_examples=60, deadline=None)
@given(st.lists(auth_event, min_size=1, max_size=40))
def test_windows_are_those_of_plain_python(events: list[dict[str, Any]]) -> None:
    rows = build_rows(LATERAL, pa.Table.from_pylist(events), None, Columns("label"))
    names = [*(i.name for i in LATERAL.inputs), "label"]
    built = {(r["_time"], r["user"], r["src"], r["dest"]): {n: r[n] for n in names} for r in rows.to_pylist()}
    assert built == reference_rows(events)
    assert rows["_time"].to_pylist() == sorted(rows["_time"].to_pylist())


def flow(**changes: Any) -> dict[str, Any]:
    event = {
        "ts": 1.7e9, "id_orig_h": "a", "id_orig_p": 50000, "id_resp_h": "b", "id_resp_p": 445, "proto": "tcp",
        "conn_state": "SF", "duration": 1.5, "orig_bytes": 10, "resp_bytes": 20, "uid": "C1",
    }  # fmt: skip
    return {**event, **changes}


def test_flows_are_summed_by_port_class() -> None:
    events = [
        flow(),
        flow(id_orig_p=50001, orig_bytes=None, conn_state="REJ", duration=None, id_resp_p=3389),
        flow(id_resp_h="c", id_resp_p=135),
        flow(id_resp_p=60000, proto="udp"),
        flow(id_resp_p=None),
    ]
    rows = build_rows(FLOW, pa.Table.from_pylist(events)).to_pylist()
    by_key = {(r["dest"], r["port_class"]): r for r in rows}
    assert set(by_key) == {("b", "admin"), ("c", "rpc"), ("b", "rpc"), ("b", "other")}
    admin = by_key[("b", "admin")]
    assert (admin["connections"], admin["failed"], admin["tcp"]) == (2, 1, 2)
    assert (admin["bytes_out"], admin["bytes_in"], admin["duration"]) == (10, 40, 1.5)
    assert (admin["src_ports"], admin["dest_ports"], admin["admin_connections"]) == (2, 2, 2)
    assert {r["dests_of_source"] for r in rows} == {2}
    assert by_key[("b", "rpc")]["tcp"] == 0
    assert by_key[("b", "other")]["dest_ports"] == 0


def test_single_events_are_windows_of_their_own() -> None:
    events = pa.Table.from_pylist([flow(), flow(id_resp_h="c", uid="C2"), flow(ts=None, uid=None)])
    rows = build_rows(FLOW, events, "event").to_pylist()
    assert sorted(str(r["origin_id"]) for r in rows) == ["C1", "C2", "None"]
    assert {(r["connections"], r["dests_of_source"]) for r in rows} == {(1, 1)}


def test_events_without_a_time_have_no_window() -> None:
    with pytest.raises(BadTrainingData, match=r"1 of 2 events have no time.*--grain event"):
        build_rows(FLOW, pa.Table.from_pylist([flow(), flow(ts=None)]))


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("2020-09-22T18:53:06.198Z", 1600800600),
        ("2020-09-22 18:53:06.198", 1600800600),
        ("2020-09-22T20:53:06+02:00", 1600800600),
        ("2020-09-22T18:53:06.198+0000", 1600800600),
        ("1600800786.198", 1600800600),
        ("1600800600", 1600800600),
    ],
)
def test_times_of_every_writing_fall_into_the_same_window(written: str, start: int) -> None:
    rows = build_rows(FLOW, pa.Table.from_pylist([flow(ts=written)]))
    assert rows["_time"].to_pylist() == [start]


@pytest.mark.parametrize("written", ["yesterday", "2020-13-01T00:00:00Z", "1600800786198", "-5"])
def test_what_is_no_time_is_refused_with_its_name(written: str) -> None:
    with pytest.raises(BadTrainingData, match="ts"):
        build_rows(FLOW, pa.Table.from_pylist([flow(ts=written)]))


def test_first_present_name_wins_on_each_event_by_itself() -> None:
    events = pa.table(
        {
            "@timestamp": ["2026-01-01T00:00:00Z"] * 3,
            "user": ["-", "CAROL", ""],
            "TargetUserName": ["Dave@corp.example", "x", "-"],
            "SubjectUserName": ["y", "z", "eve"],
            "source.ip": ["1.1.1.1"] * 3,
            "host.name": ["h"] * 3,
            "EventID": [4624, 4625, 4624],
        }
    )
    assert build_rows(LATERAL, events)["user"].to_pylist() == ["carol", "dave", "eve"]


def test_ecs_durations_are_nanoseconds_and_zeek_ones_seconds() -> None:
    events = pa.Table.from_pylist([flow(duration=None, **{"event.duration": 2_500_000_000}), flow()])
    assert build_rows(FLOW, events)["duration"].to_pylist() == [2.5]


def test_a_missing_key_column_is_named_with_its_possible_names() -> None:
    with pytest.raises(BadTrainingData, match=r"no column for user; it may be called user, user\.name"):
        build_rows(LATERAL, pa.table({"_time": [1.7e9], "src": ["a"], "dest": ["b"]}))


def test_text_in_a_number_is_named() -> None:
    with pytest.raises(BadTrainingData, match="bytes_out holds 'lots'"):
        build_rows(FLOW, pa.Table.from_pylist([flow(orig_bytes="lots")]))


def test_lists_are_refused() -> None:
    with pytest.raises(BadTrainingData, match="src holds lists"):
        build_rows(LATERAL, pa.table({"_time": [1.7e9], "user": ["a"], "dest": ["b"], "src": [["x", "y"]]}))


def test_group_and_label_are_carried_under_their_own_names() -> None:
    events = pa.Table.from_pylist([flow(kind="bad", day="mon"), flow(kind="fine", day="mon")])
    rows = build_rows(FLOW, events, None, Columns("kind", "bad", "day"))
    assert rows["kind"].to_pylist() == [1]
    assert rows["day"].to_pylist() == ["mon"]
    with pytest.raises(BadTrainingData, match="group column 'week'"):
        build_rows(FLOW, events, None, Columns("kind", "bad", "week"))


@pytest.mark.parametrize(
    ("values", "positive", "expected"),
    [
        ([0, 1], None, [0, 1]),
        (["TRUE", "false"], None, [1, 0]),
        ([1.0, 0.0], None, [1, 0]),
        (["lateral", "benign"], "Lateral ", [1, 0]),
        ([None, "x"], "x", [0, 1]),
    ],
)
def test_labels(values: list[Any], positive: str | None, expected: list[int]) -> None:
    assert labels(pa.table({"y": values}), Columns("y", positive)).to_pylist() == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("z"), "no label column 'z'"),
        (Columns("y"), "holds 'c2'.*--positive"),
        (Columns("y", "evil"), "no row of y holds 'evil'.*c2, 1"),
    ],
)
def test_labels_that_say_nothing_are_refused(columns: Columns, message: str) -> None:
    with pytest.raises(BadTrainingData, match=message):
        labels(pa.table({"y": ["c2", "1"]}), columns)


def test_rows_are_told_from_events() -> None:
    events = pa.Table.from_pylist([flow()])
    assert not is_rows(FLOW, events)
    assert is_rows(FLOW, build_rows(FLOW, events))
