"""Numbers as callers have them: Python's own, NumPy's, and arrays of no dimension. What is none is left as it is.

Checks that follow then name the value that was given. Booleans and texts are no numbers here.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


def whole(value: Any) -> Any:
    """Return an int where ``value`` is a whole number of any integer type, otherwise ``value`` itself."""
    value = _unboxed(value)
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value


def real(value: Any) -> Any:
    """Return a float where ``value`` is a real number that float64 can hold, otherwise ``value`` itself."""
    value = _unboxed(value)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return value


def _unboxed(value: Any) -> Any:
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
