"""The engine's door: rows are checked here once, for their shape and for NaN and infinity."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.circuits.plan import Plan

Array = NDArray[np.float64]


class EngineError(ValueError):
    """A thing that the engine cannot compute; the message says with which value."""


class RowsError(EngineError):
    """Rows that no circuit can take: of another shape, or with values that are not finite."""


class HasPlan(Protocol):
    """A plan, or a feature map that has one."""

    @property
    def plan(self) -> Plan: ...


def checked(Z: ArrayLike, features: int) -> Array:
    """Return Z as float64 (N, features); raises RowsError where it is not that, or holds NaN or infinity."""
    rows = as_table(Z, features)
    if rows.shape[1] != features:
        raise RowsError(f"rows of shape {rows.shape}; this model takes {features} scaled features each")
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is finite only where all of it is. Where it is not, it may merely have overflowed: look closely.
        if not np.isfinite(rows.sum()):
            gaps = gaps_in(rows)
            if gaps:
                raise RowsError(f"{gaps}: leave such rows out before they are scored")
    return rows


def as_table(rows: ArrayLike, features: int | None = None) -> Array:
    """Return rows as float64 of two dimensions, (N, n); lists are taken, other tables of numbers too.

    Raises RowsError saying what they are instead, for one row of ``features`` numbers how to make it a table.
    """
    if hasattr(rows, "toarray"):
        raise RowsError(f"rows in a sparse {type(rows).__name__}, which cannot be computed with: give .toarray()")
    try:
        table = np.asarray(rows)
        if table.dtype.kind == "c":
            raise TypeError("complex numbers")
        table = np.asarray(table, np.float64)
    except (TypeError, ValueError) as error:
        raise RowsError(f"rows that are not a table of real numbers: {error}") from None
    if table.ndim == 1 and features in (None, len(table)):
        raise RowsError(
            f"one row of {len(table)} numbers, where a table of rows is needed: write X.reshape(1, -1), or [x] in "
            "place of x"
        )
    if table.ndim != 2:
        raise RowsError(f"rows of shape {table.shape}; a table is needed, one row for each event")
    return table


def gaps_in(rows: Array) -> str:
    """Say where rows (N, n) hold NaN or infinity: how many, and the first one's row and column. Empty: nowhere."""
    bad = ~np.isfinite(rows)
    count = int(bad.any(1).sum())
    if not count:
        return ""
    row, column = (int(k) for k in np.argwhere(bad)[0])
    return f"{count} of {len(rows)} rows hold NaN or infinity, row {row} first, in column {column}"
