"""How good the quantum machine, its RBF twin and the yardsticks are on the same held-out rows, with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 200
MIN_ATTACK_GROUPS = 10  # a bootstrap of fewer groups gives intervals that are far too narrow
_Z95 = 1.959964


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Metrics:
    """Figures of one model. ``recall``: share of malicious rows above the line that ``fpr`` of benign rows pass."""

    pr_auc: Interval
    roc_auc: float
    recall: Interval
    fpr: float


@dataclass(frozen=True)
class Evaluation:
    """Figures of all models on the same rows, and paired differences in PR-AUC: quantum ``minus`` each other one.

    ``attack_groups``: groups that hold malicious rows; without groups every row is one.
    """

    rows: int
    positives: int
    attack_groups: int
    metrics: Mapping[str, Metrics]
    minus: Mapping[str, Interval]

    @property
    def base_rate(self) -> float:
        return self.positives / self.rows

    @property
    def verdict(self) -> str:
        """In one sentence which of the two is better; never more than was measured."""
        d = self.minus["twin"]
        measured = f"PR-AUC difference {d.value:+.3f}, 95 % interval {d.low:+.3f} to {d.high:+.3f}"
        if self.attack_groups < MIN_ATTACK_GROUPS:
            return (
                f"Which of the quantum model and its RBF twin is better cannot be said: only {self.attack_groups} "
                f"groups hold malicious rows ({measured})."
            )
        if d.low > 0.0:
            return f"The quantum model is better than its RBF twin on these rows by {d.value:.3f} ({measured})."
        if d.high < 0.0:
            return f"The RBF twin is better than the quantum model by {-d.value:.3f} ({measured})."
        return f"No measurable difference between the quantum model and its RBF twin ({measured})."

    def to_dict(self) -> dict[str, Any]:
        """Write as JSON can hold it, figures rounded to six decimals."""
        raw = {**asdict(self), "base_rate": self.base_rate, "resamples": RESAMPLES}
        rounded: dict[str, Any] = _rounded(raw)
        return rounded


def evaluate(y: Ints, scores: Mapping[str, Floats], groups: Ints | None, fpr: float, seed: int) -> Evaluation:
    """Compare models on the same N rows, with labels ``y`` (N,) and ``groups`` (N,) or None.

    ``scores``: "quantum", "twin", yardsticks -> (N,). Intervals: bootstrap of rows, of whole groups where given.
    """
    draws = _draws(y, groups, np.random.default_rng(seed))
    sampled = {name: np.array([average_precision(y, s, w) for w in draws]) for name, s in scores.items()}
    value = {name: average_precision(y, s) for name, s in scores.items()}
    metrics = {
        name: Metrics(_interval(value[name], sampled[name]), float(roc_auc_score(y, s)), wilson_recall(y, s, fpr), fpr)
        for name, s in scores.items()
    }

    minus = {
        other: _interval(value["quantum"] - value[other], sampled["quantum"] - sampled[other])
        for other in scores
        if other != "quantum"
    }
    attack_groups = int(y.sum()) if groups is None else len(np.unique(groups[y == 1]))
    return Evaluation(len(y), int(y.sum()), attack_groups, metrics, minus)


def average_precision(y: Ints, scores: Floats, weights: Floats | None = None) -> float:
    """Compute the area under the precision-recall curve as scikit-learn defines it.

    That is the sum of (R_k - R_(k-1)) P_k over the distinct ``scores`` (N,) of rows with labels ``y`` (N,), weighted by
    ``weights`` (N,). Written out because the search and the bootstrap call it by the thousand.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], y[order].astype(np.float64)
    weight = np.ones(len(y)) if weights is None else weights[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    true, seen = np.cumsum(hit * weight)[ends], np.cumsum(weight)[ends]
    precision = np.divide(true, seen, out=np.zeros_like(true), where=seen > 0.0)
    return float(np.sum(np.diff(true, prepend=0.0) * precision) / true[-1])


def wilson_recall(y: Ints, scores: Floats, fpr: float) -> Interval:
    """Find the largest recall at which at most ``fpr`` of benign rows score as high, with Wilson's interval.

    ``y``: labels (N,), ``scores``: (N,).
    """
    false, true, _ = roc_curve(y, scores, drop_intermediate=False)
    share = float(true[false <= fpr + 1e-12].max())
    n = int(y.sum())
    centre = (share + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * math.sqrt(share * (1 - share) / n + _Z95**2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def _draws(y: Ints, groups: Ints | None, rng: np.random.Generator) -> list[Floats]:
    """Bootstrap weights (N,) of resamples that hold both classes."""
    codes = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(codes.max()) + 1
    draws: list[Floats] = []
    while len(draws) < RESAMPLES:
        weights = rng.multinomial(units, np.full(units, 1.0 / units))[codes].astype(np.float64)
        if weights[y == 1].any() and weights[y == 0].any():
            draws.append(weights)
    return draws


def _interval(value: float, sampled: Floats) -> Interval:
    low, high = np.percentile(sampled, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return value
