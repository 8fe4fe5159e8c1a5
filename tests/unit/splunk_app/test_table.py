"""CSV handled as bytes: held against Python's csv module."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.wire.names import OUTPUT_COLUMNS
from splunk_app.request import select, split
from splunk_app.table import ChunkTable, flatten
from tests.unit.splunk_app.pasting import paste

cells = st.text(alphabet=st.one_of(st.sampled_from('",\n\r$; \tà日'), st.characters(codec="utf-8")), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """A header of different names and rows of the same width."""
    width = draw(st.integers(1, 5))
    names = draw(st.lists(st.text("abcd_.é ,\"'", min_size=1, max_size=6), min_size=width, max_size=width, unique=True))
    rows = draw(st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))
    return [names, *rows]


def cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if not text or set(text) & set('",\r\n') else text


def written(rows: list[list[str]], ending: str = "\n") -> bytes:
    """As RFC 4180 has it. (csv.writer leaves a carriage return unquoted where lines end in LF.)"""
    return "".join(",".join(map(cell, row)) + ending for row in rows).encode()


def parsed(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


@given(tables(), st.sampled_from(["\n", "\r\n"]))
def test_names_and_rows_are_those_that_csv_reads(rows: list[list[str]], ending: str) -> None:
    table = ChunkTable.read(written(rows, ending))
    assert list(table.names) == rows[0]
    assert len(table) == len(rows) - 1


@given(tables(), st.sampled_from(["\n", "\r\n"]))
def test_pasting_keeps_every_cell_and_row_byte_for_byte(rows: list[list[str]], ending: str) -> None:
    body = written(rows, ending)
    table = ChunkTable.read(body)
    marks = [b"0.5,50,low,0,0.5,0.5,,lateral,1,row %d" % i for i in range(len(table))]
    pasted = paste(table, marks)
    assert parsed(pasted) == [
        row + (list(OUTPUT_COLUMNS) if at == 0 else parsed(marks[at - 1])[0]) for at, row in enumerate(rows)
    ]
    stripped = pasted.replace(b"," + ",".join(OUTPUT_COLUMNS).encode(), b"", 1)
    for mark in marks:
        stripped = stripped.replace(b"," + mark, b"", 1)
    assert stripped == body


@given(tables(), st.data())
def test_a_cut_holds_the_cells_that_were_asked_for(rows: list[list[str]], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(rows[0]), min_size=1, unique=True))
    table = ChunkTable.read(written(rows))
    columns = [f"c{at}" for at in range(len(wanted))]
    selection = select(table.names, columns, columns, dict(zip(columns, wanted, strict=True)))
    places = [rows[0].index(own) for own in wanted]
    order = sorted(range(len(wanted)), key=lambda at: places[at])
    found: list[list[str]] = []
    for part in split(table, selection, 0, len(table)):
        head, *lines = parsed(part.body)
        assert head == [columns[at] for at in order]
        found += lines
    # An unquoted carriage return could end a line, and is sent as a space; csv quotes them, so none changes here.
    assert found == [[row[places[at]] for at in order] for row in rows[1:]]


@given(st.binary(max_size=200))
def test_any_bytes_make_a_table_whose_rows_get_their_scores(body: bytes) -> None:
    table = ChunkTable.read(body)
    pasted = paste(table, [b",,,,,,,m,1,not_scored"] * len(table))
    again = ChunkTable.read(pasted)
    assert len(again) == len(table)
    for part in split(table, select(table.names, ["a"], ["a"], {}), 0, len(table)):
        part.body.decode()


def test_quotes_are_flattened_and_restored() -> None:
    flat, restore = flatten(b'a,b\n"1,2","x\r\ny ""z"""\n')
    assert restore is not None
    assert flat.count(b",") == 2
    assert flat.count(b"\n") == 2
    assert flat.translate(restore) == b'a,b\n"1,2","x\r\ny ""z"""\n'


def test_a_body_without_quotes_is_not_copied() -> None:
    body = b"a,b\n1,2\n"
    assert flatten(body) == (body, None)


def test_bytes_that_are_no_text_lose_only_what_is_no_text() -> None:
    body = b'a,b\n"' + bytes(range(0xC0, 0x100)) + b'",2\n'
    table = ChunkTable.read(body)
    assert len(table) == 1
    assert paste(table, [b"x"]).startswith(b"a,b,qscore,")


def test_an_open_quote_is_closed_at_the_end() -> None:
    table = ChunkTable.read(b'a,b\n1,2\n3,"open\n4,5\n')
    assert len(table) == 2
    assert parsed(paste(table, [b"x", b"y"]))[2] == ["3", "open\n4,5\n", "y"]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"a,b\n1\n1,2,3\n1,2\n", [b"1,", b"1,2", b"1,2"]),
        (b"a,b\n1\n1,2,3\n", [b"1,", b"1,2"]),
        (b"a,b\n1,2", [b"1,2"]),
        (b"a,b\r\n1,2\r\n", [b"1,2"]),
        (b"a,b\n1,2\r\n3,4\n", [b"1,2", b"3,4"]),
        (b"a\n\n7\n", [b"", b"7"]),
        (b"a,b\n", []),
        (b"", []),
        (b"\n\n\n", [b"", b""]),
    ],
)
def test_records(body: bytes, records: list[bytes]) -> None:
    table = ChunkTable.read(body)
    assert table.cut(range(len(table.names))) == records


def test_line_ends_of_the_chunk_are_kept() -> None:
    assert paste(ChunkTable.read(b"a\r\n1\r\n"), [b"x"]).count(b"\r\n") == 2
    assert b"\r" not in paste(ChunkTable.read(b"a\n1\n"), [b"x"])
