"""One-qubit reduced density matrices of many states as Bloch vectors, and the way back from slopes to states.

rho_q = (1 + x_q X + y_q Y + z_q Z) / 2: three Pauli expectations a qubit say all that a projected kernel looks at.
Columns are (x_0, y_0, z_0, x_1, ...); qubit i is bit i of the basis state's number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.engine.backends.table import chosen
from scorer.engine.reference import amplitudes

Array = NDArray[np.float64]
States = NDArray[np.complex128]

_ROWS = 512


def projected(plan: Plan, Z: Array) -> Array:
    """Return Bloch vectors (N, 3 qubits), float64, of scaled, finite features Z (N, features), exact up to MAX_QUBITS.

    Larger circuits run on the backend of this process. Raises NoSimulator where it has none, AngleError where an
    angle is not finite.
    """
    if plan.qubits > MAX_QUBITS:
        return chosen(plan.qubits).bloch_vectors(plan, Z)
    out = np.empty((len(Z), 3 * plan.qubits))
    for start in range(0, len(Z), _ROWS):
        out[start : start + _ROWS] = bloch_vectors(amplitudes(plan, Z[start : start + _ROWS]).T).T
    return out


def bloch_vectors(psi: States) -> Array:
    """Return <X>, <Y>, <Z> of every qubit, (3 n, B), for the unit columns of ``psi`` (2^n, B)."""
    size, rows = psi.shape
    qubits = size.bit_length() - 1
    out = np.empty((qubits, 3, rows))
    weight = psi.real**2 + psi.imag**2
    for q in range(qubits):
        zero, one = _halves(psi, q)
        coherence = np.einsum("hlb,hlb->b", zero.conj(), one)
        out[q, 0], out[q, 1] = 2.0 * coherence.real, 2.0 * coherence.imag
        below, above = _halves(weight, q)
        out[q, 2] = below.sum((0, 1)) - above.sum((0, 1))
    return out.reshape(3 * qubits, rows)


def axis_probabilities(psi: States) -> Array:
    """Return the probability of every outcome, all qubits measured along X, along Y or along Z: (3, 2^n, B).

    ``psi``: unit columns (2^n, B). A qubit measured as 0 is +1 along its axis.
    """
    out = np.empty((3, *psi.shape))
    for axis, phase in enumerate((1.0, -1j)):
        turned = psi.copy()
        for q in range(len(psi).bit_length() - 1):
            zero, one = _halves(turned, q)
            plus, minus = zero + phase * one, zero - phase * one
            zero[...], one[...] = plus * np.sqrt(0.5), minus * np.sqrt(0.5)
        out[axis] = turned.real**2 + turned.imag**2
    out[2] = psi.real**2 + psi.imag**2
    return out


def pulled_back(psi: States, slopes: Array) -> States:
    """Return sum_j slopes_j P_j |psi>, (2^n, B), for ``slopes`` (3 n, B) in the order of ``bloch_vectors``.

    A function of the Bloch vectors with these slopes changes by 2 Re <this|d psi>.
    """
    out = np.zeros_like(psi)
    for q, (x, y, z) in enumerate(slopes.reshape(-1, 3, psi.shape[1])):
        zero, one = _halves(psi, q)
        down, up = _halves(out, q)
        raising = x + 1j * y
        down += z * zero + raising.conj() * one
        up += raising * zero - z * one
    return out


def _halves(array: NDArray[np.generic], qubit: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Views (2^(n-1-q), 2^q, B) of the amplitudes where the qubit is 0 and where it is 1."""
    split = array.reshape(-1, 2, 1 << qubit, array.shape[1])
    return split[:, 0], split[:, 1]  # type: ignore[return-value]  # real arrays pass through as they are
