"""Numbers and times of a whole batch as texts, digit by digit what Python writes for each alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_EXPONENT = 1e10  # from here on Arrow writes numbers with an exponent


def rounded(values: ArrayLike, places: int) -> Array:
    """Round numbers (N,) as Python's ``round`` does, which looks at exact values; what is not finite stays as it is."""
    return steps(values, places) / 10.0**places


def steps(values: ArrayLike, places: int) -> Array:
    """Count steps of 10**-places in numbers (N,), rounded as Python's ``round`` does; whole float64 (N,)."""
    exact = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = exact * 10.0**places
        found = np.rint(scaled)
        # The product is off by half a unit in its last place: a number this near to the middle is asked for itself.
        near = np.abs(np.abs(scaled - np.trunc(scaled)) - 0.5) <= 1e-9 + 1e-15 * np.abs(scaled)
    for at in np.flatnonzero(near):
        found[at] = np.rint(round(float(exact[at]), places) * 10.0**places)
    return found


def steps_up(values: ArrayLike, places: int) -> Array:
    """Count the steps of 10**-places that hold numbers (N,), as replies do with p-values.

    None looks smaller than it is.
    """
    # 0.01 * 100000 may come out above 1000: the small term keeps such a value from being rounded up a whole step.
    found: Array = np.ceil(np.asarray(values, np.float64) * 10**places - 1e-6) + 0.0  # never -0
    return found


def floats(values: Array) -> Any:
    """Write JSON numbers (N,), whole ones with ``.0``; null where a value is not finite."""
    finite = np.isfinite(values)
    texts = pa.array(values, mask=None if finite.all() else ~finite).cast(pa.string())
    whole = finite & (np.trunc(values) == values) & (np.abs(values) < _EXPONENT)
    if not whole.any():
        return texts
    mask = pa.array(whole)
    return pc.replace_with_mask(texts, mask, pc.binary_join_element_wise(texts.filter(mask), ".0", ""))


def fixed(count: Array, places: int) -> Any:
    """Write ``count`` (N,) steps of 10**-places with all their places; null where ``count`` is not finite."""
    finite, count = np.isfinite(count), count + 0.0  # a zero has no sign
    if (count[finite] < 0).any() or (count[finite] > 2**53).any():
        numbers = (count / 10.0**places).tolist()
        return pa.array([f"{one:.{places}f}" if ok else None for one, ok in zip(numbers, finite, strict=True)])
    whole = pa.array(np.where(finite, count, 0.0).astype(np.int64), mask=None if finite.all() else ~finite)
    digits = pc.utf8_lpad(whole.cast(pa.string()), places + 1, "0")
    return pc.utf8_replace_slice(digits, -places, -places, ".")


def integers(values: ArrayLike) -> Any:
    """Write whole numbers."""
    return pa.array(np.asarray(values, np.int64)).cast(pa.string())


def chosen(texts: tuple[str, ...], which: ArrayLike) -> Any:
    """Write the text at the position that each of ``which`` names."""
    return pa.array(texts, pa.string()).take(pa.array(np.asarray(which, np.int64)))


def iso(seconds: ArrayLike) -> Any:
    """Write epoch seconds as UTC with milliseconds, cut and not rounded, such as 2026-01-31T08:15:00.000Z."""
    part, whole = np.modf(np.asarray(seconds, np.float64))
    millis = (whole * 1000.0 + np.rint(part * 1e6) // 1000.0).astype(np.int64)
    texts = pa.array(millis).cast(pa.timestamp("ms")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(texts, 10, 11, "T"), "Z", "")


def iso_text(seconds: float) -> str:
    """Write one time as `iso` does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
