"""From p-values to a line, a band and a risk.

A row alerts when p <= fpr: at most that share of benign rows does so, as far as tomorrow's are like the held-out ones.

===========  =====================================================================  ==========
band         p-value                                                                 risk
===========  =====================================================================  ==========
critical     p <= fpr / 10, or above every held-out benign row                       80-100
high         p <= fpr (every row that alerts at the model's own line)                60-79
medium       p <= 5 fpr                                                              40-59
low          above                                                                   0-39
===========  =====================================================================  ==========

Within a band the risk grows with -log p; within ``critical``, where p has no resolution left, with the distance of the
score beyond that band's edge. So probability, p-value, band and risk never contradict each other: a higher score has
none of them worse. A caller's own ``threshold`` moves the alert only; band and risk stay comparable between searches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scorer.models.calibration import pvalues

Array = NDArray[np.float64]
Codes = NDArray[np.int8]

LOW, MEDIUM, HIGH, CRITICAL = range(4)
#: The largest false-positive rate of a default line: the medium band, five times as wide, must leave room for low.
MAX_FPR = 0.19
#: 0.01 * 1000 may come out below 10.
_ROUNDING = 1.0 + 1e-12
_RISK_FLOOR = (0, 40, 60, 80)
_RISK_TOP = (39, 59, 79, 100)


class DecisionError(ValueError):
    """Held-out scores that cannot carry the line asked for."""


@dataclass(frozen=True, eq=False)
class DecisionRule:
    """``benign``: sorted scores of held-out benign rows, float64 (n,). ``fpr``: false-positive rate of the line.

    ``rounding``: how far apart two scores of one row may come out (see ``pvalues``).
    """

    benign: Array
    fpr: float
    rounding: float = 0.0

    def __post_init__(self) -> None:
        b = self.benign
        if b.ndim != 1 or not np.isfinite(b).all() or (np.diff(b) < 0).any():
            raise DecisionError("benign scores must be finite and sorted")
        if not 0.0 < self.fpr <= MAX_FPR:
            raise DecisionError(f"a false-positive rate of {self.fpr!r}; it must be above 0 and at most {MAX_FPR}")
        if self.fpr * (len(b) + 1) * _ROUNDING < 1.0:
            needed = math.ceil(1.0 / self.fpr) - 1
            raise DecisionError(f"{len(b)} held-out benign rows cannot set a line at {self.fpr:g}; {needed} can")

    @cached_property
    def line(self) -> float:
        """The score above which (not at which, to within rounding) p <= fpr."""
        return self._edge(self.fpr)

    def pvalues(self, scores: Array) -> Array:
        """Compute the p-values (N,) of scores (N,) against the held-out benign ones."""
        return pvalues(self.benign, scores, self.rounding)

    def bands(self, p: Array) -> Codes:
        """Find the index into (low, medium, high, critical) of each p-value (N,): (N,)."""
        medium, high, critical = self._limits
        return ((p <= medium).astype(np.int8) + (p <= high) + (p <= critical)).astype(np.int8)

    def risks(self, scores: Array, p: Array) -> NDArray[np.int64]:
        """Compute the risk 0-100 of each row, (N,), from its score (N,) and p-value (N,), by the module's table."""
        bands = self.bands(p)
        medium, high, critical = self._limits
        upper = np.array([1.0, medium, high, critical])[bands]
        lower = np.array([medium, high, critical, critical])[bands]
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.log(upper / p) / np.log(upper / lower)
        share = np.where(bands == CRITICAL, self._beyond(scores), inside)
        floor, top = np.array(_RISK_FLOOR)[bands], np.array(_RISK_TOP)[bands]
        risk: NDArray[np.int64] = (floor + np.floor(np.clip(share, 0.0, 1.0) * (top - floor))).astype(np.int64)
        return risk

    @cached_property
    def _limits(self) -> tuple[float, float, float]:
        """Largest p-value of medium, high and critical."""
        smallest = 1.0 / (len(self.benign) + 1.0)
        return 5.0 * self.fpr, self.fpr, max(self.fpr / 10.0, smallest)

    def _beyond(self, scores: Array) -> Array:
        """How far beyond the edge of critical, 0 to 1: half way at the edge's own distance from the benign median."""
        edge, width = self._scale
        distance = np.maximum(scores - edge, 0.0) / width
        share: Array = distance / (1.0 + distance)
        return share

    @cached_property
    def _scale(self) -> tuple[float, float]:
        """The edge of critical, and its distance from the benign median."""
        edge = self._edge(self._limits[2])
        return edge, max(edge - float(np.median(self.benign)), 1e-9 * max(1.0, abs(edge)))

    def _edge(self, p: float) -> float:
        """The largest score whose p-value is above ``p``: a benign score, since p-values change only there."""
        counted = math.floor(p * (len(self.benign) + 1) * _ROUNDING) - 1
        return float(self.benign[len(self.benign) - 1 - counted])
