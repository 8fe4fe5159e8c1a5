"""A program as the plain arrays that compiled code reads."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.steps import bits
from scorer.engine.program import ConstantTurn, Operation, Program, Rotate, Transform, Turn
from scorer.engine.reference import States

Integers = NDArray[np.int64]
Single = NDArray[np.float32]
#: Masks (t,), angles (t,), factors (t,).
Terms = tuple[Integers, Integers, Single]
#: Kinds (g,), angles (g,), and four numbers of a constant each (4 g,).
Gates = tuple[Integers, Integers, Single]

#: Kinds of a gate within a run.
CONSTANT, AXIS_X, AXIS_Y, AXIS_Z = range(4)
_AXES = {None: CONSTANT, "x": AXIS_X, "y": AXIS_Y, "z": AXIS_Z}
#: As in ``butterflies``: a pass of so many qubits begins at a multiple of as many.
_RADIX = 3
_TURN = 2.0 * math.pi


class OperationKind(enum.IntEnum):
    """An operation's kind, and what the four numbers behind it are."""

    START = 0  #: constant vector at x
    LOAD = 1  #: slot x becomes the amplitudes
    TABLE = 2  #: slot x from z terms at y
    TURN = 3  #: by slot x
    CONSTANT_TURN = 4  #: by the constant vector at x
    TRANSFORM = 5  #: y passes at x
    ROTATE = 6  #: y places at x, flip z, run u
    ROTATE_REAL = 7
    FILL = 8
    LOAD_TRANSFORMED = 9  #: slot x, transformed by z passes at y, becomes the amplitudes


@dataclass(frozen=True, eq=False)
class EncodedProgram:
    """A program as arrays of numbers, which compiled loops read.

    ``code``: operations (k, 5), terms, passes (p, 2), how many of them transform a diagonal's spectrum, places.

    ``runs``: (r, 2) first gate and end. ``gates``: kinds, angles, (a, b). ``numbers``: constant vectors. ``slots``: how
    many diagonals are kept at a time.
    """

    code: tuple[Integers, Terms, Integers, int, Integers]
    runs: Integers
    gates: Gates
    numbers: Single
    slots: int


def encoded(program: Program) -> EncodedProgram:
    """Write the program down as arrays."""
    writer = _Encoder(passes=_passes(2**program.qubits - 1))
    full = len(writer.passes)
    load = program.begins_with_turn
    if not load:
        writer.operations.append((OperationKind.START, writer.vector(program.start), 0, 0, 0))
    for number, operation in enumerate(program.operations):
        writer.write(operation, load and number == 0)
    return writer.result(full)


def _passes(mask: int) -> list[tuple[int, int]]:
    """(lowest qubit, number of qubits) of passes over runs of neighbours, cut at every multiple of _RADIX."""
    out: list[tuple[int, int]] = []
    for low, count in bits.runs(mask):
        start = low
        while start < low + count:
            size = min(_RADIX - start % _RADIX, low + count - start)
            out.append((start, size))
            start += size
    return out


@dataclass
class _Encoder:
    passes: list[tuple[int, int]]
    operations: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    terms: list[tuple[int, int, float]] = field(default_factory=list)
    places: list[Integers] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)
    gates: list[tuple[int, int, complex, complex]] = field(default_factory=list)
    vectors: list[States] = field(default_factory=list)

    def write(self, operation: Operation, load: bool) -> None:
        if isinstance(operation, Turn):
            self._turn(operation, load)
        elif isinstance(operation, ConstantTurn):
            self.operations.append((OperationKind.CONSTANT_TURN, self.vector(operation.diagonal), 0, 0, 0))
        elif isinstance(operation, Transform):
            self._transform(_passes(operation.mask))
        else:
            self._rotation(operation)

    def vector(self, vector: States) -> int:
        """Give the place among the numbers where a constant vector (2^n,) begins."""
        first = sum(2 * len(known) for known in self.vectors)
        self.vectors.append(vector)
        return first

    def _transform(self, passes: list[tuple[int, int]]) -> None:
        kind, slot = self.operations[-1][:2] if self.operations else (OperationKind.START, 0)
        if kind == OperationKind.LOAD and passes[0] == (0, _RADIX):
            self.operations[-1] = (OperationKind.LOAD_TRANSFORMED, slot, len(self.passes), len(passes), 0)
        else:
            self.operations.append((OperationKind.TRANSFORM, len(self.passes), len(passes), 0, 0))
        self.passes += passes

    def _turn(self, operation: Turn, load: bool) -> None:
        if operation.terms is not None:
            self.operations.append((OperationKind.TABLE, operation.slot, len(self.terms), len(operation.terms), 0))
            for term in operation.terms:
                # -1/2: how a parity is made of a sign. Constants are angles in turns.
                factor = term.factor if term.angle is not None else math.remainder(term.factor, _TURN) / _TURN
                self.terms.append((term.mask, -1 if term.angle is None else term.angle, -0.5 * factor))
        self.operations.append((OperationKind.LOAD if load else OperationKind.TURN, operation.slot, 0, 0, 0))

    def _rotation(self, operation: Rotate) -> None:
        kind = (
            OperationKind.FILL
            if operation.fill
            else OperationKind.ROTATE_REAL
            if operation.real
            else OperationKind.ROTATE
        )
        first = sum(map(len, self.places))
        self.operations.append((kind, first, len(operation.lows), operation.flip, len(self.runs)))
        self.places.append(operation.lows)
        self.runs.append((len(self.gates), len(self.gates) + len(operation.factors)))
        self.gates += [(_AXES[f.axis], f.angle, complex(f.a), complex(f.b)) for f in operation.factors]

    def result(self, full: int) -> EncodedProgram:
        masks, angles, factors = _columns(self.terms, 3)
        kinds, gate_angles, a, b = _columns(self.gates, 4)
        matrices = [part for pair in zip(a, b, strict=True) for c in pair for part in (c.real, c.imag)]
        vectors = [np.stack([v.real, v.imag], 1).reshape(-1) for v in self.vectors]
        return EncodedProgram(
            code=(
                _integers(self.operations, 5),
                (_integers(masks), _integers(angles), np.array(factors, np.float32)),
                _integers(self.passes, 2),
                full,
                np.concatenate([np.zeros(0, np.int64), *self.places]),
            ),
            runs=_integers(self.runs, 2),
            gates=(_integers(kinds), _integers(gate_angles), np.array(matrices, np.float32)),
            numbers=np.concatenate([np.zeros(0), *vectors]).astype(np.float32),
            slots=1 + max((x for kind, x, *_ in self.operations if kind == OperationKind.TABLE), default=-1),
        )


def _columns(rows: list[Any], count: int) -> list[list[Any]]:
    return [[row[k] for row in rows] for k in range(count)]


def _integers(values: list[Any], columns: int | None = None) -> Integers:
    array = np.array(values, np.int64)
    return array if columns is None else array.reshape(-1, columns)
