"""Landmarks: the few rows whose kernel values stand for those of all rows (Williams and Seeger, NIPS 2000)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.models.twins import MAX_LANDMARKS
from scorer.training.families.checks import Array, FitError, Labels

LANDMARKS = 300
#: Directions of the landmarks' kernel below this share of its largest eigenvalue are left out. They would change no
#: ranking visibly, but sums of Gaussians with the weights that they need lose digits in float32.
SPECTRUM_CUT = 1e-7


def choose_landmarks(Z: Array, y: Labels, count: int, rng: np.random.Generator) -> Array:
    """Draw at most ``count`` of the rows Z (N, n): (m, n), up to half of them malicious, as labels y (N,) say.

    So rare attacks are represented. Raises FitError.
    """
    if not 2 <= count <= MAX_LANDMARKS:
        raise FitError(f"{count} landmarks; possible are 2 to {MAX_LANDMARKS}")
    attacks, benign = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    kept = min(len(attacks), max(count // 2, count - len(benign)))
    chosen = [rng.choice(attacks, kept, replace=False), rng.choice(benign, min(count - kept, len(benign)), False)]
    rows: Array = Z[np.sort(np.concatenate(chosen))]
    return np.unique(rows, axis=0)


def whitening(kernel: NDArray[np.float64]) -> Array:
    """Compute T (m, m') with T^T K T = 1 for the landmarks' kernel K (m, m) without its smallest directions."""
    values, columns = np.linalg.eigh((kernel + kernel.T) / 2)
    kept = values > SPECTRUM_CUT * values[-1]
    basis: Array = columns[:, kept] / np.sqrt(values[kept])
    return basis
