"""Moments and lengths of time: exact there and back, and one reading of times from the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.elastic_client.moments import Millis, between, from_iso, given_time, iso, later, millis, seconds
from scorer.wire.errors import BadOption

NOW = Millis(1_772_352_900_250)
MOMENTS = st.integers(-62_135_596_800_000, 253_402_300_799_999).map(Millis)  # the years 1 to 9999
NEAR = st.integers(-(2**42), 2**42).map(Millis)  # up to the year 2109 seconds as floats tell microseconds apart


@given(NEAR)
def test_a_moment_survives_seconds(at: Millis) -> None:
    assert millis(seconds(at)) == at


@given(MOMENTS)
def test_a_moment_survives_text(at: Millis) -> None:
    assert from_iso(iso(at)) == at
    assert len(iso(at)) == len("2026-03-01T08:15:00.250Z")


@given(MOMENTS, st.integers(-10_000_000, 10_000_000))
def test_lengths_of_time_are_exact_to_the_millisecond(at: Millis, by: int) -> None:
    moved = later(at, by / 1000)
    assert moved - at == by
    assert between(at, moved) == by / 1000


@given(st.floats(0, 4e9))
def test_seconds_are_cut_to_their_millisecond(epoch: float) -> None:
    assert -1e-6 <= epoch - seconds(millis(epoch)) < 0.001


def test_times_are_written_in_utc_with_milliseconds() -> None:
    assert iso(NOW) == "2026-03-01T08:15:00.250Z"
    assert from_iso("2026-03-01T09:15:00.250+01:00") == NOW


@pytest.mark.parametrize("text", ["2026-03-01T08:15:00", "yesterday", ""])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"zone|Invalid"):
        from_iso(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("beginning", 0), ("now", NOW), ("0s", NOW), ("30m", NOW - 1_800_000), ("12h", NOW - 43_200_000),
        ("7d", NOW - 604_800_000), ("2w", NOW - 1_209_600_000), ("2026-03-01", 1_772_323_200_000),
        ("2026-03-01T08:15:00Z", 1_772_352_900_000), ("2026-03-01 08:15", 1_772_352_900_000),
        ("2026-03-01T09:15:00+01:00", 1_772_352_900_000), ("9999999d", 0), ("0001-01-01", 0),
    ],
)  # fmt: skip
def test_times_of_the_command_line(text: str, moment: int) -> None:
    assert given_time(text).by(NOW) == moment


@pytest.mark.parametrize("text", ["soon", "7", "d", "7y", "-7d", "1.5h", "", "2026-13-01", "99999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="is no time"):
        given_time(text)


def test_what_is_relative_goes_by_the_clock_that_is_asked() -> None:
    week = given_time("7d")
    later_on = Millis(int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()) * 1000)
    assert later_on - week.by(later_on) == NOW - week.by(NOW) == 604_800_000
