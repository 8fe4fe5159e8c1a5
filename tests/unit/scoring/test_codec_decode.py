"""Bodies in three formats: what is read, which rows are defective, which bodies are refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.scoring.decode import decode
from scorer.wire.errors import BodyTooLarge, MalformedBody, RowCountMismatch, UnsupportedMediaType
from scorer.wire.names import MEDIA_ARROW, MEDIA_JSON, STATUS_CODES

Read = Callable[..., FeatureBatch]
HEADER = b"events,logons,failures\n"


def arrow(columns: dict[str, Any], compression: str | None = None) -> bytes:
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


@pytest.mark.parametrize(
    "body",
    [
        b"events,logons,failures\n5,1,0\n6.5,2,1\n",
        b"events,logons,failures\r\n5,1,0\r\n6.5,2,1\r\n",
        b"\xef\xbb\xbfevents,logons,failures\n5,1,0\n6.5,2,1",
        b'"events","logons","failures"\n"5","1","0"\n6.5,2,1\n',
        b"failures,user,events,logons\n0,ann,5,1\n1,\xff,6.5,2\n",
        b'failures,user,events,logons\n0,"a\nn",5,1\n1,\'b,6.5,2\n',
        b'"f""\n\n","ev\nil",events,logons,failures\nx,x,5,1,0\nx,x,6.5,2,1\n',
        b"events,logons,failures\n 5 ,+1,0.0\n6.5,2e0,1.\n",
    ],
)
def test_csv_in_all_its_shapes(read: Read, body: bytes) -> None:
    rows = read(body, 2)
    assert {name: list(column) for name, column in rows.columns.items()} == {
        "events": [5.0, 6.5],
        "logons": [1.0, 2.0],
        "failures": [0.0, 1.0],
    }
    assert rows.defects == {}
    assert rows.context == {}
    assert list(rows.row_ids) == [0, 1]


CELLS = [
    (b"", "", ""),
    (b'""', "", ""),
    (b"  ", "", ""),
    (b"x", "not_a_number", "events is 'x'"),
    (b"1_000", "not_a_number", "'1_000'"),
    (b"0x10", "not_a_number", "'0x10'"),
    (b'"1,000"', "not_a_number", "'1,000'"),
    (b"--5", "not_a_number", "'--5'"),
    ("\u0663".encode(), "not_a_number", r"'\u0663'"),
    (b"\xff\xfe", "not_a_number", r"'\ufffd\ufffd'"),
    (b"5" + b"x" * 500, "not_a_number", "..."),
    (b"\x00", "not_a_number", r"'\x00'"),
    (b'"1\n2"', "multivalue", "one is needed"),
    (b"nan", "infinite", "nan"),
    (b"-Infinity", "infinite", "-infinity"),
    (b"inf", "infinite", "inf"),
]


@pytest.mark.parametrize(("cell", "code", "part"), CELLS)
def test_one_bad_cell_spoils_one_row_only(read: Read, cell: bytes, code: str, part: str) -> None:
    rows = read(HEADER + b"5,1,0\n" + cell + b",1,0\n7,2,0\nzzz,2,0\n", 4)
    values = np.asarray(rows.columns["events"])
    assert values[[0, 2]].tolist() == [5.0, 7.0]
    assert np.isnan(values[1])
    said = str(rows.defects.get(1, ""))  # an empty cell is the model's affair
    assert said.split(":")[0] == code
    assert part in said
    assert code in STATUS_CODES or not code


def test_infinity_is_found_on_the_fast_path_too(read: Read) -> None:
    rows = read(HEADER + b"nan,1,0\n1e400,1,0\n5,1,0\n,1,0\n", 4)
    assert set(rows.defects) == {0}
    assert rows.columns["events"][1] == np.inf
    assert np.isnan(rows.columns["events"][3])


def test_multivalue_companions_mark_their_rows(read: Read) -> None:
    body = b'events,__mv_events,logons,failures,__mv_user\n5,,1,0,$a$;$b$\n5,"$5$;$6$",1,0,\n'
    rows = read(body, 2)
    assert list(rows.defects) == [1]
    assert str(rows.defects[1]).startswith("multivalue: events")
    assert np.isnan(rows.columns["events"][1])


def test_a_companion_explains_what_the_cell_alone_cannot(read: Read) -> None:
    rows = read(b'events,__mv_events,logons,failures\n"5\nx","$5$;$x$",1,0\n', 1)
    assert str(rows.defects[0]).startswith("multivalue: events")


def test_duplicate_columns_of_an_input_spoil_every_row(read: Read) -> None:
    rows = read(b"events,logons,failures,events\n5,1,0,6\n5,1,0,6\n", 2)
    assert {defect.code for defect in rows.defects.values()} == {"duplicate_column"}
    assert sorted(rows.defects) == [0, 1]
    assert read(b"events,logons,failures,other,other\n5,1,0,6,7\n", 1).defects == {}


def test_absent_columns_are_left_out(read: Read) -> None:
    rows = read(b"events,other\n5,1\n", 1)
    assert set(rows.columns) == {"events"}
    assert set(read(b"other\n5\n", 1).columns) == set()


@pytest.mark.parametrize(
    ("body", "rows"), [(b"", 0), (HEADER, 0), (HEADER.strip(), 0), (HEADER + b"5,1,0", 1), (b"events\n\n\n5\n", 3)]
)
def test_row_counts(read: Read, body: bytes, rows: int) -> None:
    assert len(read(body, rows)) == rows
    with pytest.raises((RowCountMismatch, MalformedBody)):
        read(body, rows + 1)


def test_fifty_thousand_rows(read: Read, body_of: Callable[[int], bytes]) -> None:
    rows = read(body_of(50_000), 50_000)
    assert len(rows.columns["events"]) == 50_000
    with pytest.raises(BodyTooLarge, match="50001 rows"):
        read(b"", 50_001)


@pytest.mark.parametrize(
    "body",
    [
        b"\n5\n",
        b"\xff,logons\n5,1\n",
        b'"events,logons\n5,1\n',
        HEADER + b"5,1\n",
        HEADER + b"5,1,0,9\n",
        HEADER + b"5,1,0\n\n",
        b",".join([b"c"] * 2001) + b"\n",
        gzip.compress(HEADER + b"5,1,0\n"),
        b"c" * (1 << 20) + b",events\n5,1\n",
        b'"' + b"\n" * ((1 << 20) + 9),
    ],
)
def test_broken_csv_is_refused(read: Read, body: bytes) -> None:
    with pytest.raises((MalformedBody, RowCountMismatch)):
        read(body, 1)


def test_context_is_read_only_for_writing(read: Read) -> None:
    body = b'events,logons,failures,_time,user,src,index\n5,1,0,1600000000.25,"ann, b",\xc3\xa9,\n5,x,0,7,b,\xff,i\n'
    assert read(body, 2).context == {}
    rows = read(body, 2, write=True)
    assert rows.context == {
        "_time": ["1600000000.25", "7"],
        "user": ["ann, b", "b"],
        "src": ["é", "\ufffd"],
        "index": ["", "i"],
    }


def test_zero_rows_with_context(read: Read) -> None:
    rows = read(b"events,logons,failures,_time,user\n", 0, write=True)
    assert rows.context == {"_time": [], "user": []}
    assert len(rows) == 0


def test_json_columns(read: Read) -> None:
    columns: dict[str, list[Any]] = {
        "events": [5, 6.5, None, "7", [1, 2], True, {}, 10**400, "x"],
        "logons": [1] * 9,
        "failures": [0] * 9,
        "_time": [1600000000, 1600000000.5, None, "x", 1, 1, 1, 1, 1],
    }
    rows = read(json.dumps({"columns": columns}).encode(), 9, MEDIA_JSON, write=True)
    assert np.asarray(rows.columns["events"])[[0, 1, 3]].tolist() == [5.0, 6.5, 7.0]
    assert {row: defect.code for row, defect in rows.defects.items()} == {
        4: "multivalue",
        5: "not_a_number",
        6: "not_a_number",
        8: "not_a_number",
    }
    assert rows.columns["events"][7] == np.inf
    assert rows.context["_time"][:4] == ["1600000000", "1600000000.5", "", "x"]


def test_json_infinities_are_defects(read: Read) -> None:
    body = b'{"columns": {"events": [NaN, 5, Infinity], "logons": [1, 1, 1], "failures": [0, 0, 0]}}'
    rows = read(body, 3, MEDIA_JSON)
    assert str(rows.defects[0]).startswith("infinite")
    assert rows.columns["events"][2] == np.inf


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"columns": []}',
        b'{"columns": {"events": 5}}',
        b'{"columns": {"events": [1]}, "more": 1}',
        b'{"columns": {"events": [1], "logons": [1, 2]}}',
        b'{"columns": {"events": [1]',
        b"[" * 100_000,
        b'{"columns": {"events": [' + b"[" * 600 + b"]" * 600 + b"]}}",
        b"\xff",
    ],
)
def test_broken_json_is_refused(read: Read, body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read(body, 1, MEDIA_JSON)


@pytest.mark.parametrize(("sign", "value"), [("", np.inf), ("-", -np.inf)])
@pytest.mark.parametrize("digits", [310, 400, 401, 5000])
def test_a_whole_number_of_any_length_costs_its_own_row_alone(read: Read, sign: str, digits: int, value: float) -> None:
    number = sign.encode() + b"9" * digits
    body = b'{"columns": {"events": [' + number + b', 5], "logons": [1, 1], "failures": [0, 0]}}'
    assert list(read(body, 2, MEDIA_JSON).columns["events"]) == [value, 5.0]


def test_a_name_that_stands_twice_in_json_is_seen(read: Read) -> None:
    rows = read(b'{"columns": {"events": [1], "logons": [1], "failures": [0], "events": [2]}}', 1, MEDIA_JSON)
    assert str(rows.defects[0]).startswith("duplicate_column: two columns are called events")


def test_arrow_streams(read: Read) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)
    body = arrow(
        {
            "events": pa.array([5, None, 7], pa.int32()),
            "logons": pa.array([1.0, float("nan"), float("inf")]),
            "failures": pa.array(["0", "x", "1\n2"]).dictionary_encode(),
            "_time": pa.array([when] * 3, pa.timestamp("ns", "UTC")),
            "user": pa.array(["ann", None, "b"]),
        }
    )
    rows = read(body, 3, MEDIA_ARROW, write=True)
    assert rows.columns["events"][0] == 5.0
    assert np.isnan(rows.columns["events"][1])
    assert {row: defect.code for row, defect in rows.defects.items()} == {1: "infinite", 2: "multivalue"}
    assert rows.context["_time"] == [str(when.timestamp())] * 3
    assert rows.context["user"] == ["ann", "", "b"]


def test_arrow_types_that_are_no_numbers(read: Read) -> None:
    columns = {"events": pa.array([[1, 2], None]), "logons": pa.array([True, None]), "failures": pa.nulls(2)}
    rows = read(arrow(columns), 2, MEDIA_ARROW)
    assert set(rows.defects) == {0}
    assert str(rows.defects[0]).startswith("multivalue: events")
    assert np.isnan(rows.columns["failures"]).all()


ODD = [
    pa.array(["5", None], pa.large_string()),
    pa.array([b"5", None], pa.large_binary()),
    pa.array([5, None], pa.uint8()),
    pa.array([5, None], pa.decimal128(5, 2)),
    pa.array([np.float16(5), None], pa.float16()),
    pa.array(["5", None]).dictionary_encode(),
]


@pytest.mark.parametrize("column", ODD, ids=lambda column: str(column.type)[:20])
def test_every_way_to_say_five_in_arrow(read: Read, column: Any) -> None:
    rows = read(arrow({"events": column, "logons": [1.0, 1.0], "failures": [0.0, 0.0], "user": column}), 2, MEDIA_ARROW)
    assert rows.columns["events"][0] == 5.0
    assert np.isnan(rows.columns["events"][1])
    assert rows.defects == {}


HOSTILE = [
    pa.array([2**62, None], pa.timestamp("s")),
    pa.array([2**30, None], pa.date32()),
    pa.array(["5", None], pa.string_view()),
    pa.array([{"a": 1}, None]),
    pa.array([[1], None]),
    pa.array([2**62, None], pa.duration("ns")),
    pa.array([b"abc", None], pa.binary(3)),
    pa.RunEndEncodedArray.from_arrays([2], ["x"]),
]


@pytest.mark.parametrize("column", HOSTILE, ids=lambda column: str(column.type)[:20])
def test_odd_arrow_types_spoil_rows_as_inputs_and_are_refused_as_context(read: Read, column: Any) -> None:
    good = {"logons": [1.0, 1.0], "failures": [0.0, 0.0]}
    assert 0 in read(arrow({"events": column, **good}), 2, MEDIA_ARROW, write=True).defects
    body = arrow({"events": [1.0, 1.0], **good, "user": column})
    assert len(read(body, 2, MEDIA_ARROW)) == 2
    if pa.types.is_timestamp(column.type):
        assert read(body, 2, MEDIA_ARROW, write=True).context["user"][1] == ""
    else:
        with pytest.raises(MalformedBody, match="the column user is of the type"):
            read(body, 2, MEDIA_ARROW, write=True)


def test_a_dictionary_that_unfolds_to_gigabytes_is_refused(read: Read) -> None:
    bomb = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["5" * 100_000])
    for name in ("events", "user"):
        with pytest.raises(BodyTooLarge, match=rf"the columns take \d{{10}} bytes, \d{{10}} of them for {name}"):
            read(arrow({name: bomb}), 20_000, MEDIA_ARROW, write=True)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_arrow_is_refused_before_it_is_unpacked(read: Read, codec: str) -> None:
    zeros = np.zeros(40_000)
    body = arrow({"events": zeros, "logons": zeros, "failures": zeros}, codec)
    with pytest.raises(MalformedBody, match="compressed"):
        read(body, 40_000, MEDIA_ARROW)
    words = arrow({"events": pa.array(["5" * 300] * 4000).dictionary_encode()}, codec)
    with pytest.raises(MalformedBody, match="compressed"):
        read(words, 4000, MEDIA_ARROW)


@pytest.mark.parametrize("cut", [0, 1, 4, 100, 300, -100, -9])
def test_arrow_cut_short_is_refused(read: Read, cut: int) -> None:
    body = arrow({"events": [5.0] * 50, "logons": [1.0] * 50, "failures": [0.0] * 50})
    with pytest.raises((MalformedBody, RowCountMismatch)):
        read(body[:cut], 50, MEDIA_ARROW)


def test_other_media_types_are_refused(tiny_model: TrainedModel) -> None:
    with pytest.raises(UnsupportedMediaType, match="application/xml"):
        decode(b"<a/>", "application/xml", 1, tiny_model, model_name="lateral", batch_id="b" * 8, write=False)


def test_media_type_parameters_do_not_matter(read: Read) -> None:
    assert len(read(HEADER + b"5,1,0\n", 1, "Text/CSV; charset=utf-8")) == 1
