"""What is asked of rows and hyper-parameters before anything is fitted with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.models.twins import MAX_GAMMA, MAX_SUPPORT

Array = NDArray[np.float64]
Labels = NDArray[np.integer]


class FitError(ValueError):
    """Rows or hyper-parameters that nothing can be fitted with."""


def check_labelled(Z: Array, y: Labels) -> None:
    """Raises FitError unless the rows Z (N, n) are finite and labels y (N,) are 0 and 1, both of which occur."""
    if Z.ndim != 2 or y.shape != (len(Z),) or not np.isfinite(Z).all():
        raise FitError(f"finite rows and one label each are needed, not shapes {Z.shape} and {y.shape}")
    if set(np.unique(y).tolist()) != {0, 1}:
        raise FitError("labels must be 0 and 1, and both must occur")


def check_kernel_rows(Z: Array, y: Labels) -> None:
    """Raises FitError unless Z (N, n) and y (N,) are labelled rows, of which a kernel machine can hold N."""
    if len(Z) > MAX_SUPPORT:
        raise FitError(f"{len(Z)} rows; a kernel machine is fitted on at most {MAX_SUPPORT}")
    check_labelled(Z, y)


def check_normal(Z: Array) -> None:
    """Raises FitError unless the rows Z (N, n) are finite and at least one."""
    if Z.ndim != 2 or len(Z) == 0 or not np.isfinite(Z).all():
        raise FitError(f"finite rows are needed, not an array of shape {Z.shape}")


def checked_gamma(gamma: float) -> float:
    """Return ``gamma``; raises FitError where no Gaussian has that width."""
    if not 0.0 < gamma <= MAX_GAMMA:
        raise FitError(f"gamma is {gamma!r}; it must be above 0 and at most {MAX_GAMMA:g}")
    return float(gamma)


def positive(name: str, value: float) -> float:
    """Return ``value``; raises FitError, which calls it ``name``, where it is not finite and above 0."""
    if not (np.isfinite(value) and value > 0.0):
        raise FitError(f"{name} is {value!r}; it must be above 0")
    return float(value)
