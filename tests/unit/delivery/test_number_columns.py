"""Numbers of whole columns have the digits that Python writes for each."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scorer.delivery.number_columns import chosen, fixed, floats, integers, iso, iso_text, rounded, steps, steps_up

SHARES = st.floats(0.0, 1.0) | st.sampled_from([0.00005, 0.12345, 0.1234565, 0.5, 1.0, 2 / 3])
ANY = SHARES | st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0])


@given(st.lists(ANY, min_size=1, max_size=8), st.integers(0, 7))
@example([0.5, 1.5, 2.5, 0.285, 1.005, 2.675], 0)
@example([0.285, 1.005, 2.675, 0.125], 2)
def test_numbers_are_rounded_as_python_rounds_them(values: list[float], places: int) -> None:
    expected = [round(value, places) if math.isfinite(value) else value for value in values]
    np.testing.assert_array_equal(rounded(values, places), expected)


@given(st.lists(ANY, min_size=1, max_size=8), st.sampled_from([4, 5]))
def test_places_are_those_that_python_writes(values: list[float], places: int) -> None:
    found = fixed(steps(values, places), places).to_pylist()
    expected = [f"{value:z.{places}f}" if math.isfinite(value) else None for value in values]  # z: a zero has no sign
    assert found == expected


@given(st.lists(SHARES, min_size=1, max_size=8))
def test_a_number_that_is_rounded_up_is_none_below_it(values: list[float]) -> None:
    found = steps_up(values, 5)
    np.testing.assert_array_equal(found, [math.ceil(value * 100_000 - 1e-6) for value in values])
    assert not np.signbit(found).any()


@given(st.lists(ANY | st.floats(), min_size=1, max_size=8))
@example([9_999_999_999.0, 1e10, 12_345_678_901.0, -1e10, 1e15, 1e22])
def test_json_numbers_are_read_back_as_they_were(values: list[float]) -> None:
    found = floats(np.array(values)).to_pylist()
    assert [text is None for text in found] == [not math.isfinite(value) for value in values]
    for text, value in zip(found, values, strict=True):
        if text is not None:
            assert json.loads(text) == value
            assert isinstance(json.loads(text), float)


@given(st.lists(st.floats(0.0, 1e11), min_size=1, max_size=8))
@example([1_700_000_999.9996, 1_700_000_400.0004999, 0.0, 1e11, 253_402_300_799.0])
def test_times_are_cut_to_milliseconds(seconds: list[float]) -> None:
    micros = [datetime.fromtimestamp(one, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") for one in seconds]
    assert iso(seconds).to_pylist() == [iso_text(one) for one in seconds] == [f"{text[:-3]}Z" for text in micros]


def test_whole_numbers_and_choices() -> None:
    assert integers(np.array([0, 255], np.uint8)).to_pylist() == ["0", "255"]
    assert chosen(("no", "yes"), np.array([True, False])).to_pylist() == ["yes", "no"]


@pytest.mark.parametrize("make", [floats, lambda values: fixed(steps(values, 4), 4)])
def test_no_numbers_make_no_texts(make: object) -> None:
    assert callable(make)
    assert make(np.empty(0)).to_pylist() == []
