"""Artifact format 1: a trained model as one JSON object and plain arrays, and back with everything checked.

Signature, digests and files belong to ``scorer.registry``. To change the format: raise FORMAT, keep reading every older
number, and add a stored artifact of the older format to the tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.zz import CircuitError, ZZMap
from scorer.features.parse import RecipeError
from scorer.features.recipe import Recipe
from scorer.features.transform import FeatureError, Scaler
from scorer.models.calibration import CalibrationError, Platt
from scorer.models.svc import Observable, RbfTwin
from scorer.models.trained import ArtifactFormatError, TrainedModel

__all__ = ["FORMAT", "ArtifactFormatError", "TrainedModel", "from_parts", "to_parts"]

FORMAT = 1

#: Array -> (dtype, number of dimensions). Complex vectors are stored as two real arrays.
ARRAYS = {
    "scaler_low": ("<f8", 1),
    "scaler_high": ("<f8", 1),
    "reference": ("<f8", 1),
    "observable_values": ("<f8", 1),
    "observable_real": ("<f4", 2),
    "observable_imag": ("<f4", 2),
    "twin_support": ("<f4", 2),
    "twin_coefficients": ("<f4", 1),
    "benign_scores": ("<f8", 1),
    "twin_benign_scores": ("<f8", 1),
}
_NUMBERS = ("observable_offset", "twin_gamma", "twin_offset", "fpr", "threshold")
_OTHERS = ("format", "family", "name", "grain", "recipe", "features", "circuit", "facts")
_KEYS = frozenset((*_NUMBERS, *_OTHERS, "calibration", "twin_calibration"))

Arrays = dict[str, NDArray[Any]]


def to_parts(model: TrainedModel) -> tuple[dict[str, Any], Arrays]:
    """The model's description (JSON-able) and arrays; ``from_parts`` gives a model that scores bit for bit the same."""
    description = {
        "format": FORMAT,
        "family": model.family,
        "name": model.name,
        "grain": model.grain,
        "recipe": model.recipe.to_dict(),
        "features": list(model.feature_names),
        "circuit": model.circuit.to_dict(),
        "observable_offset": model.observable.offset,
        "twin_gamma": model.twin.gamma,
        "twin_offset": model.twin.offset,
        "calibration": _platt_dict(model.calibration),
        "twin_calibration": _platt_dict(model.twin_calibration),
        "fpr": model.fpr,
        "threshold": model.threshold,
        "facts": dict(model.facts),
    }
    arrays = {
        "scaler_low": model.scaler.low,
        "scaler_high": model.scaler.high,
        "reference": model.reference,
        "observable_values": model.observable.values,
        "observable_real": model.observable.vectors.real,
        "observable_imag": model.observable.vectors.imag,
        "twin_support": model.twin.support,
        "twin_coefficients": model.twin.coefficients,
        "benign_scores": model.benign_scores,
        "twin_benign_scores": model.twin_benign_scores,
    }
    return description, {name: np.ascontiguousarray(array, ARRAYS[name][0]) for name, array in arrays.items()}


def from_parts(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainedModel:
    """A model from parts that are not trusted; raises ArtifactFormatError saying what is wrong with which part."""
    _check_keys(description, arrays)
    try:
        model = _assemble(description, arrays)
    except (RecipeError, CircuitError, FeatureError, CalibrationError) as error:
        raise ArtifactFormatError(str(error)) from None
    stated = _number(description, "threshold")
    if not math.isclose(stated, model.threshold, rel_tol=1e-9, abs_tol=1e-12):
        raise ArtifactFormatError(f"the threshold is stated as {stated!r} but its scores give {model.threshold!r}")
    return model


def _assemble(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainedModel:
    vectors = np.empty(arrays["observable_real"].shape, np.complex64)
    vectors.real, vectors.imag = arrays["observable_real"], arrays["observable_imag"]
    return TrainedModel(
        name=_text(description, "name"),
        recipe=Recipe.from_dict(description["recipe"]),
        grain=_text(description, "grain"),
        feature_names=_texts(description, "features"),
        scaler=Scaler(arrays["scaler_low"], arrays["scaler_high"]),
        circuit=ZZMap.from_dict(description["circuit"]),
        observable=Observable(arrays["observable_values"], vectors, _number(description, "observable_offset")),
        twin=RbfTwin(
            arrays["twin_support"],
            arrays["twin_coefficients"],
            _number(description, "twin_gamma"),
            _number(description, "twin_offset"),
        ),
        calibration=_platt(description, "calibration"),
        twin_calibration=_platt(description, "twin_calibration"),
        benign_scores=arrays["benign_scores"],
        twin_benign_scores=arrays["twin_benign_scores"],
        fpr=_number(description, "fpr"),
        reference=arrays["reference"],
        facts=_object(description, "facts"),
        family=_text(description, "family"),
    )


def _check_keys(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    if not isinstance(description, Mapping) or description.get("format") != FORMAT:
        raise ArtifactFormatError(f"this program reads model format {FORMAT}")
    if set(description) != _KEYS or set(arrays) != set(ARRAYS):
        odd = sorted(map(str, (set(description) ^ _KEYS) | (set(arrays) ^ set(ARRAYS))))
        raise ArtifactFormatError(f"missing or unknown parts: {', '.join(odd)[:200]}")
    for name, (dtype, dimensions) in ARRAYS.items():
        array = arrays[name]
        if array.dtype.str != dtype or array.ndim != dimensions:
            raise ArtifactFormatError(f"array {name} is {array.dtype.str} with {array.ndim} dimensions")
    if arrays["observable_real"].shape != arrays["observable_imag"].shape:
        raise ArtifactFormatError("the observable's real and imaginary parts differ in shape")


def _platt_dict(platt: Platt) -> dict[str, float]:
    return {"slope": platt.slope, "intercept": platt.intercept}


def _platt(description: Mapping[str, Any], key: str) -> Platt:
    raw = _object(description, key)
    if set(raw) != {"slope", "intercept"}:
        raise ArtifactFormatError(f"{key} has the keys {sorted(map(str, raw))}")
    return Platt(_number(raw, "slope"), _number(raw, "intercept"))


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ArtifactFormatError(f"{key} is {str(value)[:80]!r}, not a finite number")
    return float(value)


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise ArtifactFormatError(f"{key} is {str(value)[:80]!r}, not text")
    return value


def _texts(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = raw.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ArtifactFormatError(f"{key} is not a list of texts")
    return tuple(value)


def _object(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise ArtifactFormatError(f"{key} is not an object")
    return value
