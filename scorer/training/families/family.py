"""What a family's training file offers: a ``FamilyTraining``, which the search and the fit call.

Every family trains two machines on the same rows: its quantum machine and its classical twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.models.families import Twin
from scorer.models.machine import MAX_FEATURES, Machine
from scorer.models.observable import FeatureMap
from scorer.training.families.landmarks import LANDMARKS, choose_landmarks
from scorer.training.search import GridPoint, SearchSpace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: ``most_rows`` of families whose time grows with the rows and not with their square.
MANY_ROWS = 10_000_000
#: C of labelled families whose second searched parameter is another one.
FIXED_COST = 3.0


@dataclass(frozen=True, eq=False)
class FitRows:
    """What both machines are fitted on: scaled rows Z (N, n), labels y (N,), of one-class families all 0.

    ``circuit``: the feature map, at any bandwidth. ``seed``: of everything random in the fit.
    """

    Z: Floats
    y: Ints
    circuit: FeatureMap
    seed: int

    def at(self, point: GridPoint) -> FeatureMap:
        """Return the feature map at the bandwidth of ``point``."""
        return self.circuit.with_bandwidth(point.width)

    def landmarks(self, count: int = LANDMARKS) -> Floats:
        """Choose at most ``count`` rows (m, n), the same for quantum machine and twin. Raises FitError."""
        return choose_landmarks(self.Z, self.y, count, np.random.default_rng([self.seed, 3]))


@dataclass(frozen=True, kw_only=True)
class FamilyTraining:
    """How one family is searched and fitted, and what its card says.

    ``title``, ``twin_title``: what the two machines are, for people. ``one_class``: fitted on normal rows alone.
    ``fit_rows``: rows to fit on at most unless asked for otherwise. ``most_rows``: rows beyond which it cannot be
    asked. ``most_features``: that a model may have; ``most_qubits``: of its feature map. ``space``, ``twin_space``:
    what is searched for each machine. ``fit``, ``fit_twin``: the machines at the point that was found; they raise
    FitError.
    """

    title: str
    twin_title: str
    fit_rows: int
    most_rows: int
    space: Callable[[FitRows], SearchSpace]
    twin_space: Callable[[FitRows], SearchSpace]
    fit: Callable[[FitRows, GridPoint], Machine]
    fit_twin: Callable[[FitRows, GridPoint], Twin]
    one_class: bool = False
    most_features: int = MAX_FEATURES
    most_qubits: int = MAX_QUBITS
