"""Artifact format 2: a trained model as one JSON object and plain arrays, and back with everything checked.

The object: what every model has, and under ``machine`` and ``twin`` what those of its family need. The arrays: the
common ones, and those of machine and twin with ``machine_`` and ``twin_`` before their names. Format 1 knew one family;
it is read as what it would be in format 2.

Signature, digests and files belong to ``scorer.registry``. To change the format: raise FORMAT, keep reading every older
number, and add a stored artifact of the older format to tests/unit/models/data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.errors import CircuitError
from scorer.models.calibration import Calibration, CalibrationError, Platt, Ranks
from scorer.models.families import Family, UnknownFamily, family_named
from scorer.models.parts import (
    Arrays,
    ArtifactFormatError,
    Layout,
    check_keys,
    check_layout,
    number,
    section,
    stored,
    text,
    texts,
)
from scorer.models.trained import TrainedModel
from scorer.rows.recipe import Recipe, RecipeError
from scorer.rows.transform import FeatureError, Scaler

FORMAT = 2

COMMON: Layout = {
    "scaler_low": ("<f8", 1),
    "scaler_high": ("<f8", 1),
    "reference": ("<f8", 1),
    "benign_scores": ("<f8", 1),
    "twin_benign_scores": ("<f8", 1),
}
_KEYS = frozenset(
    (
        *("format", "family", "name", "grain", "recipe", "features", "machine", "twin"),
        *("calibration", "twin_calibration", "fpr", "threshold", "facts"),
    )
)
#: Format 1 -> format 2: numbers of the description, and arrays.
_FIRST_NUMBERS = ("observable_offset", "twin_gamma", "twin_offset")
_FIRST_ARRAYS = {
    "observable_values": "machine_values",
    "observable_real": "machine_real",
    "observable_imag": "machine_imag",
}


def layout_of(family: Family, machine_raw: Mapping[str, Any]) -> Layout:
    """List every array of a model of this family whose machine wrote ``machine_raw``, which is not trusted."""
    machine = {f"machine_{name}": kind for name, kind in family.machine.layout(machine_raw).items()}
    twin = {f"twin_{name}": kind for name, kind in family.twin.LAYOUT.items()}
    return {**COMMON, **machine, **twin}


def to_parts(model: TrainedModel) -> tuple[dict[str, Any], Arrays]:
    """Describe a model (JSON-able) and give its arrays; ``from_parts`` makes one that scores bit for bit the same."""
    machine_raw = model.machine.to_dict()
    description = {
        "format": FORMAT,
        "family": model.family,
        "name": model.name,
        "grain": model.grain,
        "recipe": model.recipe.to_dict(),
        "features": list(model.feature_names),
        "machine": machine_raw,
        "twin": model.twin.to_dict(),
        "calibration": _calibration_dict(model.calibration),
        "twin_calibration": _calibration_dict(model.twin_calibration),
        "fpr": model.fpr,
        "threshold": model.threshold,
        "facts": dict(model.facts),
    }
    common = {
        "scaler_low": model.scaler.low,
        "scaler_high": model.scaler.high,
        "reference": model.reference,
        "benign_scores": model.benign_scores,
        "twin_benign_scores": model.twin_benign_scores,
    }
    machine = {f"machine_{name}": array for name, array in model.machine.to_arrays().items()}
    twin = {f"twin_{name}": array for name, array in model.twin.to_arrays().items()}
    return description, stored({**common, **machine, **twin}, layout_of(model.kind, machine_raw))


def from_parts(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainedModel:
    """Make a model from parts that are not trusted; raises ArtifactFormatError naming the part that is wrong."""
    if not isinstance(description, Mapping) or description.get("format") not in (1, FORMAT):
        raise ArtifactFormatError(f"this program reads the model formats 1 and {FORMAT}")
    try:
        if description["format"] == 1:
            description, arrays = _from_first(description, arrays)
        model = _assemble(description, arrays)
    except (RecipeError, CircuitError, FeatureError, CalibrationError, UnknownFamily) as error:
        raise ArtifactFormatError(str(error)) from None
    stated = number(description, "threshold")
    if not math.isclose(stated, model.threshold, rel_tol=1e-9, abs_tol=1e-12):
        raise ArtifactFormatError(f"the threshold is stated as {stated!r} but its scores give {model.threshold!r}")
    return model


def _assemble(description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> TrainedModel:
    check_keys(description, _KEYS, "model")
    family = family_named(description["family"])
    raw = section(description, "machine")
    check_layout(arrays, layout_of(family, raw), "arrays")
    machine = family.machine.from_parts(raw, _under("machine_", arrays))
    twin = family.twin.from_parts(section(description, "twin"), _under("twin_", arrays, COMMON))
    benign, twin_benign = arrays["benign_scores"], arrays["twin_benign_scores"]
    return TrainedModel(
        name=text(description, "name"),
        family=family.name,
        recipe=Recipe.from_dict(description["recipe"]),
        grain=text(description, "grain"),
        feature_names=texts(description, "features"),
        scaler=Scaler(arrays["scaler_low"], arrays["scaler_high"]),
        machine=machine,
        twin=twin,
        calibration=_calibration(description, "calibration", benign, machine.rounding),
        twin_calibration=_calibration(description, "twin_calibration", twin_benign, twin.rounding),
        benign_scores=benign,
        twin_benign_scores=twin_benign,
        fpr=number(description, "fpr"),
        reference=arrays["reference"],
        facts=section(description, "facts"),
    )


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]], but: Layout | None = None) -> Arrays:
    """Arrays whose names begin with ``prefix``, without it."""
    names = [name for name in arrays if name.startswith(prefix) and name not in (but or {})]
    return {name.removeprefix(prefix): arrays[name] for name in names}


def _from_first(
    description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, Any], Mapping[str, NDArray[Any]]]:
    """Parts of format 1 as those of format 2: names move, nothing is vouched for here."""
    old = {*_KEYS - {"machine", "twin"}, *_FIRST_NUMBERS, "circuit"}
    check_keys(description, old, "model of format 1")
    if description["family"] != "svc":
        raise ArtifactFormatError(f"family {str(description['family'])[:80]!r} in format 1, which knew svc alone")
    moved = {key: value for key, value in description.items() if key in _KEYS}
    moved["machine"] = {"circuit": description["circuit"], "offset": description["observable_offset"]}
    moved["twin"] = {"gamma": description["twin_gamma"], "offset": description["twin_offset"]}
    for key in ("calibration", "twin_calibration"):
        moved[key] = {**section(description, key), "kind": "platt"}
    return moved, {_FIRST_ARRAYS.get(name, name): array for name, array in arrays.items()}


def _calibration_dict(calibration: Calibration) -> dict[str, Any]:
    if isinstance(calibration, Ranks):
        return {"kind": "ranks"}
    return {"kind": "platt", "slope": calibration.slope, "intercept": calibration.intercept}


def _calibration(description: Mapping[str, Any], key: str, benign: NDArray[np.float64], rounding: float) -> Calibration:
    raw = section(description, key)
    if raw.get("kind") == "ranks":
        check_keys(raw, {"kind"}, key)
        return Ranks(benign, rounding)
    check_keys(raw, {"kind", "slope", "intercept"}, key)
    if raw["kind"] != "platt":
        raise ArtifactFormatError(f"{key} is of the kind {str(raw['kind'])[:80]!r}; known are platt and ranks")
    return Platt(number(raw, "slope"), number(raw, "intercept"))
