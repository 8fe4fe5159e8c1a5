"""Search of hyper-parameters: one small grid for the quantum machine and one of the same size for its twin.

A trial is one pair of a grid tried on the rows of a search: fitted on some of them, scores for others. It is prepared
once for a width (bandwidth or gamma), for all second parameters and folds: most of the work of a kernel machine is its
kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context

from scorer.circuits.errors import CircuitError
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.zz import ZZMap
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.observable import FeatureMap
from scorer.rows.transform import CLIP
from scorer.training.background import background
from scorer.training.evaluate import average_precision
from scorer.training.splits import inner_folds, subsample

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: (second parameter, positions to fit (k,), positions to score (m,)) -> scores (m,).
Trial = Callable[[float, Ints, Ints], Floats]
#: (scaled rows (N, n), labels (N,), width) -> trial.
Prepare = Callable[[Floats, Ints, float], Trial]

BANDWIDTHS = (0.025, 0.05, 0.1, 0.2, 0.4)  # of the ZZ map: radians for the width of the scaled range
GAMMAS = (0.1, 0.5, 2.0, 8.0, 32.0)
COSTS = (0.3, 3.0, 30.0)
SEARCH_ROWS = 800
SEARCH_FOLDS = 4
#: Mean fidelities between which bandwidths are tried, and where they are looked for: beyond pi angles wrap round.
_ALIKE, _APART = 0.97, 0.05
_LADDER = np.geomspace(0.005, np.pi, 50)
_LADDER_ROWS = 60


@dataclass(frozen=True)
class Grid:
    """Every pair of a width (bandwidth or gamma) and a value of the parameter called ``second``; () where none is."""

    widths: tuple[float, ...]
    second: str = ""
    seconds: tuple[float, ...] = (0.0,)

    @property
    def pairs(self) -> int:
        return len(self.widths) * len(self.seconds)


@dataclass(frozen=True)
class GridPoint:
    """One pair of a grid as it was judged. ``width``: bandwidth or gamma. ``pr_auc``: mean over the inner folds."""

    width: float
    second: float
    pr_auc: float


@dataclass(frozen=True)
class SearchSpace:
    """What is searched for one of the two machines: the pairs of ``grid``, each tried by what ``prepare`` makes."""

    grid: Grid
    prepare: Prepare


@dataclass(frozen=True)
class Searched:
    """Winners of both grids, each of ``tried`` pairs on the same rows and folds."""

    quantum: GridPoint
    twin: GridPoint
    tried: int


def bandwidths(circuit: FeatureMap, count: int) -> tuple[float, ...]:
    """Find ``count`` bandwidths, evenly in their logarithm, from nearly alike to nearly orthogonal rows, for any map.

    The ends: where the mean fidelity of rows spread evenly over [0, 1]^n first falls to 0.97, and where to 0.05, or to
    its lowest for a map that never parts rows so far. So a map of one's own needs no grid of its own. Bandwidths at
    which its formulas have no value on rows as they may be scaled (asin(x) has none beyond 1) are not gone to. Raises
    CircuitError where that leaves none.
    """
    rows = np.random.default_rng(0).random((_LADDER_ROWS, circuit.features))
    ladder = _usable(circuit, rows)
    means = []
    for bandwidth in ladder:
        psi = amplitudes(circuit.with_bandwidth(float(bandwidth)), rows)
        kernel = fidelity_kernel(psi, psi)
        means.append((kernel.sum() - np.trace(kernel)) / (_LADDER_ROWS * (_LADDER_ROWS - 1)))
    apart = np.array(means)
    high = int(np.argmax(apart <= _APART)) if (apart <= _APART).any() else int(np.argmin(apart))
    low = min(int(np.argmax(apart <= _ALIKE)) if (apart <= _ALIKE).any() else 0, max(high - 1, 0))
    return tuple(np.geomspace(ladder[low], ladder[max(high, 1)], count).tolist())


def _usable(circuit: FeatureMap, rows: Floats) -> Floats:
    """The first bandwidths of the ladder, as long as formulas have values: on all scaled rows, or on [0, 1]^n alone."""
    low, high = CLIP
    everywhere = np.concatenate([low + (high - low) * rows, *(np.full((1, rows.shape[1]), end) for end in CLIP)])
    for tried in (everywhere, rows):
        defined = [bool(circuit.with_bandwidth(float(width)).plan.defined(tried).all()) for width in _LADDER]
        steps = len(defined) if all(defined) else defined.index(False)
        if steps > 1:
            return _LADDER[:steps]
    raise CircuitError(
        f"the map {circuit.name!r} has formulas without a value on ordinary rows, features from 0 to 1, at every "
        "bandwidth: change them, as log(1 + x*x) stands for log(x)"
    )


def grid_widths(circuit: FeatureMap, count: int) -> tuple[float, ...]:
    """Give the ZZ map's own grid where it has ``count`` steps, and for all else ``bandwidths``.

    Above MAX_QUBITS there are no exact states to look at: the ZZ map's grid again. Raises CircuitError.
    """
    if count == len(BANDWIDTHS) and (isinstance(circuit, ZZMap) or circuit.qubits > MAX_QUBITS):
        return BANDWIDTHS
    return bandwidths(circuit, count)


def search(Z: Floats, y: Ints, groups: Ints | None, seed: int, quantum: SearchSpace, twin: SearchSpace) -> Searched:
    """Find the best pair of each space on scaled features Z (N, n), labels y (N,), by PR-AUC over inner folds.

    At most SEARCH_ROWS rows are looked at, the same ones by both grids. They hold more malicious rows than all rows do;
    PR-AUC is weighted back to the share in ``y``. Raises ValueError for spaces of different sizes, BadTrainingData
    where no folds can be made, and what the trials raise (FitError).
    """
    rows = subsample(y, SEARCH_ROWS, np.random.default_rng(seed))
    weights = _weights(y, y[rows])
    Z, y, groups = Z[rows], y[rows], None if groups is None else groups[rows]
    return _searched(Z, y, weights, inner_folds(y, groups, SEARCH_FOLDS, seed), quantum, twin)


def search_normal(Z: Floats, groups: Ints | None, seed: int, quantum: SearchSpace, twin: SearchSpace) -> Searched:
    """Find the best pair of each space for machines that see normal rows Z (N, n) alone: no label has a say.

    They are judged by how well they tell normal rows held out from made-up ones (see ``background``). Raises what
    ``search`` does.
    """
    rng = np.random.default_rng(seed)
    rows = subsample(np.zeros(len(Z), np.int64), SEARCH_ROWS // 2, rng)
    normal = Z[rows]
    y = np.repeat([0, 1], [len(normal), len(normal)])
    made_up = background(normal, rng)
    held_groups = None if groups is None else np.append(groups[rows], -1 - np.arange(len(normal)))
    parts = [(fit[y[fit] == 0], held) for fit, held in inner_folds(y, held_groups, SEARCH_FOLDS, seed)]
    return _searched(np.concatenate([normal, made_up]), y, np.ones(len(y)), parts, quantum, twin)


def _searched(
    Z: Floats,
    y: Ints,
    weights: Floats,
    parts: list[tuple[Ints, Ints]],
    quantum: SearchSpace,
    twin: SearchSpace,
) -> Searched:
    if quantum.grid.pairs != twin.grid.pairs:
        raise ValueError(f"{quantum.grid.pairs} tries for the quantum machine, {twin.grid.pairs} for its twin")
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a thousand small fits on checked rows
        best = [best_point(space, Z, y, weights, parts) for space in (quantum, twin)]
    return Searched(best[0], best[1], quantum.grid.pairs)


def _weights(whole: Ints, part: Ints) -> Floats:
    """Of the rows of ``part`` (M,), so that malicious and benign weigh as in ``whole``; 1 for malicious rows."""
    odds = (whole == 0).sum() / (whole == 1).sum()
    return np.where(part == 1, 1.0, odds * (part == 1).sum() / (part == 0).sum())


def best_point(space: SearchSpace, Z: Floats, y: Ints, weights: Floats, parts: list[tuple[Ints, Ints]]) -> GridPoint:
    """Find the pair with the highest mean PR-AUC over ``parts`` (rows to fit, rows to score) of rows Z (N, n).

    ``weights``: of each row in the PR-AUC (N,). Of equals the first, which is the smoothest. Raises what the trials do.
    """
    found: list[GridPoint] = []
    for width in space.grid.widths:
        trial = space.prepare(Z, y, width)
        for second in space.grid.seconds:
            judged = [average_precision(y[b], trial(second, a, b), weights[b]) for a, b in parts]
            found.append(GridPoint(width, second, float(np.mean(judged))))
    return max(found, key=lambda point: point.pr_auc)
