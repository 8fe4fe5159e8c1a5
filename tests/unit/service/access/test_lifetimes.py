"""When keys end: what may be written for it, and the warning ahead."""

from __future__ import annotations

import pytest

from scorer.service.access.lifetimes import DAY, duration, expiry, shown, warning
from scorer.wire.errors import BadOption

NOW = 1_800_000_000.0  # 2027-01-15 08:00 UTC


@pytest.mark.parametrize(("text", "seconds"), [("7d", 7 * DAY), ("12h", 43_200), ("30m", 1800), ("0s", 0)])
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "7 d", "-1d", "1.5h", "d", "9999999d", "\u0667d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(BadOption, match="Write it like 7d"):
        duration(text)


def test_ends() -> None:
    assert expiry(NOW) is None
    assert expiry(NOW, never=True) is None
    assert expiry(NOW, days=90) == NOW + 90 * DAY
    assert shown(expiry(NOW, date="2027-03-31")) == "2027-03-31 00:00"
    assert shown(expiry(NOW, date="2027-03-31T12:00+02:00")) == "2027-03-31 10:00"
    assert shown(None) == "never"


@pytest.mark.parametrize(
    ("days", "date", "never"),
    [
        (0, "", False),
        (-1, "", False),
        (4000, "", False),
        (None, "2027-01-01", False),
        (None, "soon", False),
        (None, "9999999-01-01", False),
        (90, "2027-03-31", False),
        (90, "", True),
    ],
)
def test_ends_that_cannot_be(days: int | None, date: str, never: bool) -> None:
    with pytest.raises(BadOption):
        expiry(NOW, days, date, never)


def test_the_warning_begins_two_weeks_ahead() -> None:
    assert warning("1a2b3c4d", None, NOW) is None
    assert warning("1a2b3c4d", NOW + 14.1 * DAY, NOW) is None
    text = warning("1a2b3c4d", NOW + 13.5 * DAY, NOW)
    assert text is not None
    assert "key 1a2b3c4d expires at 2027-01-28 20:00 UTC, in 13.5 days" in text
    assert "qscore key rotate 1a2b3c4d" in text
    assert "expired at" in str(warning("1a2b3c4d", NOW - 1, NOW))
