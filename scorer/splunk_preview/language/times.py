"""Splunk's relative time modifiers (UTC): epoch seconds, ``now``, ``-15m``, ``@d``, ``-1h@h``."""

from __future__ import annotations

import re

from scorer.splunk_preview.errors import SplError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MODIFIER = re.compile(r"(?:([+-])([0-9]*)([smhdw]))?(?:@([smhd]))?\Z")


def epoch(text: str, now: float) -> float:
    """Compute the epoch second that ``text`` names at ``now``. Raises SplError for what is outside the subset."""
    if text == "now":
        return now
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    match = _MODIFIER.match(text)
    if match is None or not text:
        raise SplError(f"{text!r} is no time modifier of the subset")
    sign, amount, unit, snap = match.groups()
    moved = now + (int(amount or 1) * _SECONDS[unit] * (1 if sign == "+" else -1) if sign else 0)
    return moved // _SECONDS[snap] * _SECONDS[snap] if snap else moved


def span_seconds(text: str) -> int:
    """Compute the seconds of a span such as ``600``, ``10m`` or ``1h``. Raises SplError for no such span."""
    match = re.fullmatch(r"([0-9]+)([smhd]?)", text)
    if match is None or int(match.group(1)) == 0:
        raise SplError(f"span={text} is outside the subset")
    return int(match.group(1)) * _SECONDS[match.group(2) or "s"]
