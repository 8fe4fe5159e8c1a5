from __future__ import annotations

import json
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.standins.hec_rules import HecRules
from scorer.delivery.hec.event import by_bytes, encode, hec_event, indexed_fields
from scorer.delivery.rows import check_rows, scored_rows
from scorer.rows.identity import row_identity, score_id
from scorer.wire.errors import MalformedBody
from tests.unit.delivery.builders import INDEXED_FIELDS, make_batches, make_card, make_rows


def test_a_row_carries_its_own_time_and_the_id_of_its_entities_and_window() -> None:
    batch, scores = make_batches(2)
    rows, skipped = scored_rows(batch, scores, make_card())
    assert skipped == ()
    assert rows[1]["time"] == 1_700_001_000.0
    identity = row_identity(batch.context, 1)
    assert identity is not None
    assert rows[1]["id"] == score_id("lateral", "1-starter", identity)
    assert rows[1]["entities"] == {"user": "user1", "src": "10.0.0.1", "dest": "srv01"}


def test_only_rows_scored_ok_are_written() -> None:
    batch, scores = make_batches(3)
    scores = replace(scores, status=["ok", "missing_feature: events is empty", "ok"])
    rows, skipped = scored_rows(batch, scores, make_card())
    assert [row["entities"]["user"] for row in rows] == ["user0", "user2"]
    assert skipped == ()


@pytest.mark.parametrize("time", ["", "yesterday", "nan", "-5", "1e300"])
def test_a_row_without_usable_time_is_named_not_written(time: str) -> None:
    batch, scores = make_batches(2, _time=["1700000400", time], origin_id=["a", "b"])
    rows, skipped = scored_rows(batch, scores, make_card())
    assert len(rows) == 1
    assert skipped == (1,)


def test_a_row_without_identity_is_named_not_written() -> None:
    batch, scores = make_batches(1, user=[""], src=[""], dest=[""])
    assert scored_rows(batch, scores, make_card()) == ([], (0,))


def test_batches_of_different_length_are_a_fault() -> None:
    batch, _ = make_batches(2)
    _, scores = make_batches(3)
    with pytest.raises(ValueError, match="2 rows but 3 scores"):
        scored_rows(batch, scores, make_card())


def test_indexed_fields_are_flat_text_of_known_names_and_empty_ones_are_left_out() -> None:
    row = make_rows(1, port_class=[""], index=["wineventlog"], sourcetype=["XmlWinEventLog"], origin_id=["7"])[0]
    row["reason"] = ""
    fields = indexed_fields(row)
    assert set(fields) <= set(INDEXED_FIELDS)
    assert all(isinstance(value, str) for value in fields.values())
    assert fields["qscore_alert"] == "0"
    assert fields["qscore"] == "0.1000"
    assert fields["orig_index"] == "wineventlog"
    assert "port_class" not in fields
    assert "qscore_reason" not in fields


def test_a_row_of_which_everything_is_known_has_every_indexed_field() -> None:
    known = {name: [name] for name in ("port_class", "index", "sourcetype", "origin_id")}
    assert set(indexed_fields(make_rows(1, **known)[0])) == set(INDEXED_FIELDS)


def test_a_number_that_is_none_is_left_out() -> None:
    row = make_rows(1)[0]
    row["classical"] = row["pvalue"] = float("nan")
    assert not {"qscore_classical", "qscore_pvalue"} & set(indexed_fields(row))


def test_pvalues_are_rounded_up_as_in_a_reply() -> None:
    row = make_rows(1)[0]
    shown = []
    for value in (0.01, 0.000001, 1.0, 0.123456):
        row["pvalue"] = value
        shown.append(indexed_fields(row)["qscore_pvalue"])
    assert shown == ["0.01000", "0.00001", "1.00000", "0.12346"]


def test_the_event_has_its_own_time_source_and_host() -> None:
    event = hec_event(make_rows(1, host=["dc01"])[0], "qscore")
    assert (event["time"], event["host"], event["index"]) == (1_700_000_400.0, "dc01", "qscore")
    assert (event["source"], event["sourcetype"]) == ("qscore:lateral", "qscore:score")
    assert "index" not in hec_event(make_rows(1)[0], "")
    assert event["event"]["starter"] == "trained on generated activity, not on yours"


def test_rows_survive_msgpack_and_the_check() -> None:
    rows = make_rows(3)
    assert check_rows(msgpack.unpackb(msgpack.packb(rows))) == rows


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("time", "now", "time"),
        ("entities", {"user": 5}, "context value"),
        ("alert", 1, "alert"),
        ("id", None, "id"),
        ("probability", float("nan"), "probability of scored row 0 is nan"),
    ],
)
def test_a_row_of_the_wrong_form_is_refused_by_name(part: str, value: object, message: str) -> None:
    row = {**make_rows(1)[0], part: value}
    with pytest.raises(MalformedBody, match=message):
        check_rows([row])


@pytest.mark.parametrize("raw", [None, "rows", [1], {"id": "x"}])
def test_what_are_no_rows_is_refused(raw: object) -> None:
    with pytest.raises(MalformedBody):
        check_rows(raw)


@given(user=st.text(min_size=1, max_size=2000), reason=st.text(max_size=50))
def test_any_entity_becomes_an_event_that_the_collector_takes(user: str, reason: str) -> None:
    batch, scores = make_batches(1, user=[user])
    rows, _ = scored_rows(batch, replace(scores, reason=[reason]), make_card())
    if not rows:
        return
    body = encode(rows[0], "qscore")
    assert b"\n" not in body
    answer = HecRules("t").answer("/services/collector/event", "Splunk t", body)
    assert answer.status == 200
    assert answer.events[0] == json.loads(body)


@given(st.lists(st.integers(1, 60), max_size=40), st.integers(10, 100))
def test_byte_ranges_cover_all_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    bodies = [b"x" * size for size in sizes]
    ranges = list(by_bytes(bodies, limit))
    assert [at for start, end in ranges for at in range(start, end)] == list(range(len(sizes)))
    for start, end in ranges:
        assert end - start == 1 or sum(sizes[start:end]) + end - start <= limit
