"""A trained model: everything that scoring needs, checked once when it is put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import MAX_QUBITS, ZZMap
from scorer.engine.fast import ObservableScorer
from scorer.features.parse import is_name
from scorer.features.recipe import GRAINS, Recipe
from scorer.features.transform import Scaler
from scorer.models.calibration import Platt
from scorer.models.decision import DecisionError, DecisionRule
from scorer.models.svc import MAX_GAMMA, MAX_SUPPORT, Observable, RbfTwin

Array = NDArray[np.float64]

FAMILY = "svc"
MAX_BENIGN = 200_000
#: A cut observable's vectors are rounded to float32; anything further from unit norm was not made by this program.
_NORM_TOLERANCE = 1e-3


class ArtifactFormatError(ValueError):
    """Parts that are no model: of the wrong type, shape or range, or at odds with each other."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """Immutable. n features, one qubit each.

    ``scaler``: features -> about [0, 1]. ``observable``: deployed form, complex64. ``calibration`` and
    ``twin_calibration``: score -> probability. ``benign_scores``, ``twin_benign_scores``: sorted scores of held-out
    benign rows, float64, as ``scores`` and ``twin_scores`` give them. ``fpr``: false-positive rate of the default line.
    ``reference``: median of each feature over benign rows (n,), unscaled. ``facts``: JSON object for the card; must
    hold ``trained_on`` (one sentence) and ``starter`` (bool).
    """

    name: str
    recipe: Recipe
    grain: str
    feature_names: tuple[str, ...]
    scaler: Scaler
    circuit: ZZMap
    observable: Observable
    twin: RbfTwin
    calibration: Platt
    twin_calibration: Platt
    benign_scores: Array
    twin_benign_scores: Array
    fpr: float
    reference: Array
    facts: Mapping[str, Any]
    family: str = FAMILY

    def __post_init__(self) -> None:
        _check_names(self)
        _check_facts(self.facts)
        _check_observable(self.observable, self.circuit.qubits)
        _check_twin(self.twin, len(self.feature_names))
        _check_vector("reference", self.reference, len(self.feature_names))
        for name, benign in (("benign_scores", self.benign_scores), ("twin_benign_scores", self.twin_benign_scores)):
            if benign.dtype != np.float64 or len(benign) > MAX_BENIGN:
                raise ArtifactFormatError(f"{name}: {len(benign)} of {benign.dtype}, at most {MAX_BENIGN} float64")
        try:
            _ = (self.rule, self.twin_rule)
        except DecisionError as error:
            raise ArtifactFormatError(str(error)) from None

    @cached_property
    def rule(self) -> DecisionRule:
        return DecisionRule(self.benign_scores, self.fpr)

    @cached_property
    def twin_rule(self) -> DecisionRule:
        return DecisionRule(self.twin_benign_scores, self.fpr)

    @cached_property
    def threshold(self) -> float:
        """Probability of the default line; rows above it alert."""
        return float(self.calibration.probability(self.rule.line))

    def scores(self, Z: Array) -> Array:
        """Scores (N,) of scaled, finite features Z (N, n)."""
        return self._scorer(Z) + self.observable.offset

    def twin_scores(self, Z: Array) -> Array:
        """The twin's scores (N,) of the same rows."""
        return self.twin.scores(Z)

    @cached_property
    def _scorer(self) -> ObservableScorer:
        return ObservableScorer(self.circuit, self.observable.values, self.observable.vectors)


def _check_names(model: TrainedModel) -> None:
    names = model.feature_names
    if model.family != FAMILY:
        raise ArtifactFormatError(f"family {model.family!r} is not known here; known is {FAMILY}")
    if not is_name(model.name) or model.grain not in GRAINS:
        raise ArtifactFormatError(f"a model called {model.name!r} of grain {model.grain!r}")
    if not 1 <= len(names) <= MAX_QUBITS or len(set(names)) != len(names):
        raise ArtifactFormatError(f"{len(names)} features; 1 to {MAX_QUBITS} different ones are possible")
    unknown = [name for name in names if name not in model.recipe.feature_by_name]
    if unknown:
        raise ArtifactFormatError(f"recipe {model.recipe.name} has no feature {unknown[0]!r}")
    if model.circuit.qubits != len(names) or len(model.scaler.low) != len(names):
        raise ArtifactFormatError(
            f"{len(names)} features, {model.circuit.qubits} qubits, {len(model.scaler.low)} scales"
        )


def _check_facts(facts: Mapping[str, Any]) -> None:
    if not isinstance(facts.get("trained_on"), str) or not isinstance(facts.get("starter"), bool):
        raise ArtifactFormatError("facts must say what the model was `trained_on` and whether it is a `starter`")
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactFormatError(f"facts cannot be written as JSON: {error}") from None


def _check_observable(observable: Observable, qubits: int) -> None:
    values, vectors = observable.values, observable.vectors
    _check_vector("observable values", values, len(values))
    rank = len(values)
    if not 1 <= rank <= 2**qubits or vectors.shape != (rank, 2**qubits) or vectors.dtype != np.complex64:
        raise ArtifactFormatError(f"an observable of shape {vectors.shape} and type {vectors.dtype} at {qubits} qubits")
    norms = np.linalg.norm(vectors, axis=1)
    if not (np.abs(norms - 1.0) <= _NORM_TOLERANCE).all():
        raise ArtifactFormatError("an observable whose eigenvectors do not have unit norm")
    if not np.isfinite(observable.offset):
        raise ArtifactFormatError(f"an observable with the offset {observable.offset!r}")


def _check_twin(twin: RbfTwin, features: int) -> None:
    shape = twin.support.shape
    if len(shape) != 2 or shape[1] != features or not 1 <= shape[0] <= MAX_SUPPORT:
        raise ArtifactFormatError(f"a twin with support vectors of shape {shape} for {features} features")
    if twin.support.dtype != np.float32 or twin.coefficients.dtype != np.float32:
        raise ArtifactFormatError("a twin whose arrays are not float32")
    if twin.coefficients.shape != shape[:1] or not np.isfinite(twin.coefficients).all():
        raise ArtifactFormatError("a twin without one finite coefficient for each support vector")
    if not np.isfinite(twin.support).all() or not np.isfinite(twin.offset) or not 0.0 < twin.gamma <= MAX_GAMMA:
        raise ArtifactFormatError(f"a twin with gamma {twin.gamma!r} and offset {twin.offset!r}, or infinite support")


def _check_vector(name: str, vector: NDArray[Any], length: int) -> None:
    if vector.dtype != np.float64 or vector.shape != (length,) or not np.isfinite(vector).all():
        raise ArtifactFormatError(f"{name}: {vector.dtype} of shape {vector.shape}, not {length} finite float64")
