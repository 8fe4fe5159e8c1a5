"""Rows from the queue and from dead letters: what is read is what was put there, and nothing else is taken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgpack
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.delivery.rows import COLUMNS, ScoredRows, joined
from scorer.delivery.stored_rows import letters_of, read_letter, read_rows, stored
from scorer.wire.errors import MalformedBody
from tests.unit.delivery.builders import make_known_rows, make_rows, objects_of, rows_from

FULL = make_known_rows(
    3,
    host=["gw", "", ""],
    port_class=["web", "", ""],
    origin_id=["a", "b", "c"],
    index=["i", "", ""],
    sourcetype=["s", "", ""],
    qscore_revision=["2", "", "1"],
    qscore_flags=["x,y", "", ""],
    qscore_fields=['{"host.id": "h"}', "", "{"],
)


def stream_of(rows: ScoredRows) -> Any:
    """The one block of rows as it lies on the queue, as an Arrow table."""
    return pa.ipc.open_stream(stored(rows)[0]).read_all()


def packed(table: Any, **options: Any) -> list[bytes]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return [sink.getvalue().to_pybytes()]


@pytest.mark.parametrize("rows", [make_rows(3), FULL, FULL[1:2]], ids=["search", "full", "one"])
def test_rows_are_read_as_they_were_put(rows: ScoredRows) -> None:
    lying = msgpack.unpackb(msgpack.packb(stored(rows)))
    assert objects_of(read_rows(lying)) == objects_of(rows)


def test_rows_of_0_1_0_are_read_from_its_messages() -> None:
    lying = msgpack.unpackb(msgpack.packb(objects_of(FULL)))
    assert objects_of(read_rows(lying)) == objects_of(FULL)


def test_every_row_makes_a_letter_that_is_read_alone() -> None:
    letters = list(letters_of(FULL))
    assert [objects_of(read_letter(letter)) for letter in letters] == [[row] for row in objects_of(FULL)]


def test_what_a_batch_says_lies_there_once() -> None:
    """Bytes a row of a part: below half of the 384 that 0.1.0 put there for the same rows."""
    assert sum(map(len, stored(make_rows(2000)))) / 2000 < 192


@pytest.mark.parametrize(
    ("part", "value", "says"),
    [
        ("time", "now", "time is str"),
        ("time", float("inf"), "time is inf"),
        ("time", 1e12, "time is 1000000000000"),
        ("entities", {"user": 5}, "entities.user is 5"),
        ("alert", 1, "alert is 1"),
        ("id", None, "id is NoneType"),
        ("id", 'x"}}\n{"delete":{"_id":"y', "id is str"),
        ("probability", float("nan"), "probability is nan"),
        ("band", "extreme", "band is str"),
        ("risk", 101, "risk is 101"),
        ("mitre", [["nested"]], "mitre.0 is list"),
        ("fields", {"a": 5}, "fields.a"),
        ("fields", 5, "fields is 5"),
        ("flags", [1], "flags.0 is 1"),
        ("revision", "1", "revision is str"),
        ("error", 5, "error is 5"),
        ("span", float("inf"), "span is inf"),
    ],
)
def test_a_row_of_the_wrong_form_is_refused_by_name(part: str, value: object, says: str) -> None:
    with pytest.raises(MalformedBody, match=says):
        rows_from(*objects_of(make_rows(1)), {**objects_of(make_rows(1))[0], part: value})


def test_a_refusal_does_not_quote_what_a_row_holds() -> None:
    """It goes into a log."""
    with pytest.raises(MalformedBody) as raised:
        rows_from({**objects_of(make_rows(1))[0], "alert": "alice"})
    assert "alice" not in raised.value.sentence()
    assert "scored row 0: alert is str" in raised.value.sentence()


@pytest.mark.parametrize("raw", [None, "rows", b"rows", [1], {"id": "x"}, [b"x"], [b""], [b"x", {}], [{1: 2}]])
def test_what_are_no_rows_is_refused(raw: object) -> None:
    with pytest.raises(MalformedBody):
        read_rows(raw)


def replaced(name: str, column: Any) -> Callable[[Any], Any]:
    return lambda table: table.set_column(table.schema.get_field_index(name), name, column)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop_columns(["risk"]), "risk"),
        (lambda table: table.append_column("more", pa.array([1, 2, 3])), "more"),
        (lambda table: table.append_column("user", table["user"]), "same name"),
        (replaced("risk", pa.array([1, 2, 3], pa.int64())), "risk"),
        (replaced("user", pa.array(["a", "b", "c"]).dictionary_encode()), "user"),
        (replaced("user", pa.array(["a", None, "c"])), "user"),
        (replaced("time", pa.array([1.0, math.nan, 2.0])), "time"),
        (replaced("time", pa.array([1.0, 1e12, 2.0])), "time"),
        (replaced("probability", pa.array([0.5, math.inf, 0.5])), "probability"),
        (replaced("band", pa.array([0, 4, 0], pa.uint8())), "band"),
        (replaced("risk", pa.array([0, 101, 0], pa.uint8())), "risk"),
        (replaced("revision", pa.array([0, -1, 0], pa.int64())), "revision"),
        (lambda table: table.drop_columns(["row_id"]), "row_id"),
        (lambda table: table.slice(0, 0), "0 scored rows"),
        (lambda table: table.replace_schema_metadata({}), "header"),
        (lambda table: table.replace_schema_metadata({b"qscore": b'{"model": 5}'}), "header"),
        (lambda table: table.replace_schema_metadata({b"qscore": b" " * 1_100_000}), "header of 1100000"),
    ],
)
def test_a_block_of_the_wrong_form_is_refused_by_name(change: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(MalformedBody, match=says):
        read_rows(packed(change(stream_of(FULL))))


@pytest.mark.parametrize(("part", "value"), [("threshold", 1e400), ("span", -1), ("mitre", "T1021"), ("starter", 1)])
def test_a_header_of_the_wrong_form_is_refused_by_name(part: str, value: object) -> None:
    table = stream_of(FULL)
    header = {**json.loads(table.schema.metadata[b"qscore"]), part: value}
    with pytest.raises(MalformedBody, match=part):
        read_rows(packed(table.replace_schema_metadata({b"qscore": json.dumps(header)})))


def test_a_compressed_block_is_refused() -> None:
    """A few bytes of it may claim any amount of memory."""
    with pytest.raises(MalformedBody, match="compressed"):
        read_rows(packed(stream_of(make_rows(3)), compression="zstd"))


def test_too_many_rows_are_refused() -> None:
    table = pa.concat_tables([stream_of(make_rows(1))] * 50_001)
    with pytest.raises(MalformedBody, match="too many scored rows"):
        read_rows(packed(table.combine_chunks()))


@given(st.data())
def test_a_changed_byte_gives_rows_or_a_refusal(data: st.DataObject) -> None:
    raw = bytearray(stored(FULL)[0])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        rows = read_rows([bytes(raw)])
    except MalformedBody:
        return
    assert len(objects_of(rows)) == len(rows.ids) == len(rows)


def test_rows_know_the_id_of_0_1_0_or_are_their_own() -> None:
    plain, both = make_rows(2), joined([make_rows(2), FULL])
    old = [row["old_id"] for row in objects_of(FULL)]
    assert plain.old_ids == plain.ids
    assert both.old_ids == [*plain.ids, *old]
    assert not set(old) & set(FULL.ids)
    assert read_letter(next(letters_of(FULL))).old_ids == old[:1]


def test_the_columns_of_a_full_row_are_all_that_there_are() -> None:
    rows = rows_from(*(row | {"error": "e"} for row in objects_of(FULL)))
    assert rows.blocks[0].columns.schema.names == list(COLUMNS)
