"""Arrow of every type and shape, and streams that lie about themselves: read, refused, never more than their bytes."""

from __future__ import annotations

import contextlib
import resource
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.scoring.tables import MAX_COLUMNS
from scorer.wire.errors import BadInput, BodyTooLarge, MalformedBody, RowCountMismatch
from scorer.wire.names import MAX_ROWS, MEDIA_ARROW, MEDIA_CSV
from scorer.wire.options import ScoreOptions
from tests.fuzz.hostile import stream

#: Where a column may stand: an input, a context, an input's companion, an edge column, and beside them all.
PLACES = ("events", "user", "_time", "__mv_events", "qscore_fields", "beside")


def inputs(rows: int) -> dict[str, Any]:
    return {name: np.ones(rows) for name in ("events", "logons", "failures")}


def read(model: TrainedModel, body: bytes, rows: int, media: str = MEDIA_ARROW) -> FeatureBatch:
    return decode(body, media, rows, model, model_name="lateral", batch_id="b" * 8, write=True)


def whole_way(model: TrainedModel, body: bytes, rows: int) -> None:
    """Read, score and encode; a line for every row, or a refusal with a name."""
    try:
        batch = read(model, body, rows)
    except BadInput:
        return
    assert encode_reply(score(model, "1", batch, ScoreOptions(explain="none"))).count(b"\n") == rows + 1


def offsets(*numbers: int) -> Any:
    return pa.array(numbers, pa.int32())


def huge_scale(width: int, scale: int = 2**31 - 1) -> Any:
    """Two decimals whose point lies two thousand million digits away."""
    kinds = {4: pa.decimal32, 8: pa.decimal64, 16: pa.decimal128, 32: pa.decimal256}
    digits = {4: 9, 8: 18, 16: 38, 32: 76}
    content = pa.py_buffer(b"\x7f" + b"\xff" * (2 * width - 1))
    return pa.Array.from_buffers(kinds[width](digits[width], scale), 2, [None, content])


def nested(depth: int, leaf: Any) -> Any:
    for _ in range(depth):
        leaf = pa.ListArray.from_arrays(offsets(*range(len(leaf) + 1)), leaf)
    return leaf


FAR = huge_scale(16)
WORDS = pa.array(["5", "x"])
COLUMNS: dict[str, Any] = {
    "list": pa.array([[1, 2], None]),
    "large list": pa.array([[1, 2], None], pa.large_list(pa.int64())),
    "fixed list": pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
    "list view": pa.array([[1, 2], None], pa.list_view(pa.int8())),
    "large list view": pa.array([[1, 2], None], pa.large_list_view(pa.int8())),
    "nested 60": nested(60, pa.array([1, 2])),
    "struct": pa.array([{"a": 1}, None]),
    "struct of nothing": pa.StructArray.from_arrays([], [], mask=pa.array([False, True])),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "sparse union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), WORDS]),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), offsets(0, 0), [pa.array([1.0]), pa.array(["x"])]
    ),
    "runs": pa.RunEndEncodedArray.from_arrays(offsets(2), pa.array([5.0])),
    "runs of words": pa.RunEndEncodedArray.from_arrays(offsets(1, 2), WORDS),
    "words of words": pa.DictionaryArray.from_arrays(offsets(0, 1), pa.array([[1], [2]])),
    "words of numbers": pa.DictionaryArray.from_arrays(offsets(0, 1), pa.array([1.5, None])),
    "words of moments": pa.DictionaryArray.from_arrays(offsets(0, 1), pa.array([1, 2], pa.timestamp("s"))),
    "words by wide numbers": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint64()), WORDS),
    "month day nano": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "duration": pa.array([2**62, None], pa.duration("s")),
    "seconds of a day": pa.array([1, None], pa.time32("s")),
    "days": pa.array([2**31 - 1, -(2**31)], pa.int32()).view(pa.date32()),
    "milliseconds": pa.array([2**63 - 1, -(2**63)]).view(pa.date64()),
    "moments": pa.array([2**63 - 1, -(2**63)]).view(pa.timestamp("ns", "Pacific/Apia")),
    "moments of no zone": pa.array([1, 2]).view(pa.timestamp("s", "Nowhere/Town")),
    "half floats": pa.array([np.float16("inf"), np.float16("nan")]),
    "truths": pa.array([True, None]),
    "nothing": pa.nulls(2),
    "bytes": pa.array([b"\xff\x00", None]),
    "large bytes": pa.array([b"5", None], pa.large_binary()),
    "bytes of no width": pa.array([b"", None], pa.binary(0)),
    "view of bytes": pa.array([b"a" * 20, None], pa.binary_view()),
    "view of text": pa.array(["a" * 20, None], pa.string_view()),
    "text of no text": pa.array([b"\xff\xfe", b"\x00"]).view(pa.string()),
    "uuid": pa.array([b"a" * 16, b"b" * 16], pa.uuid()),
    "json": pa.array(["{", "[" * 5000], pa.json_()),
    "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.int8(), "a", "b"), pa.array([1, 2], pa.int8())),
    "tensors": pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [1]), pa.array([[1], [2]], pa.list_(pa.int8(), 1))
    ),
    "decimals": pa.array([Decimal("1.50"), None], pa.decimal128(38, 2)),
    "wide decimals": pa.array([Decimal("9" * 76), None], pa.decimal256(76, 0)),
    **{f"far decimals of {width}": huge_scale(width) for width in (4, 8, 16, 32)},
    **{f"far decimals of {width} the other way": huge_scale(width, -(2**31)) for width in (4, 8, 16, 32)},
    "list of far decimals": pa.ListArray.from_arrays(offsets(0, 1, 2), FAR),
    "struct of far decimals": pa.StructArray.from_arrays([FAR], ["a"]),
    "map of far decimals": pa.MapArray.from_arrays(offsets(0, 1, 2), WORDS, FAR),
    "runs of far decimals": pa.RunEndEncodedArray.from_arrays(offsets(1, 2), FAR),
    "union of far decimals": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [FAR]),
    "words of lists of far decimals": pa.DictionaryArray.from_arrays(
        offsets(0, 1), pa.ListArray.from_arrays(offsets(0, 1, 2), FAR)
    ),
    "nested 60 around far decimals": nested(60, FAR),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_stands_anywhere(tiny_model: TrainedModel, name: str) -> None:
    for place in PLACES:
        whole_way(tiny_model, stream(pa.table({**inputs(2), place: COLUMNS[name]})), 2)


ROWS = 77


def int32s(*numbers: int) -> bytes:
    return np.array(numbers, np.int32).tobytes()


def int64s(*numbers: int) -> bytes:
    return np.array(numbers, np.int64).tobytes()


_TEXTS = [f"{k:05}" for k in range(ROWS)]
#: A good column, bytes of it in its stream, and what is put in their place: what it then says leads out of it.
LIES: dict[str, tuple[Any, bytes, bytes]] = {
    "offsets that go back": (pa.array(_TEXTS), int32s(5, 10, 15), int32s(5, 15, 10)),
    "offsets beyond the end": (pa.array(_TEXTS), int32s(5, 10, 15), int32s(5, 10, 2**31 - 1)),
    "offsets below zero": (pa.array(_TEXTS), int32s(5, 10, 15), int32s(5, -(2**31), 15)),
    "a last offset beyond": (pa.array(_TEXTS), int32s(380, 385), int32s(380, 2**31 - 1)),
    "large offsets beyond": (pa.array(_TEXTS, pa.large_string()), int64s(5, 10, 15), int64s(5, 2**62, 15)),
    "bytes beyond": (pa.array([t.encode() for t in _TEXTS]), int32s(5, 10, 15), int32s(5, 10, -1)),
    "a word that is not there": (
        pa.DictionaryArray.from_arrays(offsets(*[2, 0, 3] * 25, 1, 1), pa.array(["5", "6", "7", "8"])),
        int32s(2, 0, 3, 2, 0, 3),
        int32s(2, 0, 3, 2, 70, 3),
    ),
    "a word below zero": (
        pa.DictionaryArray.from_arrays(offsets(*[2, 0, 3] * 25, 1, 1), pa.array(["5", "6", "7", "8"])),
        int32s(2, 0, 3, 2, 0, 3),
        int32s(2, 0, 3, 2, -70, 3),
    ),
    "a view of nothing": (pa.array(["x" * 20] * ROWS, pa.string_view()), int32s(20), int32s(2**31 - 1)),
    "lists beyond their values": (
        pa.array([[1, 2, 3, 4, 5]] * ROWS, pa.list_(pa.int8())),
        int32s(5, 10, 15),
        int32s(5, 10, 2**31 - 1),
    ),
    "runs that end too early": (
        pa.RunEndEncodedArray.from_arrays(offsets(50, ROWS), pa.array([5.0, 6.0])),
        int32s(50, ROWS),
        int32s(50, 51),
    ),
    "runs that go back": (
        pa.RunEndEncodedArray.from_arrays(offsets(50, ROWS), pa.array([5.0, 6.0])),
        int32s(50, ROWS),
        int32s(50, -1),
    ),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("place", PLACES)
def test_a_column_that_leads_out_of_its_bytes_is_refused(tiny_model: TrainedModel, name: str, place: str) -> None:
    column, said, lie = LIES[name]
    body = stream(pa.table({**inputs(ROWS), place: column}))
    assert said in body
    assert len(read(tiny_model, stream(pa.table({**inputs(ROWS), "beside": column})), ROWS)) == ROWS
    with pytest.raises(MalformedBody):
        read(tiny_model, body.replace(said, lie), ROWS)


def grown(work: Any) -> int:
    """KiB by which the process grew while it did some work."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


LONG = "5" * 500_000
ZEROS = pa.array(np.zeros(MAX_ROWS, np.int32))
BOMBS: dict[str, Any] = {
    "words of half a megabyte": pa.DictionaryArray.from_arrays(ZEROS, pa.array([LONG])),
    "words of bytes": pa.DictionaryArray.from_arrays(ZEROS, pa.array([LONG.encode()])),
    "words in a struct": pa.StructArray.from_arrays([pa.DictionaryArray.from_arrays(ZEROS, pa.array([LONG]))], ["a"]),
    "one run": pa.RunEndEncodedArray.from_arrays(offsets(MAX_ROWS), pa.array([LONG])),
    "lists over one another": pa.ListViewArray.from_arrays(
        ZEROS, pa.array(np.full(MAX_ROWS, 1000, np.int32)), pa.array(["x" * 1000] * 1000)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("place", ["events", "user", "__mv_events", "beside"])
def test_few_bytes_never_become_gigabytes(tiny_model: TrainedModel, name: str, place: str) -> None:
    body = stream(pa.table({**inputs(MAX_ROWS), place: BOMBS[name]}))
    assert len(body) < 4_000_000

    def work() -> None:
        with contextlib.suppress(BodyTooLarge, MalformedBody):
            assert len(read(tiny_model, body, MAX_ROWS)) == MAX_ROWS

    assert grown(work) < 300_000


@pytest.mark.parametrize("count", [MAX_COLUMNS + 1, 30_000])
def test_more_columns_than_any_row_has_are_refused(tiny_model: TrainedModel, count: int) -> None:
    columns = {f"c{k}": pa.array([1.0]) for k in range(count)}
    body = stream(pa.table(columns))
    with pytest.raises((MalformedBody, BodyTooLarge)):
        read(tiny_model, body, 1)


def test_columns_of_one_name_are_one_defect_however_many(tiny_model: TrainedModel) -> None:
    names = [*inputs(1), *["events"] * 500]
    body = stream(pa.Table.from_arrays([pa.array([1.0])] * len(names), names=names))
    (defect,) = read(tiny_model, body, 1).defects.values()
    assert defect.code == "duplicate_column"


@pytest.mark.parametrize("rows", [2**31 - 1, 2**31, 2**40, 2**62, -1, -(2**63)])
@pytest.mark.parametrize("declared", [0, 3, MAX_ROWS])
def test_rows_that_a_few_bytes_claim_are_a_mismatch(tiny_model: TrainedModel, rows: int, declared: int) -> None:
    said = 7_654_321
    body = stream(pa.table({"events": pa.nulls(said)})).replace(int64s(said), int64s(rows))
    assert int64s(rows) in body
    assert len(body) < 1000
    with pytest.raises((RowCountMismatch, MalformedBody)):
        read(tiny_model, body, declared)


def test_what_is_no_stream_is_refused(tiny_model: TrainedModel) -> None:
    table = pa.table(inputs(2))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    file, good = sink.getvalue().to_pybytes(), stream(table)
    schema_alone = table.schema.serialize().to_pybytes()
    cases = (
        file,
        good * 2,  # what follows the end of a stream
        schema_alone + schema_alone,
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"\0" * 64,
        b"\xff\xff\xff\xff\xff\xff\xff\xff" + b"\0" * 64,
        b"\xff\xff\xff\xff\x08\0\0\0" + b"\xff" * 64,
        b"\0" * 1000,
        b"PAR1" + b"\0" * 100,
        b"ARROW1\0\0",
        good[8:],
        b"events,logons,failures\n1,1,1\n1,1,1\n",
    )
    for body in cases:
        try:
            found = read(tiny_model, body, 2)
        except (MalformedBody, RowCountMismatch):
            continue
        assert body == good * 2
        assert len(found) == 2


TEXT = "events,logons,failures\n5,1,0\n5,1,0\n"


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp037", "cp500"]
)
def test_csv_of_another_encoding_scores_no_row(tiny_model: TrainedModel, encoding: str) -> None:
    try:
        batch = read(tiny_model, TEXT.encode(encoding), 2, MEDIA_CSV)
    except BadInput:
        return
    assert batch.columns == {}, "no column has a name that is the model's"
