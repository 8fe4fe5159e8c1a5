"""Which features drove a score: the exact gradient, integrated from the usual row to this one.

Integrated gradients (Sundararajan, Taly and Yan, ICML 2017): with f the score, r the reference row (the median benign
row) and z(t) = r + t (z - r), feature i is given

    a_i = (z_i - r_i) * integral from 0 to 1 of df/dz_i (z(t)) dt.

The a_i sum to f(z) - f(r) (completeness), a feature with its usual value gets nothing, and features that act together
share what they do together. The integral is taken with Gauss-Legendre nodes; how far the sum is off is known for every
row, and rows that are off by more than ``TOLERANCE`` are integrated again with twice as many nodes. The first numbers
of nodes, enough for nearly all rows, are taken in single precision; what they leave open, in float64.

Circuits above 12 qubits have no derivatives here: each feature in turn is given its usual value and the row scored
again. That is exact too, but the parts do not sum up, and features that only act together are both given the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scorer.models.machine import Differentiable, Machine

Array = NDArray[np.float64]

#: Nodes along the path; a row moves on to the next number while its attributions do not sum up.
NODES = (4, 8, 16, 32, 64, 128)
#: Up to so many nodes slopes are taken in single precision: its fifth digit is far below the tolerance.
_QUICK_NODES = 8
#: How far attributions may be from summing to f(z) - f(r), as a share of the sum of their magnitudes.
TOLERANCE = 0.01
#: Path points evaluated at a time, so that memory does not grow with the batch.
_POINTS = 1 << 13


@dataclass(frozen=True, eq=False)
class Attribution:
    """``values``: (N, n), in units of the score; positive where a feature raises it. ``residual``: (N,), the distance
    between their sum and the score's distance from the reference row's score; at most TOLERANCE times the sum of
    magnitudes, unless even the largest number of nodes did not reach that. NaN throughout a row on whose path a
    feature that changes has no slope."""

    values: Array
    residual: Array


def attributions(machine: Machine, Z: Array, reference: Array) -> Array:
    """Compute what each scaled feature of Z (N, n) adds to its row's score, (N, n), against a reference row (n,).

    The reference is scaled too. Raises AngleError where a formula of the circuit has no value on the way.
    """
    if machine.differentiable:
        return integrated_gradients(machine, Z, reference, machine.quick).values
    return occlusion(machine, Z, reference)


def occlusion(machine: Machine, Z: Array, reference: Array) -> Array:
    """Compute how far each score of Z (N, n) falls when one feature takes its ``reference`` value (n,): (N, n)."""
    rows, n = Z.shape
    changed = np.repeat(Z[:, None, :], n + 1, axis=1)
    changed[:, np.arange(n), np.arange(n)] = reference
    scores = machine.scores(changed.reshape(-1, n)).reshape(rows, n + 1)
    drops: Array = scores[:, -1:] - scores[:, :-1]
    return drops


def integrated_gradients(
    score: Differentiable, Z: Array, reference: Array, quick: Differentiable | None = None
) -> Attribution:
    """Integrate the gradient from the scaled reference row (n,) to each row of Z (N, n): what each feature adds.

    Raises AngleError where a formula of the circuit has no value on the way.
    """
    values, residual = np.zeros(Z.shape), np.zeros(len(Z))
    open_rows = np.arange(len(Z))
    for nodes in NODES:
        if open_rows.size == 0:
            break
        used = quick if quick is not None and nodes <= _QUICK_NODES else score
        found, wanted = _along_paths(used, Z[open_rows], reference, nodes)
        values[open_rows], residual[open_rows] = found, np.abs(found.sum(1) - wanted)
        # What is not finite goes on too: where one number of nodes meets a point without a slope, others do not.
        open_rows = open_rows[~(residual[open_rows] <= TOLERANCE * np.abs(found).sum(1))]
    values[~np.isfinite(values).all(1)] = np.nan
    return Attribution(values, residual)


def _along_paths(score: Differentiable, Z: Array, reference: Array, nodes: int) -> tuple[Array, Array]:
    """(z - r) times the mean gradient over the path, (N, n), and f(z) - f(r), (N,).

    The paths' ends are evaluated with the paths: one more call would cost as much as the points of several rows.
    """
    places, weights = _legendre(nodes)
    out, difference = np.empty(Z.shape), np.empty(len(Z))
    rows = max(1, _POINTS // (nodes + 1))
    for start in range(0, len(Z), rows):
        part = Z[start : start + rows]
        step = part - reference
        path = (reference + places[:, None, None] * step).reshape(-1, Z.shape[1])
        value, gradient = score.value_and_gradient(np.concatenate([path, part, reference[None, :]]))
        # A feature that keeps its usual value adds nothing, though its slope may be infinite: that of sqrt(x) at 0.
        slopes = np.where(step == 0.0, 0.0, gradient[: len(path)].reshape(nodes, *step.shape))
        with np.errstate(invalid="ignore"):
            out[start : start + rows] = step * np.tensordot(weights, slopes, axes=1)
        difference[start : start + rows] = value[len(path) : -1] - value[-1]
    return out, difference


@cache
def _legendre(nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre places and weights on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    return (places + 1.0) / 2.0, weights / 2.0
