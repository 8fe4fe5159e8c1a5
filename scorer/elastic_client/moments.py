"""Time, in one convention: moments of documents are `Millis`, lengths of time and clocks are seconds, text is ISO 8601.

Elasticsearch sorts documents by whole milliseconds of the epoch, and a checkpoint must neither pass one nor name it
twice. A moment that documents are compared by is therefore a whole number of milliseconds everywhere; what is added to
it, and what a clock says, are seconds (float). Everything that turns one into the other is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NewType

from scorer.wire.errors import BadOption

#: A moment: whole milliseconds of the epoch, in UTC.
Millis = NewType("Millis", int)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_AGO = 9  # digits
_FORMS = "Give now, so long ago (30m, 12h, 7d), 2026-01-31, 2026-01-31T08:15:00Z, or beginning."


def millis(seconds: float) -> Millis:
    """Return the moment of so many seconds of the epoch, cut to its millisecond (never later)."""
    return Millis(round(seconds * 1e6) // 1000)


def seconds(at: Millis) -> float:
    """Return a moment as seconds of the epoch."""
    return at / 1000.0


def later(at: Millis, by: float) -> Millis:
    """Return the moment ``by`` seconds after ``at``, or before it where ``by`` is negative."""
    return Millis(at + round(by * 1000))


def between(start: Millis, end: Millis) -> float:
    """Return the seconds from one moment to another; negative where ``end`` comes first."""
    return (end - start) / 1000.0


def iso(at: Millis) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds. Raises ValueError outside the years 1 to 9999."""
    return f"{datetime.fromtimestamp(at // 1000, UTC).isoformat()[:19]}.{at % 1000:03d}Z"


def from_iso(text: str) -> Millis:
    """Read an ISO 8601 time that names its zone. Raises ValueError for any other text."""
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no zone")
    return Millis(round(when.timestamp() * 1000))


@dataclass(frozen=True)
class GivenTime:
    """A time as somebody gave it: a moment, or so many seconds before now where there is none."""

    at: Millis | None = None
    ago: float = 0.0

    def by(self, now: Millis) -> Millis:
        """Return the moment that is meant when it is ``now``, never one before 1970."""
        return Millis(max(0, later(now, -self.ago) if self.at is None else self.at))


BEGINNING = GivenTime(Millis(0))


def given_time(text: str) -> GivenTime:
    """Read a time from the command line: ``now``, ``beginning``, so long ago (``30m``, ``12h``, ``7d``) or ISO 8601.

    A time without a zone is one of UTC. What is relative stays so: now is what Elasticsearch's clock says, because by
    a clock of ours that is ahead documents would be passed over. Raises BadOption.
    """
    if text == "beginning":
        return BEGINNING
    if text == "now":
        return GivenTime()
    amount, unit = text[:-1], text[-1:]
    if amount.isdecimal() and unit in _UNITS and len(amount) <= _LONGEST_AGO:
        return GivenTime(ago=float(int(amount) * _UNITS[unit]))
    try:
        when = datetime.fromisoformat(text)
        return GivenTime(millis((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        raise BadOption(f"{text[:60]!r} is no time", _FORMS) from None
