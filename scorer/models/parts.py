"""Reading the parts of an artifact that nobody has vouched for: each of the right type, shape and size, or refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
#: Array -> (dtype as NumPy writes it, number of dimensions).
Layout = Mapping[str, tuple[str, int]]

#: The largest magnitude that a score may reach: far above any that was fitted, far below what float32 can hold.
MAX_SCORE = 1e15
_LARGEST = sys.float_info.max


class ArtifactFormatError(ValueError):
    """Parts that are no model: of the wrong type, shape or range, or at odds with each other."""


def number(raw: Mapping[str, Any], key: str) -> float:
    """Read a finite number; booleans are none. Raises ArtifactFormatError."""
    value = raw.get(key)
    # Compared, not converted: JSON may hold a whole number that no float can.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_LARGEST <= value <= _LARGEST:
        raise ArtifactFormatError(f"{key} is {str(value)[:80]!r}, not a finite number")
    return float(value)


def text(raw: Mapping[str, Any], key: str) -> str:
    """Read a text. Raises ArtifactFormatError."""
    value = raw.get(key)
    if not isinstance(value, str):
        raise ArtifactFormatError(f"{key} is {str(value)[:80]!r}, not text")
    return value


def texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Read a list of texts. Raises ArtifactFormatError."""
    value = raw.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ArtifactFormatError(f"{key} is not a list of texts")
    return tuple(value)


def section(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Read a JSON object inside another. Raises ArtifactFormatError."""
    value = raw.get(key)
    if not isinstance(value, dict):
        raise ArtifactFormatError(f"{key} is not an object")
    return value


def check_keys(raw: Mapping[str, Any], keys: frozenset[str] | set[str], what: str) -> None:
    """Raises ArtifactFormatError unless ``raw`` has these keys and no others; ``what``: what it is called."""
    if set(raw) != keys:
        odd = ", ".join(sorted(map(str, set(raw) ^ keys)))
        raise ArtifactFormatError(f"{what}: missing or unknown parts: {odd[:200]}")


def check_layout(arrays: Mapping[str, NDArray[Any]], layout: Layout, what: str) -> None:
    """Raises ArtifactFormatError unless these arrays and no others are there, of their dtypes and dimensions."""
    check_keys(arrays, set(layout), what)
    for name, (dtype, dimensions) in layout.items():
        array = arrays[name]
        if array.dtype.str != dtype or array.ndim != dimensions:
            raise ArtifactFormatError(f"array {name} is {array.dtype.str} with {array.ndim} dimensions")


def check_finite(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises ArtifactFormatError unless ``array`` has exactly this shape, without NaN and infinities."""
    if array.shape != shape or not np.isfinite(array).all():
        raise ArtifactFormatError(f"{name} of shape {array.shape} is not {shape} finite numbers")


def magnitude(array: NDArray[Any]) -> float:
    """Sum the magnitudes of an array of any shape; infinite where float64 cannot hold the sum."""
    with np.errstate(over="ignore"):
        return float(np.abs(array).sum(dtype=np.float64))


def check_score(name: str, most: float, offset: float) -> None:
    """Raises ArtifactFormatError unless float32 can hold scores of this magnitude, however they are summed.

    ``most``: the largest magnitude before ``offset`` is added.
    """
    if not (most <= MAX_SCORE and abs(offset) <= MAX_SCORE):
        raise ArtifactFormatError(
            f"{name} reaches scores of {most:.3g} with the offset {offset!r}; possible are {MAX_SCORE:g} at most"
        )


def stored(arrays: Mapping[str, NDArray[Any]], layout: Layout) -> Arrays:
    """Make the arrays as an artifact holds them: contiguous, in the dtypes of ``layout``."""
    return {name: np.ascontiguousarray(array, layout[name][0]) for name, array in arrays.items()}
