"""Spectra of kernel matrices: how many dimensions of its space a kernel uses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def kernel_spectrum(kernel: ArrayLike) -> Floats:
    """Compute the eigenvalues (N,) of a kernel of rows with themselves (N, N), falling, as shares of their sum.

    Raises ValueError where it is not square, finite, symmetric and above 0 in sum.
    """
    K = np.asarray(kernel, np.float64)
    if K.ndim != 2 or len(K) != K.shape[-1] or len(K) == 0 or not np.isfinite(K).all():
        raise ValueError(f"an array of shape {K.shape}; a spectrum is that of a finite kernel (N, N)")
    if not np.allclose(K, K.T, atol=1e-8) or np.trace(K) <= 0.0:
        raise ValueError("a matrix that is no kernel of rows with themselves: not symmetric, or with a trace of 0")
    values = np.maximum(np.linalg.eigvalsh((K + K.T) / 2)[::-1], 0.0)
    shares: Floats = values / values.sum()
    return shares


def effective_rank(kernel: ArrayLike) -> float:
    """Compute exp(-sum p log p) of the spectrum p: from 1, all rows alike, to N, all rows orthogonal.

    Roy and Vetterli, EUSIPCO 2007. Raises ValueError for what ``kernel_spectrum`` does.
    """
    p = kernel_spectrum(kernel)
    p = p[p > 0.0]
    return float(np.exp(-(p * np.log(p)).sum()))
