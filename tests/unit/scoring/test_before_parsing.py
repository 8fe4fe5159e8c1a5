"""Bodies that claim much with few bytes, or hold far more than was declared, are refused before they cost anything."""

from __future__ import annotations

import csv
import io
import json
import resource
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.models.trained import TrainedModel
from scorer.scoring.csv_records import line_ends, unquoted_records
from scorer.scoring.decode import decode
from scorer.scoring.json_shape import MAX_DEPTH
from scorer.wire.errors import BadInput, BodyTooLarge, MalformedBody, RowCountMismatch
from scorer.wire.limits import body_limit
from scorer.wire.names import MAX_ROWS, MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON
from tests.fuzz.hostile import json_bodies, stream

CONTEXT = ("user", "src", "dest", "host", "port_class", "origin_id", "index", "sourcetype")
HEADER = b"events,logons,failures\n"


def read(model: TrainedModel, body: bytes, rows: int, media: str = MEDIA_CSV, write: bool = True) -> Any:
    return decode(body, media, rows, model, model_name="lateral", batch_id="b" * 8, write=write)


def inputs(rows: int) -> dict[str, Any]:
    return {name: np.ones(rows) for name in ("events", "logons", "failures")}


LINES = st.lists(st.sampled_from(["a", ",", "\n", "\r", "\r\n", "é"]), max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(text=LINES)
def test_records_without_quotes_are_counted_as_the_parser_counts_them(text: str) -> None:
    content = text.replace(",", "").encode()
    if not content:
        return
    table = pa_csv.read_csv(
        pa.BufferReader(content),
        pa_csv.ReadOptions(column_names=["a"]),
        pa_csv.ParseOptions(ignore_empty_lines=False),
        pa_csv.ConvertOptions(column_types={"a": pa.binary()}),
    )
    assert unquoted_records(content) == table.num_rows


def test_line_ends_of_a_large_body_are_counted_in_blocks() -> None:
    assert line_ends(b"a\n" * 3_000_000 + b"\r\n" * 10 + b"\r") == 3_000_011


@pytest.mark.parametrize(
    "body",
    [
        HEADER + b"1,1,0\n" * 4,
        HEADER + b'1,"1",0\n' * 4,
        b"events\n" + b"\n" * 900_000,
        b"events\n" + b"\r" * 900_000,
        b'events\n"x' + b"\n" * 10 + b'"\n' + b"\n" * 900_000,
        b'events\nx",' + b"\n" * 900_000,  # by the number of quotes, all of it would be one cell
        b'events\nx"' + b"\n" * 900_000 + b'"',
    ],
    ids=["plain", "quoted", "line feeds", "returns", "after a long cell", "stray quote", "two stray quotes"],
)
def test_more_records_than_declared_are_a_mismatch(tiny_model: TrainedModel, body: bytes) -> None:
    with pytest.raises((RowCountMismatch, MalformedBody)):
        read(tiny_model, body, 3)


def test_line_ends_inside_quotes_are_no_records(tiny_model: TrainedModel) -> None:
    text = io.StringIO(newline="")
    rows = [(5, 1, 0, "line\n" * 40 + str(k)) for k in range(3)]
    csv.writer(text).writerows([("events", "logons", "failures", "user"), *rows])
    batch = read(tiny_model, text.getvalue().encode(), 3)
    assert list(batch.context["user"]) == [row[3] for row in rows]
    assert not batch.defects


def test_long_bodies_of_cells_with_line_ends_are_read_in_blocks(tiny_model: TrainedModel) -> None:
    rows = 8_000
    body = b"events,logons,failures,user\n" + b"".join(b'5,1,0,"%d\n%s"\n' % (k, b"u" * 1000) for k in range(rows))
    batch = read(tiny_model, body, rows)
    assert [user.split("\n")[0] for user in batch.context["user"]] == [str(k) for k in range(rows)]
    with pytest.raises(RowCountMismatch):
        read(tiny_model, body, rows - 1)


def test_a_body_beyond_the_bytes_of_its_rows_is_not_parsed(tiny_model: TrainedModel) -> None:
    for media in (MEDIA_CSV, MEDIA_JSON, MEDIA_ARROW):
        with pytest.raises(BodyTooLarge):
            read(tiny_model, b"x" * (body_limit(3, media) + 1), 3, media)


HOSTILE = json_bodies()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_with_little_memory(tiny_model: TrainedModel, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput):
        read(tiny_model, HOSTILE[name], MAX_ROWS, MEDIA_JSON)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


def test_lists_as_deep_as_allowed_are_cells_and_one_more_is_refused(tiny_model: TrainedModel) -> None:
    for deep, error in ((MAX_DEPTH - 3, RowCountMismatch), (MAX_DEPTH - 2, MalformedBody)):
        body = json.dumps({"columns": {"events": ["["]}}).replace('"["', "[" * deep + "]" * deep).encode()
        with pytest.raises(error):
            read(tiny_model, body, 2, MEDIA_JSON)


def test_brackets_inside_strings_are_text(tiny_model: TrainedModel) -> None:
    users = ['[{,:"\\' * 40, "\\", '"', '\\"[', "\\\\"]
    body = json.dumps({"columns": {"events": [5] * 5, "logons": [1] * 5, "failures": [0] * 5, "user": users}}).encode()
    assert list(read(tiny_model, body, 5, MEDIA_JSON).context["user"]) == users


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.sampled_from('a\\"[]{},:'), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('b"\\', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(cells=st.lists(JSON, min_size=1, max_size=6))
def test_whatever_python_writes_is_let_through_to_the_parser(tiny_model: TrainedModel, cells: list[Any]) -> None:
    body = json.dumps({"columns": {"events": cells}}).encode()
    assert len(read(tiny_model, body, len(cells), MEDIA_JSON)) == len(cells)


def test_dictionaries_that_decode_to_gigabytes_are_refused(tiny_model: TrainedModel) -> None:
    rows, words = MAX_ROWS, pa.array(["u" * 2_000, "v"])
    codes = pa.array(np.zeros(rows, np.int8))
    columns = {name: pa.DictionaryArray.from_arrays(codes, words) for name in CONTEXT}
    body = stream(pa.table(inputs(rows) | columns))
    assert len(body) < 3_000_000
    with pytest.raises(BodyTooLarge, match=r"800000000|bytes"):
        read(tiny_model, body, rows, MEDIA_ARROW)
    assert len(read(tiny_model, body, rows, MEDIA_ARROW, write=False)) == rows  # what is not asked for is not decoded


def test_numbers_as_words_of_a_dictionary_are_counted_over_all_columns(tiny_model: TrainedModel) -> None:
    codes = pa.array(np.zeros(MAX_ROWS, np.int8))
    columns = {name: pa.DictionaryArray.from_arrays(codes, pa.array(["1" * 3_000])) for name in inputs(1)}
    with pytest.raises(BodyTooLarge, match="Send smaller batches"):
        read(tiny_model, stream(pa.table(columns)), MAX_ROWS, MEDIA_ARROW)


def test_few_wide_characters_count_as_what_python_makes_of_them(tiny_model: TrainedModel) -> None:
    texts = pa.array(["a" * 1_000 + "\U0001f600"] * 20_000)
    body = stream(pa.table(inputs(20_000) | dict.fromkeys(CONTEXT[:4], texts)))
    with pytest.raises(BodyTooLarge):
        read(tiny_model, body + b"", 20_000, MEDIA_ARROW)


def test_ordinary_dictionaries_and_texts_are_read(tiny_model: TrainedModel) -> None:
    users = pa.array([f"user{k % 300}é" for k in range(MAX_ROWS)])
    columns = {name: users.dictionary_encode() for name in CONTEXT[:4]} | dict.fromkeys(CONTEXT[4:], users)
    batch = read(tiny_model, stream(pa.table(inputs(MAX_ROWS) | columns)), MAX_ROWS, MEDIA_ARROW)
    assert list(batch.context["user"]) == list(batch.context["index"]) == users.to_pylist()


def test_rows_claimed_by_a_few_bytes_are_a_mismatch(tiny_model: TrainedModel) -> None:
    body = stream(pa.table({"events": pa.nulls(2**31 - 1)}))
    with pytest.raises(RowCountMismatch):
        read(tiny_model, body, 3, MEDIA_ARROW)


def test_thousands_of_empty_record_batches_are_refused(tiny_model: TrainedModel) -> None:
    schema = pa.schema([(f"c{k}", pa.float64()) for k in range(3)])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for _ in range(5_000):
            writer.write_batch(pa.record_batch([pa.array([], pa.float64())] * 3, schema=schema))
    with pytest.raises(MalformedBody, match="too many messages"):
        read(tiny_model, sink.getvalue().to_pybytes(), 3_000, MEDIA_ARROW)


def test_dictionaries_in_pieces_are_refused(tiny_model: TrainedModel) -> None:
    sink = pa.BufferOutputStream()
    schema = pa.schema([("user", pa.dictionary(pa.int32(), pa.string()))])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for words in (["a"], ["a", "b"]):
            array = pa.DictionaryArray.from_arrays(pa.array([len(words) - 1], pa.int32()), pa.array(words))
            writer.write_batch(pa.record_batch([array], schema=schema))
    with pytest.raises(MalformedBody, match="dictionary in pieces"):
        read(tiny_model, sink.getvalue().to_pybytes(), 2, MEDIA_ARROW)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_streams_are_refused(tiny_model: TrainedModel, codec: str) -> None:
    with pytest.raises(MalformedBody, match="compressed"):
        read(tiny_model, stream(pa.table(inputs(3)), compression=codec), 3, MEDIA_ARROW)


def beyond_python(scale: int) -> Any:
    """Decimals whose point lies two thousand million digits away: valid to Arrow, unreadable to Python."""
    wide = pa.array([Decimal("9" * 38)] * 2, pa.decimal128(38, 0))
    return pa.Array.from_buffers(pa.decimal128(38, scale), 2, wide.buffers())


@pytest.mark.parametrize("name", ["user", "_time", "events", "__mv_events", "qscore_fields"])
@pytest.mark.parametrize(
    "column",
    [
        beyond_python(2**31 - 1),
        beyond_python(-(2**31)),
        beyond_python(-76),
        beyond_python(76),
        pa.array([2**63 - 1] * 2).view(pa.timestamp("s")),
        pa.array([2**63 - 1] * 2).view(pa.date64()),
        pa.array([2**62] * 2).view(pa.duration("s")),
        pa.array([b"\xff\xfe", b"\x00"]).view(pa.string()),
        pa.array([1, 1]).view(pa.time64("ns")),
        pa.array([[1], [2]], pa.list_view(pa.int8())),
        pa.array(["a", "b"], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["x" * 100])),
        pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
        pa.array([Decimal("9" * 76)] * 2, pa.decimal256(76, 0)),
        pa.array([1.0, float("nan")], pa.float16()),
        pa.array([{"a": 1}, None]),
        pa.array([b"ab", b"cd"], pa.binary(2)),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_columns_of_any_type_are_read_or_refused(tiny_model: TrainedModel, name: str, column: Any) -> None:
    body = stream(pa.table({**inputs(2), name: column}))
    try:
        batch = read(tiny_model, body, 2, MEDIA_ARROW)
    except MalformedBody:
        return
    assert len(batch) == 2


@pytest.mark.parametrize("scale", [2**31 - 1, -(2**31), 77, -77])
@pytest.mark.parametrize("name", ["user", "events", "beside"])
def test_decimals_that_crash_a_cast_never_reach_it(tiny_model: TrainedModel, name: str, scale: int) -> None:
    for column in (beyond_python(scale), pa.DictionaryArray.from_arrays(pa.array([0, 1]), beyond_python(scale))):
        with pytest.raises(MalformedBody, match=f"column {name} is a decimal of the scale {scale}"):
            read(tiny_model, stream(pa.table({**inputs(2), name: column})), 2, MEDIA_ARROW)


def test_a_decimal_that_python_cannot_hold_is_a_malformed_body(tiny_model: TrainedModel) -> None:
    with pytest.raises(MalformedBody, match="column user is a decimal of the scale 2147483647"):
        read(tiny_model, stream(pa.table({**inputs(2), "user": beyond_python(2**31 - 1)})), 2, MEDIA_ARROW)


def test_a_decimal_of_more_digits_than_its_type_has_is_a_malformed_body(tiny_model: TrainedModel) -> None:
    wide = pa.array([Decimal("9" * 38)] * 2, pa.decimal128(38, 0))
    short = pa.Array.from_buffers(pa.decimal128(3, 0), 2, wide.buffers())
    with pytest.raises(MalformedBody, match="does not fit in precision"):
        read(tiny_model, stream(pa.table({**inputs(2), "user": short})), 2, MEDIA_ARROW)
