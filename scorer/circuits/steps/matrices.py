"""Matrices of the one-qubit gates of a plan's local steps, as Qiskit defines them, for one angle or many rows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Matrix = NDArray[np.complex128]

_HALF_ROOT = math.sqrt(0.5)
FIXED: dict[str, Matrix] = {
    "h": np.array([[_HALF_ROOT, _HALF_ROOT], [_HALF_ROOT, -_HALF_ROOT]], np.complex128),
    "x": np.array([[0, 1], [1, 0]], np.complex128),
}


def _rx(theta: Array) -> Matrix:
    c, s = np.cos(theta / 2), -1j * np.sin(theta / 2)
    return np.array([[c, s], [s, c]])


def _ry(theta: Array) -> Matrix:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return np.array([[c, -s], [s, c]], np.complex128)


def _rz(theta: Array) -> Matrix:
    zero = np.zeros_like(theta)
    return np.array([[np.exp(-0.5j * theta), zero], [zero, np.exp(0.5j * theta)]])


def _p(theta: Array) -> Matrix:
    return np.array([[np.ones_like(theta), np.zeros_like(theta)], [np.zeros_like(theta), np.exp(1j * theta)]])


ROTATIONS: dict[str, Callable[[Array], Matrix]] = {"rx": _rx, "ry": _ry, "rz": _rz, "p": _p}


def matrix(name: str, theta: Array | float | None) -> Matrix:
    """Return the gate's matrix: (2, 2) for a fixed gate or one angle in radians, (2, 2, N) for angles (N,)."""
    if theta is None:
        return FIXED[name]
    return ROTATIONS[name](np.asarray(theta, np.float64))


def product(gates: tuple[tuple[str, int | float | None], ...], angles: Array) -> Matrix:
    """Multiply a run of gates, the first applied first: (2, 2, N), one matrix a row, or (2, 2, 1) if no row matters.

    ``angles``: the plan's, (a, N), in radians; a gate's int is an index into them, its float an angle.
    """
    out: Matrix = np.eye(2, dtype=np.complex128)[:, :, None]
    for name, parameter in gates:
        gate = matrix(name, angles[parameter] if type(parameter) is int else parameter)
        out = np.einsum("ijn,jkn->ikn", gate if gate.ndim == 3 else gate[:, :, None], out)
    return out
