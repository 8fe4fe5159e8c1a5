"""A cell means the same wherever it comes from: in a body to score, in a file to train on, in a document."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elastic_connector.read.document_cells import FieldPath, column, times
from scorer.rows.cells import MAX_TEXT, account, clean, numbers, parsed, seconds, unread
from scorer.rows.fields import numeric, resolve
from scorer.rows.recipe import load_recipe
from scorer.wire.errors import BadTrainingData

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\Z")
ODD = ["", "-", "+5", "1.", ".5", "1e3", "1E+5", "inf", "-Infinity", "nan", "nan(1)", "0x10", "1_0", "1d", "1,5", "١",
       " 7 ", "\u00a07", "007", "5.0", "5.00", "-0.0", "1e", "e1", "1e999", "true", "9" * 400]  # fmt: skip
letters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"))
cells = st.one_of(st.sampled_from(ODD), st.floats(allow_nan=False).map(str), st.text(letters, max_size=6))


def plain_number(cell: str) -> float | None:
    """What one cell means, in plain Python."""
    text = cell.strip()
    return float(text) if NUMBER.match(text) else None


@given(st.lists(cells, max_size=8))
@example(["1", "2"])
@example(["1", "lots", ""])
def test_a_body_holds_the_numbers_that_its_cells_say(given_: list[str]) -> None:
    found = numbers("bytes", pa.array(given_, pa.string()))
    for row, cell in enumerate(given_):
        wanted = plain_number(cell)
        if wanted is None:
            assert math.isnan(found.values[row])
            assert (row in found.defects) == bool(cell.strip())
        else:
            assert found.values[row] == pytest.approx(wanted, rel=1e-15)
            assert row not in found.defects


@given(st.lists(cells, min_size=1, max_size=8))
def test_body_file_and_document_agree_on_numbers(given_: list[str]) -> None:
    cleaned = [None if cell.strip() in ("", "-") else cell for cell in given_]
    body = numbers("bytes", pa.array(cleaned, pa.string()))
    documents = column([FieldPath.of("bytes")], [{"bytes": cell} for cell in given_])
    values, defects = documents.numbers()
    assert defects == body.defects
    assert [math.nan if v is None else v for v in values.to_pylist()] == pytest.approx(list(body.values), nan_ok=True)
    text = clean(pa.array(given_, pa.string()))
    if defects:
        with pytest.raises(BadTrainingData, match=r"bytes holds .*, which is not a number"):
            numeric("bytes", text)
    else:
        assert numeric("bytes", text).to_pylist() == values.to_pylist()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (pa.array([" a ", "", "-", " - ", None, "5.0", "5.50", "+7.00", "x.0"]),
         ["a", None, None, None, None, "5", "5.50", "+7", "x.0"]),
        (pa.array([5, None]), ["5", None]),
        (pa.array([5.0, 0.1, float("nan"), None]), ["5", "0.1", None, None]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["x" * 5000]), ["x" * MAX_TEXT]),
        (pa.array([], pa.string()), []),
        (pa.nulls(2, pa.string()), [None, None]),
    ],
)  # fmt: skip
def test_text_is_cleaned(made: pa.Array, expected: list[str | None]) -> None:
    assert clean(made).to_pylist() == expected


def test_accounts_are_lower_case_without_their_domain() -> None:
    assert account(clean(pa.array(["Ann@CORP", " BOB ", "@corp", None]))).to_pylist() == ["ann", "bob", None, None]


def test_infinite_is_no_number_of_a_cell_and_yet_a_value() -> None:
    text = pa.array(["inf", "1e999", "nan", None])
    assert parsed(text).to_pylist() == [None, math.inf, None, None]
    assert unread(text, parsed(text)) == [0, 2]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(10**14, 4 * 10**15).map(lambda micros: EPOCH + timedelta(microseconds=micros))
ZONES = st.sampled_from(["", "Z", "+00:00", "+0000", "-05:30", "+1400"])


def epoch(moment: datetime, zone: str) -> float:
    digits = zone.replace(":", "").replace("Z", "")
    offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:])) if digits else timedelta()
    offset = -offset if digits.startswith("-") else offset
    return (moment - offset - EPOCH) / timedelta(seconds=1)


@given(st.lists(st.tuples(MOMENTS, ZONES, st.sampled_from(["T", " "])), min_size=1, max_size=6))
def test_times_are_those_of_python(made: list[tuple[datetime, str, str]]) -> None:
    written = [moment.replace(tzinfo=None).isoformat(between) + zone for moment, zone, between in made]
    wanted = [epoch(moment, zone) for moment, zone, _ in made]
    assert seconds(pa.array(written)).to_pylist() == wanted
    assert times([FieldPath.of("t")], [{"t": text} for text in written])[0].to_pylist() == wanted


NO_TIMES = ["yesterday", "2026-13-01T00:00:00Z", "2026-02-30", "03/01/2026 10:00", "2026-01-01Tnoon", "12:00", "{}"]


@given(st.lists(st.sampled_from([*NO_TIMES, "2026-03-01T08:15:00Z", "1772352900.25", "", "-"]), max_size=12))
def test_what_is_no_time_costs_no_other_cell_its_time(given_: list[str]) -> None:
    known = {"2026-03-01T08:15:00Z": 1772352900.0, "1772352900.25": 1772352900.25}
    assert seconds(pa.array(given_, pa.string())).to_pylist() == [known.get(cell) for cell in given_]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_are_exact_to_the_microsecond(unit: str) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    at = 1_700_000_000 * per_second + (123_456 * per_second // 10**6)
    made = pa.array([at, None], pa.timestamp(unit, "UTC"))
    assert seconds(made).to_pylist() == [at / per_second, None]


@pytest.mark.parametrize("text", NO_TIMES)
def test_a_file_with_a_time_that_is_none_says_which(text: str) -> None:
    events: dict[str, Any] = {"_time": ["1700000000", text], "user": ["a"] * 2, "src": ["b"] * 2, "dest": ["c"] * 2}
    with pytest.raises(BadTrainingData, match=re.escape(f"_time holds {text!r}, which is no time (1 such events)")):
        resolve(load_recipe("lateral"), pa.table(events))
