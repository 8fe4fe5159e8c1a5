"""Balanced logistic regression on Nystrom features, in time linear in the rows and memory that is bounded.

With landmarks L, K = k(L, L) = U S U^T and T = U S^(-1/2), a row has the m' <= m features T^T k(L, z) (Williams and
Seeger, NIPS 2000). Logistic regression on them is a weighted sum of kernel values, c = T w:

    f(z) = sum_j c_j k(l_j, z) + b.

Newton's method needs sums of size m x m alone, and those are taken over chunks of rows: nothing that grows with the
rows is kept. The first steps are taken on a part of the rows, so that all of them are passed over a few times only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from scorer.training.families.checks import Array, Labels, positive
from scorer.training.families.landmarks import whitening

#: Rows (c, n) -> kernel values with the landmarks (c, m).
LandmarkKernel = Callable[[Array], Array]
#: Hears of every pass over the rows: (number, most).
Watch = Callable[[int, int], None]
Mapper = Callable[..., Iterator[Any]]

CHUNK = 4096
#: Rows on which Newton's first steps are taken.
FIRST_ROWS = 20_000
_STEPS = 30
#: Newton's decrement, per row, from which one more step is the last: it leaves about the square of it.
_DECREMENT = 1e-6


def logistic(
    Z: Array,
    y: Labels,
    landmarks: Array,
    kernel_of: LandmarkKernel,
    C: float,
    *,
    workers: int = 1,
    watch: Watch | None = None,
) -> tuple[Array, float]:
    """Fit the balanced logistic regression on Nystrom features: its kernel weights (m,) and offset.

    ``Z``: scaled rows (N, n). ``y``: labels (N,). ``landmarks``: (m, n). ``C``: inverse of the ridge. ``workers``:
    threads. Minimises |w|^2 / 2 + C sum_i s_i log(1 + exp(-t_i f(z_i))) with t in {-1, 1} and s balancing the classes.
    Raises FitError.
    """
    basis = whitening(kernel_of(landmarks))
    theta = np.zeros(basis.shape[1] + 1)
    some = _spread(y, FIRST_ROWS)
    with _mapper(workers) as mapper:
        if len(some) < len(y):
            # On a part of the rows the ridge keeps its share of the loss.
            first = _Problem(kernel_of, basis, positive("C", C) * len(y) / len(some), _balance(y[some]))
            theta = first.solved(Z[some], y[some], theta, mapper, None)
        theta = _Problem(kernel_of, basis, positive("C", C), _balance(y)).solved(Z, y, theta, mapper, watch)
    return basis @ theta[:-1], float(theta[-1])


@contextmanager
def _mapper(workers: int) -> Iterator[Mapper]:
    """How blocks are worked on: one after the other, or by threads, each of which has one for its BLAS."""
    if workers == 1:
        yield map
        return
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield pool.map


def _balance(y: Labels) -> Array:
    """Weight of a row by its label, so that both classes weigh the same in sum and all rows N: (2,)."""
    positives = int(np.count_nonzero(y))
    return np.array([len(y) / (2.0 * (len(y) - positives)), len(y) / (2.0 * positives)])


@dataclass(frozen=True, eq=False)
class _Sums:
    """What one pass over rows adds up at some theta: loss, gradient (m' + 1,), Hessian (m' + 1, m' + 1)."""

    loss: float
    gradient: Array
    hessian: Array


@dataclass(frozen=True, eq=False)
class _Problem:
    """``kernel_of``: rows (c, n) -> kernel values (c, m). ``basis``: T. ``balance``: weight of a row by its label."""

    kernel_of: LandmarkKernel
    basis: Array
    C: float
    balance: Array

    def solved(self, Z: Array, y: Labels, theta: Array, mapper: Mapper, watch: Watch | None) -> Array:
        """Newton's method with backtracking from ``theta``; convex, so it ends at the one minimum."""
        sums = self._pass(Z, y, theta, mapper)
        step, size = -np.linalg.solve(sums.hessian, sums.gradient), 1.0
        for number in range(_STEPS):
            if watch is not None:
                watch(number + 1, _STEPS)
            decrement = -float(sums.gradient @ step)
            if decrement <= _DECREMENT * self.C * len(y):
                return theta + step
            tried = self._pass(Z, y, theta + size * step, mapper)
            if tried.loss > sums.loss - 1e-4 * size * decrement and size > 1e-6:
                size /= 2
                continue
            theta, sums, size = theta + size * step, tried, 1.0
            step = -np.linalg.solve(sums.hessian, sums.gradient)
        return theta

    def _pass(self, Z: Array, y: Labels, theta: Array, mapper: Mapper) -> _Sums:
        weights, offset, m = self.basis @ theta[:-1], theta[-1], len(self.basis)
        inner, slope, loss = np.zeros((m + 1, m + 1)), np.zeros(m + 1), 0.0
        blocks = ((Z[start : start + CHUNK], y[start : start + CHUNK]) for start in range(0, len(Z), CHUNK))
        of_block = partial(self._block, weights, float(offset))
        for part in _in_order(mapper, of_block, blocks):
            loss, slope, inner = loss + part.loss, slope + part.gradient, inner + part.hessian
        lift = np.zeros((m + 1, len(theta)))
        lift[:m, :-1], lift[m, -1] = self.basis, 1.0
        ridge = np.append(np.ones(len(theta) - 1), 1e-12)
        return _Sums(
            self.C * loss + 0.5 * float(theta[:-1] @ theta[:-1]),
            self.C * (lift.T @ slope) + np.append(theta[:-1], 0.0),
            self.C * (lift.T @ inner @ lift) + np.diag(ridge),
        )

    def _block(self, weights: Array, offset: float, block: tuple[Array, Labels]) -> _Sums:
        """Sums over one chunk in terms of kernel values and a constant 1, (m + 1); the caller changes the basis."""
        rows, labels = block
        design = np.empty((len(rows), len(weights) + 1))
        design[:, :-1], design[:, -1] = self.kernel_of(rows), 1.0
        logit = design[:, :-1] @ weights + offset
        s, p = self.balance[labels], 0.5 * (1.0 + np.tanh(0.5 * logit))
        loss = float(np.sum(s * (np.logaddexp(0.0, logit) - labels * logit)))
        slope = (s * (p - labels)) @ design
        scaled = design * np.sqrt(s * p * (1.0 - p))[:, None]
        return _Sums(loss, slope, scaled.T @ scaled)


def _in_order(
    mapper: Mapper, work: Callable[[tuple[Array, Labels]], _Sums], blocks: Iterator[tuple[Array, Labels]]
) -> Iterator[_Sums]:
    """Results in the order of the blocks, so that sums do not depend on the threads; a few blocks at a time."""
    batch: list[tuple[Array, Labels]] = []
    for block in blocks:
        batch.append(block)
        if len(batch) == 16:
            yield from mapper(work, batch)
            batch = []
    yield from mapper(work, batch)


def _spread(y: Labels, count: int) -> NDArray[np.intp]:
    """Positions of about ``count`` rows, evenly over each class, both of which keep at least half of theirs."""
    if len(y) <= 2 * count:
        return np.arange(len(y))
    parts = []
    for label in (0, 1):
        found = np.flatnonzero(y == label)
        parts.append(found[:: max(1, len(found) // max(1, count // 2))])
    return np.sort(np.concatenate(parts))
