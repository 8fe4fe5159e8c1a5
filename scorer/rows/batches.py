"""Rows to score and their scores, by column, as they stand in a worker's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.rows.defects import Defect
from scorer.wire.names import STATUS_OK

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class FeatureBatch:
    """Rows to score, by column.

    ``columns``: feature input -> float64 array of shape (N,), NaN where the cell is empty or unusable.
    ``context``: context column -> N strings, empty where unknown. ``row_ids``: N caller's row numbers or ids.
    ``defects``: row position -> why decoding already found the row unusable; such a row keeps its place.
    """

    batch_id: str
    model: str
    columns: Mapping[str, Floats]
    context: Mapping[str, Sequence[str]]
    row_ids: Sequence[Any]
    defects: Mapping[int, Defect] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True)
class ScoreBatch:
    """Scores in row order; every column has length N.

    ``probability``, ``pvalue``, ``classical``: float64 (N,), NaN where a row was not scored. ``risk``: integers
    0-100 (N,). ``band``: indices into columns.BANDS (N,). ``alert``: booleans (N,). ``reason``: N strings.
    ``defects``: row position -> why the row was not scored, and then nothing else of it means anything; or why a
    scored row is not written.
    """

    batch_id: str
    model: str
    version: str
    row_ids: Sequence[Any]
    probability: Floats
    pvalue: Floats
    classical: Floats
    risk: Integers
    band: Integers
    alert: Booleans
    reason: Sequence[str]
    defects: Mapping[int, Defect] = field(default_factory=dict)
    serve: str = "quantum"

    def __len__(self) -> int:
        return len(self.row_ids)

    @property
    def status(self) -> list[str]:
        """N texts as they stand in qscore_status: "ok", or the row's defect in words."""
        texts = [STATUS_OK] * len(self)
        for row, defect in self.defects.items():
            texts[row] = str(defect)
        return texts
