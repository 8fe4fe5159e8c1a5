"""Figures of a run under load: quantiles, and whether something grows. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: What may change over the half of a run that is looked at, as a share of its level.
ALLOWED_GROWTH = 0.05
#: Standard errors of the slope beyond which it is no noise.
_SURE = 3.0


@dataclass(frozen=True)
class Growth:
    """A straight line through the second half of samples: level in the middle, change over that half, both in the
    samples' unit, and the change's standard error."""

    level: float
    change: float
    error: float

    @property
    def grows(self) -> bool:
        """Tell whether the change is more than noise and more than is allowed."""
        return self.change > _SURE * self.error and self.change > ALLOWED_GROWTH * max(self.level, 1.0)


CRITERION = (
    f"least squares over the second half; it grows where the change over that half is more than {_SURE:g} standard"
    f" errors and more than {ALLOWED_GROWTH:.0%} of the level"
)


def growth(samples: Sequence[float]) -> Growth:
    """Fit a line to the second half of evenly spaced samples. Raises ValueError for fewer than six."""
    half = samples[len(samples) // 2 :]
    n = len(half)
    if len(samples) < 6:
        raise ValueError(f"{len(samples)} samples are too few for a line")
    middle, level = (n - 1) / 2, sum(half) / n
    spread = sum((k - middle) ** 2 for k in range(n))
    slope = sum((k - middle) * (y - level) for k, y in enumerate(half)) / spread
    rest = sum((y - level - slope * (k - middle)) ** 2 for k, y in enumerate(half))
    return Growth(level, slope * (n - 1), math.sqrt(rest / (n - 2) / spread) * (n - 1))


def quantile(values: Sequence[float], q: float) -> float:
    """Give the smallest value that at least a share ``q`` of them does not exceed; nan where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
