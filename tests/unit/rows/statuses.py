"""Defects of a batch, from the statuses that its rows are to have."""

from __future__ import annotations

from collections.abc import Sequence

from scorer.rows.defects import Defect


def defects_of(statuses: Sequence[str]) -> dict[int, Defect]:
    """Row position -> defect, of every status but "ok"."""
    return {row: Defect.read(status) for row, status in enumerate(statuses) if status != "ok"}
