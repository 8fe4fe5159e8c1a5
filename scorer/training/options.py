"""What the one who trains may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Rows that the kernel machines are fitted on at most: their cost grows with the square of their rows.
FIT_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """``qubits``: features at most, one qubit each unless the map has it otherwise. ``fpr``: false-positive rate of the
    default line. ``prevalence``: share of attacks where the model will run; None: that of the rows. ``without``:
    features or groups of them to leave out (``port_class``). ``fit_rows``: rows that model and twin are fitted on at
    most, None: what suits the family; the twin's scoring time grows with it, the quantum model's does not. ``note``:
    free text for the card. ``family``: name in the table of families. ``map``: name of an installed feature map, and
    ``map_parameters`` what it is called with besides features and bandwidth, which is searched.
    """

    qubits: int = 6
    fpr: float = 0.01
    prevalence: float | None = None
    seed: int = 0
    without: tuple[str, ...] = ()
    note: str = ""
    fit_rows: int | None = None
    family: str = "svc"
    map: str = "zz"
    map_parameters: Mapping[str, Any] = field(default_factory=dict)


DEFAULTS = TrainOptions()
