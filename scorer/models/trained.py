"""A trained model: everything that scoring needs, checked once when it is put together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.models.calibration import Calibration, Ranks
from scorer.models.decision import DecisionError, DecisionRule
from scorer.models.families import Family, Twin, UnknownFamily, family_named
from scorer.models.machine import MAX_FEATURES, Machine
from scorer.models.parts import ArtifactFormatError
from scorer.rows.recipe import GRAINS, Recipe
from scorer.rows.transform import LARGEST, Scaler
from scorer.wire.names import is_name

Array = NDArray[np.float64]

MAX_BENIGN = 200_000
_ROUNDING = 1.0 + 1e-9


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model as a worker holds it: immutable, n features.

    ``family``: name in the table of families, which says what ``machine`` and ``twin`` may be. ``scaler``: features ->
    about [0, 1]. ``machine``: the quantum model as deployed. ``calibration`` and ``twin_calibration``: score ->
    probability. ``benign_scores``, ``twin_benign_scores``: sorted scores of held-out benign rows, float64, as
    ``scores`` and ``twin_scores`` give them. ``fpr``: false-positive rate of the default line. ``reference``: median of
    each feature over benign rows (n,), unscaled. ``facts``: JSON object for the card; must hold ``trained_on`` (one
    sentence) and ``starter`` (bool).
    """

    name: str
    family: str
    recipe: Recipe
    grain: str
    feature_names: tuple[str, ...]
    scaler: Scaler
    machine: Machine
    twin: Twin
    calibration: Calibration
    twin_calibration: Calibration
    benign_scores: Array
    twin_benign_scores: Array
    fpr: float
    reference: Array
    facts: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check_names(self)
        _check_parts(self)
        _check_facts(self.facts)
        _check_vector("reference", self.reference, len(self.feature_names))
        _check_reference(self)
        for name, benign in (("benign_scores", self.benign_scores), ("twin_benign_scores", self.twin_benign_scores)):
            if benign.dtype != np.float64 or len(benign) > MAX_BENIGN:
                raise ArtifactFormatError(f"{name}: {len(benign)} of {benign.dtype}, at most {MAX_BENIGN} float64")
        try:
            _ = (self.rule, self.twin_rule)
        except DecisionError as error:
            raise ArtifactFormatError(str(error)) from None

    @cached_property
    def kind(self) -> Family:
        """The family's row in the table."""
        return family_named(self.family)

    @cached_property
    def rule(self) -> DecisionRule:
        """The line, bands and risks of the quantum scores."""
        return DecisionRule(self.benign_scores, self.fpr, self.machine.rounding)

    @cached_property
    def twin_rule(self) -> DecisionRule:
        """The line, bands and risks of the twin's scores."""
        return DecisionRule(self.twin_benign_scores, self.fpr, self.twin.rounding)

    @cached_property
    def threshold(self) -> float:
        """Probability of the default line; rows above it alert.

        That of the line itself, not of what rounding may make of it: artifacts state it.
        """
        exact = Ranks(self.benign_scores) if isinstance(self.calibration, Ranks) else self.calibration
        return float(exact.probability(self.rule.line))

    @cached_property
    def operations(self) -> int:
        """Estimate what one row takes, by the model and by its twin: operations of about a nanosecond each.

        Of what is stored, every number is used about once.
        """
        return self.machine.operations + sum(array.size for array in self.twin.to_arrays().values())

    def scores(self, Z: Array) -> Array:
        """Score scaled, finite features Z (N, n): (N,)."""
        return self.machine.scores(Z)

    def twin_scores(self, Z: Array) -> Array:
        """Score scaled, finite features Z (N, n) by the twin: (N,)."""
        return self.twin.scores(Z)


def _check_names(model: TrainedModel) -> None:
    names = model.feature_names
    if not is_name(model.name) or model.grain not in GRAINS:
        raise ArtifactFormatError(f"a model called {model.name!r} of grain {model.grain!r}")
    if not 1 <= len(names) <= MAX_FEATURES or len(set(names)) != len(names):
        raise ArtifactFormatError(f"{len(names)} features; 1 to {MAX_FEATURES} different ones are possible")
    unknown = [name for name in names if name not in model.recipe.feature_by_name]
    if unknown:
        raise ArtifactFormatError(f"recipe {model.recipe.name} has no feature {unknown[0]!r}")
    if len(model.scaler.low) != len(names):
        raise ArtifactFormatError(f"{len(names)} features and {len(model.scaler.low)} scales")


def _check_parts(model: TrainedModel) -> None:
    """Machine and twin are those of the family, and take as many features as there are."""
    try:
        family = model.kind
    except UnknownFamily as error:
        raise ArtifactFormatError(str(error)) from None
    for what, part, kind in (("machine", model.machine, family.machine), ("twin", model.twin, family.twin)):
        if type(part) is not kind:
            raise ArtifactFormatError(f"family {family.name} has no {what} of the type {type(part).__name__}")
    for what, taken in (("machine", model.machine.features), ("twin", model.twin.features)):
        if taken != len(model.feature_names):
            raise ArtifactFormatError(f"{len(model.feature_names)} features, but the {what} takes {taken}")


def _check_facts(facts: Mapping[str, Any]) -> None:
    if not isinstance(facts.get("trained_on"), str) or not isinstance(facts.get("starter"), bool):
        raise ArtifactFormatError("facts must say what the model was `trained_on` and whether it is a `starter`")
    try:
        json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactFormatError(f"facts cannot be written as JSON: {error}") from None


def _check_reference(model: TrainedModel) -> None:
    """A usual value is one that the feature can have; reasons put it in words."""
    for name, value in zip(model.feature_names, model.reference.tolist(), strict=True):
        most = math.log1p(LARGEST) if model.recipe.feature_by_name[name].op == "log1p" else LARGEST
        if abs(value) > most * _ROUNDING:
            raise ArtifactFormatError(f"reference: {value!r} is no value of {name}; the largest is {most:.6g}")


def _check_vector(name: str, vector: NDArray[Any], length: int) -> None:
    if vector.dtype != np.float64 or vector.shape != (length,) or not np.isfinite(vector).all():
        raise ArtifactFormatError(f"{name}: {vector.dtype} of shape {vector.shape}, not {length} finite float64")
