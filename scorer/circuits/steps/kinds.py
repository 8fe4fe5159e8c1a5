"""The kinds of steps of a plan. Basis states are numbered as in Qiskit: qubit i is bit i."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.steps import bits
from scorer.circuits.steps.matrices import FIXED, ROTATIONS

#: One-qubit gates of a local step -> whether they take an angle.
GATE_NAMES = {**dict.fromkeys(FIXED, False), **dict.fromkeys(ROTATIONS, True)}

#: A term of a diagonal: the qubits whose parity it looks at, and an angle's index.
Term = tuple[int, int]
#: The same with a constant angle in radians.
ConstantTerm = tuple[int, float]
#: A gate's name and an angle's index (int), a constant angle (float) or None where it has no angle.
LocalGate = tuple[str, int | float | None]


@dataclass(frozen=True)
class Hadamards:
    """H on each qubit of the mask ``qubits``."""

    qubits: int


@dataclass(frozen=True)
class Phases:
    """The diagonal exp(i sum angle * parity(b & mask)); mask 0 stands for a global phase (its parity is always 1)."""

    terms: tuple[Term, ...]
    constants: tuple[ConstantTerm, ...] = ()


@dataclass(frozen=True)
class Affine:
    """|b> -> |M b xor shift> over GF(2): runs of CX, X and SWAP. ``rows[i]``: the input bits that make output bit i."""

    rows: tuple[int, ...]
    shift: int = 0

    def permutation(self) -> NDArray[np.intp]:
        """Return where each basis state goes: indices (2^n,)."""
        return bits.permutation(self.rows, self.shift)


@dataclass(frozen=True)
class Local:
    """A run of one-qubit gates on one qubit, the first applied first: one 2x2 matrix a row (``matrices.product``)."""

    qubit: int
    gates: tuple[LocalGate, ...]


@dataclass(frozen=True)
class Fixed:
    """A run of steps without any row's angle (a Fourier transform, say): how to apply it is the engine's choice."""

    steps: tuple[Step, ...]


Step = Hadamards | Phases | Affine | Local | Fixed


def is_constant(step: Step) -> bool:
    """Whether the step is the same for every row."""
    return not any(True for _ in angle_indices((step,)))


def angle_indices(steps: tuple[Step, ...]) -> Iterator[int]:
    """Every use of an angle, in order."""
    for step in steps:
        if isinstance(step, Phases):
            yield from (index for _, index in step.terms)
        elif isinstance(step, Local):
            yield from (parameter for _, parameter in step.gates if type(parameter) is int)


def without_global(step: Step) -> Step | None:
    """Take global phases out of a step; None where nothing is left."""
    if isinstance(step, Fixed):
        inner = tuple(kept for kept in map(without_global, step.steps) if kept is not None)
        return Fixed(inner) if inner else None
    if not isinstance(step, Phases):
        return step
    terms = tuple(term for term in step.terms if term[0])
    constants = tuple(term for term in step.constants if term[0])
    return Phases(terms, constants) if terms or constants else None


def renumbered(step: Step, number: dict[int, int]) -> Step:
    """Give the step's angles new indices, by old ones."""
    if isinstance(step, Phases):
        return dataclasses.replace(step, terms=tuple((mask, number[index]) for mask, index in step.terms))
    if isinstance(step, Local):
        gates = tuple((name, number[p] if type(p) is int else p) for name, p in step.gates)
        return dataclasses.replace(step, gates=gates)
    return step
