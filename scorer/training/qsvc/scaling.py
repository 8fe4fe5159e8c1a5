"""Scalers that stand before a machine in a pipeline: each input a multiple of its feature plus a constant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.training.qsvc.machines import ImportRefused

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scaling:
    """x' = shift + factor x; both (features,), or numbers where they are the same for all."""

    shift: Array | float = 0.0
    factor: Array | float = 1.0

    def then(self, later: Scaling) -> Scaling:
        """Make the scaling that does this one and then ``later``."""
        return Scaling(later.shift + later.factor * self.shift, later.factor * self.factor)

    def of(self, features: int) -> tuple[Array, Array]:
        """Give shift and factor of each feature: two (features,). Raises ImportRefused where a factor is 0."""
        shift, factor = (np.broadcast_to(part, (features,)).astype(np.float64) for part in (self.shift, self.factor))
        if not (np.isfinite(shift).all() and np.isfinite(factor).all() and (factor != 0.0).all()):
            raise ImportRefused(
                "a scaler of the pipeline makes a constant of a feature, or numbers that are not finite"
            )
        return shift, factor


def scaling_of(name: str, step: Any) -> Scaling:
    """Read a fitted scaler of scikit-learn, the step ``name`` of a pipeline. Raises ImportRefused for anything else."""
    if step is None or step == "passthrough":
        return Scaling()
    kind = type(step)
    read = _SCALERS.get(kind.__name__) if kind.__module__.startswith("sklearn.preprocessing") else None
    if read is None:
        raise ImportRefused(
            f"the pipeline's step {name!r} is a {kind.__name__}; {', '.join(_SCALERS)} become the model's scaling, "
            "other steps do not. Give the pipeline's last step alone, and as its inputs what the steps before it make "
            "of the rows"
        )
    try:
        return read(step)
    except AttributeError:
        raise ImportRefused(f"the pipeline's step {name!r} has not been fitted: call fit(X, y) first") from None


def _min_max(step: Any) -> Scaling:
    _require_unclipped(step)
    return Scaling(step.min_, step.scale_)


def _max_abs(step: Any) -> Scaling:
    _require_unclipped(step)
    return Scaling(0.0, 1.0 / step.scale_)


def _standard(step: Any) -> Scaling:
    return _centred(step.mean_ if step.with_mean else 0.0, step.scale_ if step.with_std else 1.0)


def _robust(step: Any) -> Scaling:
    return _centred(step.center_ if step.with_centering else 0.0, step.scale_ if step.with_scaling else 1.0)


def _centred(centre: Any, scale: Any) -> Scaling:
    return Scaling(-centre / scale, 1.0 / scale)


def _require_unclipped(step: Any) -> None:
    if getattr(step, "clip", False):
        raise ImportRefused(
            f"the pipeline's {type(step).__name__} clips what lies outside of the training rows, so that its inputs "
            "are no multiples of the features: fit the pipeline with clip=False"
        )


_SCALERS: dict[str, Callable[[Any], Scaling]] = {
    "MinMaxScaler": _min_max,
    "StandardScaler": _standard,
    "MaxAbsScaler": _max_abs,
    "RobustScaler": _robust,
}
