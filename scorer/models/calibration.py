"""Scores -> probabilities that mean something, and p-values against held-out benign rows.

Both are fitted on rows that the model was not fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_STEPS = 100
_FLATTEST = 1e-12


class CalibrationError(ValueError):
    """Scores from which no increasing probability can be made."""


@dataclass(frozen=True)
class Platt:
    """P(attack | score) = 1 / (1 + exp(-(slope * score + intercept))); slope > 0, so that order is kept."""

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.intercept) and self.slope > 0.0):
            raise CalibrationError(f"a calibration of slope {self.slope!r} and intercept {self.intercept!r}")

    def probability(self, scores: ArrayLike) -> Array:
        """Compute the probabilities of scores (N,): (N,); 0 and 1 only where float64 has nothing nearer."""
        logit = self.slope * np.asarray(scores, np.float64) + self.intercept
        probability: Array = 0.5 * (1.0 + np.tanh(0.5 * logit))
        return probability

    def at_prevalence(self, fitted: float, deployed: float) -> Platt:
        """Move the calibration to where the share of attacks is ``deployed`` instead of ``fitted`` (both in (0, 1)).

        Bayes: the log-odds of the prior move the intercept, the slope stays (Saerens, Latinne, Decaestecker 2002).
        Raises CalibrationError for a share outside.
        """
        for share in (fitted, deployed):
            if not 0.0 < share < 1.0:
                raise CalibrationError(f"a share of attacks of {share!r}; it must lie between 0 and 1")
        return Platt(self.slope, self.intercept + _logit(deployed) - _logit(fitted))


@dataclass(frozen=True, eq=False)
class Ranks:
    """One minus the p-value: what a novelty score means where no labelled row could say how likely an attack is.

    ``benign``: sorted scores of held-out normal rows (n,). A value of 0.99 says that at most one normal row in
    a hundred scores as high. It is no probability of an attack. ``rounding`` as for ``pvalues``.
    """

    benign: Array
    rounding: float = 0.0

    def probability(self, scores: ArrayLike) -> Array:
        """Compute 1 - p of scores (N,): (N,); it never falls as the score rises."""
        values: Array = 1.0 - pvalues(self.benign, scores, self.rounding)
        return values


Calibration = Platt | Ranks


def fit_platt(scores: ArrayLike, labels: ArrayLike, prevalence: float | None = None) -> Platt:
    """Fit Platt's sigmoid by Newton's method with backtracking, after Lin, Lin and Weng (2007).

    ``scores``: (N,) finite. ``labels``: (N,) of 0 and 1, both present. Targets are Platt's (N+ + 1)/(N+ + 2) and
    1/(N- + 2). ``prevalence``: share of attacks where the model will run; None: that of ``labels``.
    Raises CalibrationError when higher scores do not mean more attacks.
    """
    s, y = np.asarray(scores, np.float64), np.asarray(labels)
    positives, negatives = int(np.count_nonzero(y == 1)), int(np.count_nonzero(y == 0))
    if s.ndim != 1 or s.shape != y.shape or positives + negatives != len(y) or not np.isfinite(s).all():
        raise CalibrationError("calibration takes finite scores and as many labels of 0 and 1")
    if positives == 0 or negatives == 0:
        raise CalibrationError(
            f"calibration needs both classes; there are {positives} attacks, {negatives} benign rows"
        )
    centre, spread = float(s.mean()), float(s.std())
    if spread <= _FLATTEST * max(1.0, abs(centre)):
        raise CalibrationError("every calibration row has the same score")
    targets = np.where(y == 1, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    slope, intercept = _newton((s - centre) / spread, targets)
    if slope <= _FLATTEST:
        raise CalibrationError("higher scores do not mean more attacks on the calibration rows")
    platt = Platt(slope / spread, intercept - slope * centre / spread)
    return platt if prevalence is None else platt.at_prevalence(positives / len(y), prevalence)


def _newton(s: Array, targets: Array) -> tuple[float, float]:
    """Slope and intercept that minimise the cross-entropy of standardised scores; convex, so any start will do."""
    theta = np.array([0.0, _logit(float(targets.mean()))])
    design = np.stack([s, np.ones_like(s)])
    loss = _cross_entropy(theta @ design, targets)
    for _ in range(_STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (theta @ design)))
        gradient = design @ (p - targets)
        hessian = (design * (p * (1.0 - p))) @ design.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-10 and _cross_entropy((theta - size * step) @ design, targets) > loss:
            size /= 2
        theta = theta - size * step
        loss = _cross_entropy(theta @ design, targets)
        if float(np.abs(size * step).max()) < 1e-10:
            break
    return float(theta[0]), float(theta[1])


def _cross_entropy(logit: Array, targets: Array) -> float:
    return float(np.sum(np.logaddexp(0.0, logit) - targets * logit))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def pvalues(benign: Array, scores: ArrayLike, rounding: float = 0.0) -> Array:
    """Compute conformal p-values (1 + #{benign >= score}) / (n + 1) of scores, (N,) or one, given ``benign`` (n,).

    ``benign``: held out, sorted ascending. Under exchangeability a benign row has P(p <= a) <= a (Vovk et al. 2005).
    The smallest value is 1 / (n + 1). ``rounding``: how far apart two scores of one row may come out. Rows of counts
    repeat: a row that equals held-out ones must not be told from them, and a p-value that is rather too large keeps
    what was said of it.
    """
    given = np.asarray(scores, np.float64)
    lowest = given.ravel() - rounding
    # In rising order one search begins where the last one ended, in memory that is still near: half the time.
    order = np.argsort(lowest)
    below = np.empty(len(lowest), np.intp)
    below[order] = np.searchsorted(benign, lowest[order], side="left")
    p: Array = (1.0 + (len(benign) - below).astype(np.float64)) / (len(benign) + 1.0)
    return p.reshape(given.shape)
