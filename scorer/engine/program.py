"""A plan prepared for scoring: fewer steps that leave every |<v|psi>|^2 as it is.

* Steps at the start that no row changes become a start vector; those at the end move into the observable's vectors.
* CX, X and SWAP move nothing. A map b -> M b xor s stays pending: amplitudes lie where they were, later steps address
  them through M and s, and the observable's vectors are reordered once.
* A diagonal becomes its Walsh spectrum. With p(m & b) = (1 - (-1)^(m.b)) / 2, a phase sum_m t_m p(m & b) is
  -1/2 sum_m t_m (-1)^(m.b) up to a global phase: one transform of 2^n numbers instead of a matrix product. Equal
  diagonals are computed once.
* A run of one-qubit gates becomes [[a, -b*], [b, a*]] (its determinant is a global phase). On a qubit still in |0> it
  only has to fill the half of the states that is empty.
* The 2^(-1/2) of every Hadamard gathers in one factor, which is taken off before float32 could overflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step, is_constant
from scorer.circuits.steps.matrices import product
from scorer.engine import linear
from scorer.engine.reference import States, evolve, evolve_back

Indices = NDArray[np.int64]

#: Diagonals kept at a time: enough for a map's repetitions, and memory stays bounded whatever the plan.
SLOTS = 4
#: Factors of 2^(1/2) that amplitudes may carry at a time: far more than a map's few repetitions gather, far fewer than
#: the 252 of float32.
_MOST_HALVES = 128
#: An imaginary part below this is a rounding error.
_REAL = 1e-14


@dataclass(frozen=True)
class Term:
    """``factor`` * angle on the states where ``mask`` has odd parity; ``angle`` None: the factor is in radians."""

    mask: int
    angle: int | None
    factor: float


@dataclass(frozen=True)
class Turn:
    """Multiply by exp(i diagonal), the one that ``slot`` holds; ``terms``: compute it into the slot first."""

    slot: int
    terms: tuple[Term, ...] | None


@dataclass(frozen=True, eq=False)
class ConstantTurn:
    """Multiply by a diagonal (2^n,) that is the same for every row."""

    diagonal: States


@dataclass(frozen=True)
class Transform:
    """The Walsh-Hadamard transform, without its norm, on the qubits of a mask."""

    mask: int


@dataclass(frozen=True)
class Factor:
    """A rotation by an angle (its index) about ``axis`` x, y or z; or, with ``axis`` None, the matrix (a, b)."""

    axis: str | None
    angle: int = -1
    a: complex = 1.0
    b: complex = 0.0


@dataclass(frozen=True, eq=False)
class Rotate:
    """[[a, -b*], [b, a*]] on the pairs (lows, lows xor flip). ``real``: a and b are. ``fill``: the others are 0."""

    lows: Indices
    flip: int
    factors: tuple[Factor, ...]
    real: bool
    fill: bool


Operation = Turn | ConstantTurn | Transform | Rotate


@dataclass(frozen=True, eq=False)
class Program:
    """``start``: (2^n,), what every row begins with. ``order``: the basis state that each place holds at the end.

    ``norm`` is what the amplitudes lack. ``tail``: constant steps not run, but to be undone on the vectors. ``plan``
    gives the angles.
    """

    plan: Plan
    start: States
    operations: tuple[Operation, ...]
    order: NDArray[np.intp]
    norm: float
    tail: tuple[Step, ...]

    @property
    def qubits(self) -> int:
        return self.plan.qubits

    @cached_property
    def begins_with_turn(self) -> bool:
        """Whether all amplitudes are 1 before a diagonal: afterwards they are the diagonal."""
        first = self.operations[0] if self.operations else None
        return isinstance(first, Turn) and bool((self.start == 1.0).all())

    def vectors(self, vectors: NDArray[np.complexfloating]) -> States:
        """Turn an observable's vectors (r, 2^n) into those for the amplitudes as they lie at the end, without norm."""
        columns = np.ascontiguousarray(vectors.T, np.complex128)
        out: States = evolve_back(self.tail, columns)[self.order].T * self.norm
        return np.ascontiguousarray(out)


def prepared(plan: Plan) -> Program:
    """The program of a plan."""
    plan = plan.without_global_phase
    steps = _flat(plan.steps)
    first = next((k for k, step in enumerate(steps) if not is_constant(step)), len(steps))
    last = next((k for k in range(len(steps), first, -1) if not is_constant(steps[k - 1])), first)
    start = np.zeros((2**plan.qubits, 1), np.complex128)
    start[0] = 1.0
    start = evolve(steps[:first], np.empty((0, 1)), start)[:, 0]
    norm = 1.0
    if np.abs(start - start[0]).max() <= _REAL:
        norm, start = abs(start[0]), np.ones_like(start)
    writer = _Writer(plan.qubits, _support(start))
    for step in steps[first:last]:
        writer.write(step)
    order = bits.permutation(writer.rows, writer.shift)
    norm *= 2.0 ** (-writer.halves / 2)
    return Program(plan, start, tuple(writer.operations), order, float(norm), tuple(steps[last:]))


def _flat(steps: Sequence[Step]) -> list[Step]:
    out: list[Step] = []
    for step in steps:
        out += _flat(step.steps) if isinstance(step, Fixed) else [step]
    return out


def _support(start: States) -> int:
    """Mask of the qubits that are not certainly 0."""
    present = np.flatnonzero(np.abs(start) > 0.0)
    return int(np.bitwise_or.reduce(present)) if len(present) else 0


@dataclass
class _Writer:
    """``rows`` and ``shift``: the pending map from places to basis states; ``touched``: qubits not in |0>."""

    qubits: int
    touched: int
    operations: list[Operation] = field(default_factory=list)
    halves: int = 0
    shift: int = 0

    def __post_init__(self) -> None:
        self.rows = bits.identity(self.qubits)
        self._slots: dict[tuple[Term, ...], int] = {}

    def write(self, step: Step) -> None:
        if isinstance(step, Hadamards):
            self._hadamards(step.qubits)
        elif isinstance(step, Phases):
            self._phases(step)
        elif isinstance(step, Affine):
            self.rows, self.shift = bits.compose(step.rows, self.rows), linear.image(step.rows, self.shift) ^ step.shift
            self.touched = 2**self.qubits - 1
        elif isinstance(step, Local):
            self._rotation(step.qubit, _factors(step))
        else:
            raise TypeError(f"a step of the type {type(step).__name__}")

    @property
    def _in_place(self) -> bool:
        return self.rows == bits.identity(self.qubits) and self.shift == 0

    def _hadamards(self, mask: int) -> None:
        everything = 2**self.qubits - 1
        if mask == everything and not self._in_place:
            # H^n |M b + s> = sum over c of (-1)^(c.(M b + s)): the map becomes M^-T, the shift a sign.
            signs = Phases((), tuple((1 << qubit, math.pi) for qubit in bits.members(self.shift)))
            self.rows, self.shift = linear.inverse_transposed(self.rows), 0
            self._transform(mask)
            self._phases(signs)
        elif self._in_place:
            self._transform(mask & self.touched)
            for qubit in bits.members(mask & ~self.touched):
                self._rotation(qubit, _factors(Local(qubit, (("h", None),))))
        else:
            for qubit in bits.members(mask):
                self._rotation(qubit, _factors(Local(qubit, (("h", None),))))

    def _transform(self, mask: int) -> None:
        if not mask:
            return
        if self.halves + mask.bit_count() > _MOST_HALVES:
            self.operations.append(ConstantTurn(np.full(2**self.qubits, 2.0 ** (-self.halves / 2), np.complex128)))
            self.halves = 0
        self.operations.append(Transform(mask))
        self.halves += mask.bit_count()

    def _phases(self, step: Phases) -> None:
        """Parity of ``mask & (M b xor s)``: of another mask of b, turned round where s has odd parity under it."""
        terms = [self._term(mask, index, 1.0) for mask, index in step.terms]
        terms += [self._term(mask, None, value) for mask, value in step.constants]
        key = tuple(terms)
        if not key:
            return
        if not step.terms:
            self.operations.append(ConstantTurn(_constant_diagonal(key, self.qubits)))
            return
        # A slot that was not used for longest is given up first: dictionaries keep their order.
        known = self._slots.pop(key, None)
        slot = known
        if slot is None:
            slot = len(self._slots) if len(self._slots) < SLOTS else self._slots.pop(next(iter(self._slots)))
        self._slots[key] = slot
        self.operations.append(Turn(slot, None if known is not None else key))

    def _term(self, mask: int, angle: int | None, factor: float) -> Term:
        flipped = (mask & self.shift).bit_count() & 1
        return Term(bits.image(self.rows, mask), angle, -factor if flipped else factor)

    def _rotation(self, qubit: int, factors: tuple[Factor, ...]) -> None:
        places = np.arange(2**self.qubits, dtype=np.int64)
        role = (np.bitwise_count(places & self.rows[qubit]).astype(np.int64) ^ (self.shift >> qubit)) & 1
        keep = role == 0
        fill = self._in_place and not self.touched >> qubit & 1
        if fill:
            keep &= (places & ~self.touched) == 0
        self.touched |= 1 << qubit
        real = all(_is_real(factor) for factor in factors)
        flip = linear.column(linear.inverse(self.rows), qubit)
        self.operations.append(Rotate(places[keep], flip, factors, real, fill))


def _constant_diagonal(terms: tuple[Term, ...], qubits: int) -> States:
    parity = bits.parities([term.mask for term in terms], qubits).T.astype(np.float64)
    diagonal: States = np.exp(1j * (parity @ np.array([term.factor for term in terms])))
    return diagonal


def _factors(step: Local) -> tuple[Factor, ...]:
    """The run's gates, neighbouring constant ones multiplied."""
    out: list[Factor] = []
    fixed: list[tuple[str, int | float | None]] = []
    for name, parameter in (*step.gates, ("", -1)):
        if type(parameter) is not int:
            fixed.append((name, parameter))
            continue
        if fixed:
            out.append(_special(product(tuple(fixed), np.empty((0, 1)))[:, :, 0]))
            fixed = []
        if name:
            out.append(Factor("z" if name == "p" else name[1], parameter))
    return tuple(out)


def _special(matrix: States) -> Factor:
    """The matrix divided by a root of its determinant."""
    root = np.sqrt(np.linalg.det(matrix))
    return Factor(None, -1, complex(matrix[0, 0] / root), complex(matrix[1, 0] / root))


def _is_real(factor: Factor) -> bool:
    if factor.axis is not None:
        return factor.axis == "y"
    return abs(complex(factor.a).imag) <= _REAL and abs(complex(factor.b).imag) <= _REAL
