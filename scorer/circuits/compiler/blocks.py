"""What the compiler gathers operations into: layers of one-qubit runs, and diagonals followed by an affine map.

An operation goes into the earliest block that takes it and that it can reach past the later ones (it commutes with
them). So a circuit written qubit by qubit, or gate by gate, becomes the same few blocks; a block of CX-RZ-CX ladders is
one diagonal, and its affine map is the identity again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from scorer.circuits.compiler.lower import Linear, OneQubit, Operation, Phase
from scorer.circuits.expressions import Expression, add, constant, split_factor
from scorer.circuits.steps import bits

#: Below this a constant angle is a rounding error of the identities that made it.
NOTHING = 1e-14
_TURN = 2.0 * math.pi

Run = list[tuple[str, Expression | None]]


class Sum:
    """A sum of multiples of expressions, collected term by term; equal terms meet."""

    def __init__(self) -> None:
        self.constant = 0.0
        self._factors: dict[Expression, float] = {}

    def add(self, angle: Expression, sign: float = 1.0) -> None:
        if angle.value is not None:
            self.constant += sign * angle.value
            return
        factor, rest = split_factor(angle)
        self._factors[rest] = self._factors.get(rest, 0.0) + sign * factor

    @property
    def varies(self) -> bool:
        """Whether it depends on the row."""
        return any(factor != 0.0 for factor in self._factors.values())

    @property
    def varying(self) -> Expression | None:
        """What depends on the row, or None."""
        total = constant(0.0)
        for rest, factor in self._factors.items():
            total = add(total, factor * rest)
        return None if total.value is not None else total

    @property
    def fixed(self) -> float:
        """The constant part in radians, from -pi to pi, exactly 0 where there is none."""
        reduced = math.remainder(self.constant, _TURN)
        return 0.0 if abs(reduced) <= NOTHING else reduced

    @property
    def expression(self) -> Expression:
        varying = self.varying
        return constant(self.fixed) if varying is None else add(varying, constant(self.fixed))


class LocalLayer:
    """Runs of gates on single qubits, which commute with one another."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}

    def takes(self, operation: Operation) -> bool:
        return isinstance(operation, OneQubit)

    def lets_pass(self, operation: Operation) -> bool:
        return not _support(operation) & bits.mask_of(self.runs)

    def take(self, operation: Operation, global_phase: Sum) -> None:
        assert isinstance(operation, OneQubit)  # noqa: S101 - `takes` says so
        run = self.runs.setdefault(operation.qubit, [])
        run.append((operation.name, operation.angle))
        _cancel(run, global_phase)
        if not run:
            del self.runs[operation.qubit]

    @property
    def varies(self) -> bool:
        """Whether a row's angle is in it."""
        return any(angle is not None and angle.value is None for run in self.runs.values() for _, angle in run)

    def operations(self) -> Iterator[Operation]:
        for qubit, run in self.runs.items():
            yield from (OneQubit(name, qubit, angle) for name, angle in run)


class DiagonalBlock:
    """Phases on parities of the block's input, then an affine map."""

    def __init__(self, qubits: int) -> None:
        self.qubits = qubits
        self.sums: dict[int, Sum] = defaultdict(Sum)
        self.rows = bits.identity(qubits)
        self.shift = 0

    def takes(self, operation: Operation) -> bool:
        return not isinstance(operation, OneQubit)

    def lets_pass(self, operation: Operation) -> bool:
        if isinstance(operation, Phase):
            kept = bits.image(self.rows, operation.mask) == operation.mask
            return kept and not (self.shift & operation.mask).bit_count() % 2
        return not _support(operation) & self.support

    def take(self, operation: Operation, global_phase: Sum) -> None:
        """A phase after the affine map is one before it on another parity, with the shift's sign."""
        if isinstance(operation, Linear):
            self.rows = bits.compose(operation.rows, self.rows)
            moved = sum((self.shift & row).bit_count() % 2 << i for i, row in enumerate(operation.rows))
            self.shift = moved ^ operation.shift
        elif isinstance(operation, Phase):
            flipped = (self.shift & operation.mask).bit_count() % 2
            if flipped:
                global_phase.add(operation.angle)
            self.sums[bits.image(self.rows, operation.mask)].add(operation.angle, -1.0 if flipped else 1.0)

    @property
    def varies(self) -> bool:
        """Whether a row's angle is in it."""
        return any(total.varies for total in self.sums.values())

    @property
    def support(self) -> int:
        phased = 0
        for mask in self.terms():
            phased |= mask
        return phased | _moved(self.rows, self.shift)

    def terms(self) -> dict[int, Sum]:
        """Parities with a phase that is not zero."""
        return {mask: total for mask, total in self.sums.items() if total.varies or total.fixed != 0.0}

    def operations(self) -> Iterator[Operation]:
        """Phases on single qubits are offered to their qubits' runs where that spares the block its rows' angles."""
        terms = self.terms()
        several = [total for mask, total in terms.items() if mask.bit_count() > 1]
        if any(total.varies for total in several):
            local: set[int] = set()
        else:
            local = {m for m, s in terms.items() if m.bit_count() == 1 and (not several or s.varies)}
        for mask, total in terms.items():
            if mask in local:
                yield OneQubit("p", bits.members(mask)[0], total.expression)
            else:
                yield Phase(mask, total.expression)
        if self.rows == bits.identity(self.qubits) and not several:
            yield from (OneQubit("x", qubit) for qubit in bits.members(self.shift))
        elif self.rows != bits.identity(self.qubits) or self.shift:
            yield Linear(self.rows, self.shift)


Block = LocalLayer | DiagonalBlock


def gather(operations: Iterator[Operation], qubits: int, global_phase: Sum) -> list[Block]:
    """Blocks that do what the operations do in their order; what is left over is added to the global phase."""
    blocks: list[Block] = []
    for operation in operations:
        if isinstance(operation, Phase) and not operation.mask:
            global_phase.add(operation.angle)
            continue
        block = _place(blocks, operation)
        if block is None:
            block = LocalLayer() if isinstance(operation, OneQubit) else DiagonalBlock(qubits)
            blocks.append(block)
        block.take(operation, global_phase)
    return blocks


def _place(blocks: list[Block], operation: Operation) -> Block | None:
    """The earliest block that takes the operation, but no angle of a row into a constant block if another takes it.

    So a Fourier transform between two encodings stays one constant run.
    """
    places = []
    for block in reversed(blocks):
        if block.takes(operation):
            places.append(block)
        if not block.lets_pass(operation):
            break
    if not places:
        return None
    if not _varies(operation):
        return places[-1]
    return next((block for block in reversed(places) if block.varies), places[0])


def _varies(operation: Operation) -> bool:
    return not isinstance(operation, Linear) and operation.angle is not None and operation.angle.value is None


def _support(operation: Operation) -> int:
    if isinstance(operation, OneQubit):
        return 1 << operation.qubit
    return operation.mask if isinstance(operation, Phase) else _moved(operation.rows, operation.shift)


def _moved(rows: tuple[int, ...], shift: int) -> int:
    """Qubits that an affine map changes or looks at."""
    out = shift
    for i, row in enumerate(rows):
        if row != 1 << i:
            out |= row | 1 << i
    return out


def _cancel(run: Run, global_phase: Sum) -> None:
    """The last gate meets one of its own kind before it: two h are nothing, two rotations are one."""
    if len(run) < 2 or run[-1][0] != run[-2][0]:
        return
    (name, first), (_, second) = run[-2:]
    del run[-2:]
    if first is None or second is None:
        return
    total = Sum()
    total.add(first)
    total.add(second)
    angle = add(total.varying or constant(0.0), constant(total.constant))
    turns = angle.value
    if turns is None or abs(math.remainder(turns, _TURN)) > NOTHING:
        run.append((name, angle))
    elif name != "p" and round(turns / _TURN) % 2:
        global_phase.add(constant(math.pi))  # a full turn about x or y is -1
