"""Rows to score and their scores, by column, as they stand in a worker's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class FeatureBatch:
    """Rows to score, by column.

    ``columns``: feature input -> float64 array of shape (N,), NaN where the cell is empty or unusable.
    ``context``: context column -> N strings, empty where unknown. ``row_ids``: N caller's row numbers or ids.
    ``defects``: row position -> status text for rows that decoding already found unusable; such a row keeps its place.
    """

    batch_id: str
    model: str
    columns: Mapping[str, Sequence[float]]
    context: Mapping[str, Sequence[str]]
    row_ids: Sequence[Any]
    defects: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True)
class ScoreBatch:
    """Scores in row order; every sequence has length N.

    ``probability``, ``pvalue``, ``classical``: float64, NaN where a row was not scored. ``risk``: integer 0-100.
    ``band``: index into names.BANDS. ``alert``: booleans. ``reason``, ``status``: strings.
    Of rows that were not scored only ``status`` means anything.
    """

    batch_id: str
    model: str
    version: str
    row_ids: Sequence[Any]
    probability: Sequence[float]
    pvalue: Sequence[float]
    classical: Sequence[float]
    risk: Sequence[int]
    band: Sequence[int]
    alert: Sequence[bool]
    reason: Sequence[str]
    status: Sequence[str]
    serve: str = "quantum"

    def __len__(self) -> int:
        return len(self.row_ids)
