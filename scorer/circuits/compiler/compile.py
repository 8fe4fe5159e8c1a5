"""From gates to the steps of a plan: gather, gather again with phases of single qubits in their runs, number angles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby

from scorer.circuits.compiler.blocks import NOTHING, Block, DiagonalBlock, LocalLayer, Run, Sum, gather
from scorer.circuits.compiler.lower import Operation, lower
from scorer.circuits.expressions import ZERO, Expression
from scorer.circuits.gates import Gate
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, ConstantTerm, Fixed, Hadamards, Local, Phases, Step, is_constant


def compile_gates(
    gates: Iterable[Gate], qubits: int, global_phase: Expression = ZERO
) -> tuple[tuple[Expression, ...], tuple[Step, ...]]:
    """Compile checked gates: the angles that rows have, and steps that name them by their index.

    The steps do what the gates do, to rounding, global phase included.
    """
    phase = Sum()
    phase.add(global_phase)
    blocks = gather(_lowered(gates, qubits), qubits, phase)
    blocks = gather((op for block in blocks for op in block.operations()), qubits, phase)
    angles = _Angles()
    steps = list(_with_fixed_runs(step for block in blocks for step in _steps(block, angles)))
    steps.extend(_global(phase, angles))
    return tuple(angles.expressions), tuple(steps)


class _Angles:
    """Numbers expressions; an expression that came before keeps its number, so that repetitions share their angles."""

    def __init__(self) -> None:
        self._numbers: dict[Expression, int] = {}

    def number(self, expression: Expression) -> int:
        return self._numbers.setdefault(expression, len(self._numbers))

    @property
    def expressions(self) -> list[Expression]:
        return list(self._numbers)


def _lowered(gates: Iterable[Gate], qubits: int) -> Iterator[Operation]:
    for gate in gates:
        yield from lower(gate, qubits)


def _steps(block: Block, angles: _Angles) -> Iterator[Step]:
    return _local_steps(block, angles) if isinstance(block, LocalLayer) else _diagonal_steps(block, angles)


def _local_steps(layer: LocalLayer, angles: _Angles) -> Iterator[Step]:
    """Hadamards and other constants first: they may join a constant run before them."""
    plain = bits.mask_of(qubit for qubit, run in layer.runs.items() if run == [("h", None)])
    if plain:
        yield Hadamards(plain)
    steps = [_local(q, run, angles) for q, run in sorted(layer.runs.items()) if not plain >> q & 1]
    yield from sorted(steps, key=lambda step: not is_constant(step))


def _local(qubit: int, run: Run, angles: _Angles) -> Local:
    return Local(qubit, tuple((name, None if a is None else _parameter(a, angles)) for name, a in run))


def _parameter(angle: Expression, angles: _Angles) -> int | float:
    return angles.number(angle) if angle.value is None else angle.value


def _diagonal_steps(block: DiagonalBlock, angles: _Angles) -> Iterator[Step]:
    terms = block.terms().items()
    varying = [(mask, total.varying) for mask, total in terms]
    phases = Phases(
        tuple((mask, angles.number(angle)) for mask, angle in varying if angle is not None),
        _signs_joined((mask, total.fixed) for mask, total in terms if total.fixed != 0.0),
    )
    if phases.terms or phases.constants:
        yield phases
    if block.rows != bits.identity(block.qubits) or block.shift:
        yield Affine(block.rows, block.shift)


def _signs_joined(constants: Iterable[ConstantTerm]) -> tuple[ConstantTerm, ...]:
    """Signs (-1)^parity multiply to one sign on the sum of the parities: two CZ on one pair leave nothing."""
    kept, sign = [], 0
    for mask, value in constants:
        if abs(abs(value) - math.pi) <= NOTHING:
            sign ^= mask
        else:
            kept.append((mask, value))
    return (*kept, (sign, math.pi)) if sign else tuple(kept)


def _with_fixed_runs(steps: Iterator[Step]) -> Iterator[Step]:
    for constant, run in groupby(steps, is_constant):
        together = tuple(run)
        if constant and len(together) > 1:
            yield Fixed(together)
        else:
            yield from together


def _global(total: Sum, angles: _Angles) -> Iterator[Step]:
    varying = total.varying
    terms = () if varying is None else ((0, angles.number(varying)),)
    constants = ((0, total.fixed),) if total.fixed != 0.0 else ()
    if terms or constants:
        yield Phases(terms, constants)
