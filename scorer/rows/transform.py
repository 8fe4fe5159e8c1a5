"""Inputs of a row -> features -> numbers of one scale.

Inputs are what a search can count. Ratios and logarithms are computed here, so that every builder of rows agrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorer.rows.recipe import Recipe
from scorer.rows.recipe.parts import Feature

Array = NDArray[np.float64]

#: Scaled features lie here; training rows fill [0, 1] but for the outermost percent at each end.
CLIP = (-0.5, 1.5)
#: Counts beyond 2^53 are not exact in float64: no search counts that far, a cell that claims so is an error.
LARGEST = float(2**53)


class FeatureError(ValueError):
    """Feature names, columns or training rows that no model can be made of."""


def required_inputs(recipe: Recipe, feature_names: Sequence[str]) -> tuple[str, ...]:
    """List the inputs that these features are computed from, in the recipe's order."""
    needed = {name for feature in _features(recipe, feature_names) for name in feature.of}
    return tuple(i.name for i in recipe.inputs if i.name in needed)


def derive(recipe: Recipe, feature_names: Sequence[str], columns: Mapping[str, ArrayLike]) -> Array:
    """Compute features of N rows, float64 (N, n), in the order of ``feature_names``.

    ``identity``: the input. ``log1p``: ln(1 + input). ``ratio``: part / whole, 0 where the whole is 0. NaN inputs give
    NaN features; nothing is checked here (see ``range_defects``). Raises FeatureError for unknown names.
    """
    features = _features(recipe, feature_names)
    rows = len(_column(columns, features[0].of[0])) if features else 0
    out = np.empty((rows, len(features)))
    for k, feature in enumerate(features):
        out[:, k] = _OPS[feature.op](*(_column(columns, name) for name in feature.of))
    return out


def range_defects(recipe: Recipe, feature_names: Sequence[str], columns: Mapping[str, ArrayLike]) -> dict[int, str]:
    """Say of rows what is impossible about their inputs: below the minimum, beyond LARGEST, or a part above its whole.

    NaN cells are no concern of this function. At most one complaint a row, the first in the recipe's order.
    """
    found: dict[int, str] = {}
    for name in required_inputs(recipe, feature_names):
        low = recipe.input_by_name[name].minimum
        values = _column(columns, name)
        with np.errstate(invalid="ignore"):
            wrong = (values < low) | (values > LARGEST)
        for row in np.flatnonzero(wrong):
            found.setdefault(int(row), f"{name} is {values[row]:.6g}; possible is {low:g} to {LARGEST:.3g}")
    for feature in _features(recipe, feature_names):
        if feature.op == "ratio":
            _part_defects(feature, columns, found)
    return found


def _part_defects(feature: Feature, columns: Mapping[str, ArrayLike], found: dict[int, str]) -> None:
    part, whole = (_column(columns, name) for name in feature.of)
    with np.errstate(invalid="ignore"):
        wrong = part > whole
    for row in np.flatnonzero(wrong):
        text = f"{feature.of[0]} is {part[row]:.6g}, more than {feature.of[1]} ({whole[row]:.6g})"
        found.setdefault(int(row), text)


def in_words(feature: Feature, value: float, usual: str) -> str:
    """Put a feature's value as an analyst reads it: ``share of failures 0.83 (usual 0.02)``.

    ``usual``: the usual value by `in_units`, made once for many rows.
    """
    return f"{feature.phrase} {in_units(feature, value)} (usual {usual})"


def in_units(feature: Feature, value: float) -> str:
    """Put a feature's value as a number in the unit of its inputs."""
    return _short(math.expm1(value) if feature.op == "log1p" else value)


@lru_cache(maxsize=4096)  # counts repeat themselves, and a word takes longer to make than to find
def _short(value: float) -> str:
    """Write counts whole, shares to two decimals, large numbers without exponent noise."""
    nearest = round(value)
    if abs(value - nearest) < 1e-6 * max(1.0, abs(value)):
        return str(nearest)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}"


@dataclass(frozen=True, eq=False)
class Scaler:
    """(x - low) / (high - low), clipped to CLIP. ``low``, ``high``: float64 (n,), finite, low < high."""

    low: Array
    high: Array

    def __post_init__(self) -> None:
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise FeatureError(f"a scaler of shapes {self.low.shape} and {self.high.shape}")
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low < self.high).all()):
            raise FeatureError("a scaler whose bounds are not finite and increasing")

    @classmethod
    def fit(cls, X: Array, names: Sequence[str] = ()) -> Scaler:
        """Take the 1st and 99th percentile of each feature of training rows X (N, n); its extremes where those meet.

        Raises FeatureError for no rows, values that are not finite, and constant features (by ``names``).
        """
        if X.ndim != 2 or len(X) == 0:
            raise FeatureError(f"a scaler needs finite rows, not an array of shape {X.shape}")
        if not np.isfinite(X).all():
            row, column = (int(k) for k in np.argwhere(~np.isfinite(X))[0])
            which = names[column] if names else f"column {column}"
            raise FeatureError(f"a scaler needs finite rows: row {row} holds {X[row, column]} for {which}")
        low, high = np.percentile(X, [1, 99], axis=0)
        meet = high - low <= 1e-12 * np.maximum(1.0, np.abs(high))
        low, high = np.where(meet, X.min(0), low), np.where(meet, X.max(0), high)
        constant = np.flatnonzero(low >= high)
        if constant.size:
            which = ", ".join(names[int(k)] if names else f"number {k}" for k in constant)
            raise FeatureError(f"constant on every training row: {which}")
        return cls(low, high)

    def apply(self, X: Array) -> Array:
        """Scale features (N, n) into features (N, n)."""
        scaled: Array = np.clip((X - self.low) / (self.high - self.low), *CLIP)
        return scaled


def _identity(x: Array) -> Array:
    return x


def _log1p(x: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        logs: Array = np.log1p(x)
    return logs


def _ratio(part: Array, whole: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Array = np.where(whole == 0, 0.0, part / whole)
    return ratio


_OPS: dict[str, Callable[..., Array]] = {"identity": _identity, "log1p": _log1p, "ratio": _ratio}


def _features(recipe: Recipe, names: Sequence[str]) -> list[Feature]:
    unknown = [name for name in names if name not in recipe.feature_by_name]
    if unknown:
        raise FeatureError(f"recipe {recipe.name} has no feature {unknown[0][:80]!r}")
    return [recipe.feature_by_name[name] for name in names]


def _column(columns: Mapping[str, ArrayLike], name: str) -> Array:
    if name not in columns:
        raise FeatureError(f"the column {name} is absent")
    return np.asarray(columns[name], np.float64)
