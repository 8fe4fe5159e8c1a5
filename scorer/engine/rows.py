"""The engine's door: rows are checked here once, for their shape and for NaN and infinity."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan

Array = NDArray[np.float64]


class EngineError(ValueError):
    """What the engine cannot compute; the message says with which value."""


class RowsError(EngineError):
    """Rows that no circuit can take: of another shape, or with values that are not finite."""


class HasPlan(Protocol):
    """A plan, or a feature map that has one."""

    @property
    def plan(self) -> Plan: ...


def checked(Z: NDArray[np.floating], features: int) -> Array:
    """Return Z as float64 (N, features); raises RowsError where it is not that, or holds NaN or infinity."""
    rows = np.asarray(Z, np.float64)
    if rows.ndim != 2 or rows.shape[1] != features:
        raise RowsError(f"rows of shape {rows.shape}; this model takes {features} scaled features each")
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is finite only where all of it is. Where it is not, it may merely have overflowed: look closely.
        if not np.isfinite(rows.sum()):
            bad = ~np.isfinite(rows).all(1)
            if bad.any():
                first = int(np.flatnonzero(bad)[0])
                raise RowsError(
                    f"{int(bad.sum())} of {len(rows)} rows hold NaN or infinity, row {first} first: "
                    "leave such rows out before they are scored"
                )
    return rows
