"""When keys end: what people write for it, and the warning ahead."""

from __future__ import annotations

import datetime as dt
import re

from scorer.wire.errors import BadOption

DAY = 86_400.0
#: Seconds before a key's end from which on it is warned of.
WARN_AHEAD = 14 * DAY
_UNITS = {"d": DAY, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"([0-9]{1,6})([dhms])\Z")
_LONGEST_DAYS = 3650


def duration(text: str) -> float:
    """Read ``7d``, ``12h``, ``30m`` or ``0s`` as seconds. Raises BadOption."""
    found = _DURATION.match(text)
    if found is None:
        raise BadOption(f"{text[:40]!r} is no length of time", "Write it like 7d, 12h or 30m.")
    return int(found[1]) * _UNITS[found[2]]


def expiry(now: float, days: int | None = None, date: str = "", never: bool = False) -> float | None:
    """Choose when a key made at ``now`` ends (epoch seconds): after days, at the start of a UTC day, or never.

    None for never, and where nothing was said. Raises BadOption where two things were said, or one that is past.
    """
    if (days is not None) + bool(date) + never > 1:
        raise BadOption("a key ends once", "Give one of --days, --expires and --never.")
    if days is not None:
        if not 1 <= days <= _LONGEST_DAYS:
            raise BadOption(f"--days {days} is not possible", f"Give 1 to {_LONGEST_DAYS}, or --never.")
        return round(now + days * DAY, 3)
    return _moment(date, now) if date else None


def shown(moment: float | None) -> str:
    """Write a moment for people, in UTC; ``never`` for None."""
    if moment is None:
        return "never"
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%d %H:%M")


def warning(key_id: str, expires: float | None, now: float) -> str | None:
    """Say that a key has ended or ends within WARN_AHEAD, and what to do; None where there is nothing to say."""
    if expires is None or expires - now > WARN_AHEAD:
        return None
    remedy = f"`qscore key rotate {key_id}` makes its successor."
    if expires <= now:
        return f"key {key_id} expired at {shown(expires)} UTC. {remedy}"
    return f"key {key_id} expires at {shown(expires)} UTC, in {(expires - now) / DAY:.1f} days. {remedy}"


def _moment(date: str, now: float) -> float:
    remedy = "Write a day or a moment of the future, UTC: 2027-03-31 or 2027-03-31T12:00."
    try:
        read = dt.datetime.fromisoformat(date)
        moment = (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadOption(f"{date[:40]!r} is no date", remedy) from None
    if moment <= now:
        raise BadOption(f"{date[:40]} is past", remedy)
    return moment
