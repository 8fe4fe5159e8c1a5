"""Kernel matrices of the rows of a search; quantum machine and twin differ in the kernel alone wherever they can."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.observable import FeatureMap
from scorer.models.twins import gaussian_kernel

Floats = NDArray[np.float64]

#: (scaled rows (N, n), bandwidth or gamma) -> kernel values (N, N).
KernelOf = Callable[[Floats, float], Floats]


def quantum_kernel(circuit: FeatureMap) -> KernelOf:
    """Make the function (rows (N, n), bandwidth) -> fidelities (N, N) of a feature map."""

    def kernel(Z: Floats, bandwidth: float) -> Floats:
        psi = amplitudes(circuit.with_bandwidth(bandwidth), Z)
        return fidelity_kernel(psi, psi)

    return kernel


def rbf_kernel(Z: Floats, gamma: float) -> Floats:
    """Compute the Gaussians exp(-gamma |z_i - z_j|^2), (N, N), of rows Z (N, n)."""
    return gaussian_kernel(Z, Z, gamma)
