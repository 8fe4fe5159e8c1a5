"""A model of a few hundred rows, fitted in a second: weak, real, and put together as any other.

What benchmarks of the path around the model and tests score with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import ZZMap
from scorer.models.calibration import fit_platt
from scorer.models.machine import ObservableMachine
from scorer.models.trained import TrainedModel
from scorer.rows.recipe import Recipe
from scorer.rows.transform import Scaler
from scorer.training.families.svc import fit_svc, fit_twin

Array = NDArray[np.float64]


def small_model(
    recipe: Recipe,
    features: Sequence[str],
    X: Array,
    y: NDArray[np.int64],
    circuit: ZZMap,
    fpr: float,
    told: str,
    starter: bool = True,
) -> TrainedModel:
    """A model of family svc, fitted on the first half of the rows and calibrated on the second.

    ``X``: features (N, n), unscaled. ``y``: labels (N,), 1 is malicious. ``told``: for the card, what these rows are.
    """
    names, half = tuple(features), len(X) // 2
    scaler = Scaler.fit(X[:half], names)
    Z = scaler.apply(X)
    observable, twin = fit_svc(Z[:half], y[:half], circuit, 1.0), fit_twin(Z[:half], y[:half], 1.0, 1.0)
    held, labels = Z[half:], y[half:]
    scores, twin_scores = observable.scores(circuit, held), twin.scores(held)
    return TrainedModel(
        name=recipe.name,
        family="svc",
        recipe=recipe,
        grain="window",
        feature_names=names,
        scaler=scaler,
        machine=ObservableMachine(circuit, observable),
        twin=twin,
        calibration=fit_platt(scores, labels),
        twin_calibration=fit_platt(twin_scores, labels),
        benign_scores=np.sort(scores[labels == 0]),
        twin_benign_scores=np.sort(twin_scores[labels == 0]),
        fpr=fpr,
        reference=np.median(X[y == 0], axis=0),
        facts={"trained_on": told, "starter": starter},
    )
