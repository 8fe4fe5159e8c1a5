"""Made-up rows that normal ones are told from, where a choice must be made and no label may have a say.

Half of them keep each feature's values but shuffle them on their own, so that only what features have to do with each
other is lost (Breiman's unsupervised forest); half are spread evenly over the range of the normal rows, so that what is
rare by itself counts too (anomaly detection as classification against a reference measure: Steinwart, Hush and Scovel,
JMLR 6 (2005) 211).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def background(X: Floats, rng: np.random.Generator) -> Floats:
    """Make as many rows as X (N, n) has, (N, n), in random order."""
    shuffled = rng.permuted(X, axis=0)
    low, high = np.percentile(X, [1, 99], axis=0)
    spread = rng.uniform(low, np.maximum(high, low), X.shape)
    even = rng.permutation(len(X)) < len(X) // 2
    made: Floats = np.where(even[:, None], spread, shuffled)
    return made
