"""Bit masks as sets of qubits, and linear maps over GF(2) as tuples of masks.

Qubit i is bit i of a basis state's number, as in Qiskit. A linear map's ``rows[i]`` is the mask of the input bits whose
sum modulo 2 is output bit i.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def members(mask: int) -> tuple[int, ...]:
    """The qubits of a mask, lowest first."""
    return tuple(i for i in range(mask.bit_length()) if mask >> i & 1)


def mask_of(qubits: Iterable[int]) -> int:
    """Return the mask of the qubits."""
    mask = 0
    for qubit in qubits:
        mask |= 1 << qubit
    return mask


def runs(mask: int) -> list[tuple[int, int]]:
    """(lowest qubit, number of qubits) of each run of neighbours in a mask, lowest first."""
    found: list[tuple[int, int]] = []
    for qubit in members(mask):
        if found and sum(found[-1]) == qubit:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((qubit, 1))
    return found


def parities(masks: Iterable[int], qubits: int) -> NDArray[np.bool_]:
    """Tell whether ``b & mask`` has an odd number of ones for each basis state b: (masks, 2^n). Mask 0 is odd."""
    states = np.arange(2**qubits, dtype=np.uint32)
    rows = [np.bitwise_count(states & np.uint32(mask)) & 1 if mask else np.ones_like(states) for mask in masks]
    return np.array(rows, np.bool_).reshape(len(rows), len(states))


def identity(qubits: int) -> tuple[int, ...]:
    """Return the map that leaves every bit as it is."""
    return tuple(1 << i for i in range(qubits))


def image(rows: tuple[int, ...], mask: int) -> int:
    """The input parity that the output parity ``mask`` is: the sum of the rows that it holds."""
    out = 0
    for i in members(mask):
        out ^= rows[i]
    return out


def compose(second: tuple[int, ...], first: tuple[int, ...]) -> tuple[int, ...]:
    """The map that is ``first`` and then ``second``."""
    return tuple(image(first, row) for row in second)


def rank(rows: Iterable[int]) -> int:
    """Rank over GF(2)."""
    basis: list[int] = []
    for row in rows:
        for known in basis:
            row = min(row, row ^ known)
        if row:
            basis.append(row)
    return len(basis)


def permutation(rows: tuple[int, ...], shift: int) -> NDArray[np.intp]:
    """Return where each basis state goes, ``M b xor shift``: indices (2^n,)."""
    states = np.arange(2 ** len(rows), dtype=np.int64)
    out = np.full_like(states, shift)
    for i, row in enumerate(rows):
        out ^= (np.bitwise_count(states & row).astype(np.int64) & 1) << i
    return out.astype(np.intp)
