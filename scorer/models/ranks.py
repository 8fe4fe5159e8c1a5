"""How many eigenvalues an observable may lose: by what the cut does to scores of rows, not by a table.

    cut = least_cut(whole, circuit, Z, most=1e-3)
    deployed = whole.truncated(cut.rank)

A cut is harmless where the eigenvalues left out meet little of the rows' states, which depends on the bandwidth far
more than on the number of qubits. So every rank is tried on rows, all at the price of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import CHUNK, amplitudes, fidelity_kernel
from scorer.models.observable import FeatureMap, Observable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cut:
    """What a cut to ``rank`` of ``full`` eigenvalues does to the scores of some rows.

    ``change``: the largest change of a score in units of the uncut scores' standard deviation; 0 where none is cut.
    """

    rank: int
    full: int
    change: float


def least_cut(whole: Observable, circuit: FeatureMap, Z: Array, most: float) -> Cut:
    """Find the smallest rank at which no score of rows Z (N, features) changes by more than ``most``.

    ``most``: in units of the scores' standard deviation. Uncut where there is no smaller rank, or no row.
    """
    changes = changes_by_rank(whole, circuit, Z)
    rank = 1 + int(np.flatnonzero(changes <= most)[0])  # the last change, of the full rank, is 0
    return Cut(rank, whole.rank, float(changes[rank - 1]))


def cut_to(whole: Observable, circuit: FeatureMap, Z: Array, rank: int) -> Cut:
    """Measure the cut to ``rank``, from 1 to the full rank, on rows Z (N, features)."""
    return Cut(rank, whole.rank, float(changes_by_rank(whole, circuit, Z)[rank - 1]))


def changes_by_rank(whole: Observable, circuit: FeatureMap, Z: Array) -> Array:
    """Measure the largest change of a score of rows Z (N, features) at every rank from 1 on: (full rank,).

    In units of the uncut scores' standard deviation; infinite where that is 0 and a score changes.
    """
    largest, scores = np.zeros(whole.rank), []
    vectors = whole.vectors.astype(np.complex128)
    for start in range(0, len(Z), CHUNK):
        parts = fidelity_kernel(amplitudes(circuit, Z[start : start + CHUNK]), vectors) * whole.values
        scores.append(parts.sum(1))
        # What all eigenvalues beyond each rank add up to.
        beyond = np.cumsum(parts[:, :0:-1], axis=1)[:, ::-1]
        largest[:-1] = np.maximum(largest[:-1], np.abs(beyond).max(0, initial=0.0))
    spread = float(np.concatenate(scores).std()) if scores else 0.0
    with np.errstate(divide="ignore"):
        changes: Array = np.where(largest > 0.0, largest / spread, 0.0)
    return changes
