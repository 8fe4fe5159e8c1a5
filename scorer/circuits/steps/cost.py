"""What a plan costs a row: an estimate of operations, by the kinds of its steps and the number of amplitudes.

One operation is about one multiplication and addition on a float32: 0.5 to 2 ns of a core as measured from 4 to 12
qubits, on the compiled path and on NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterable

from scorer.circuits.expressions import Expression
from scorer.circuits.steps.kinds import Fixed, Hadamards, Local, Phases, Step

#: Passes over the amplitudes for a diagonal's cosine, sine and product, beside its transform of n passes.
_TURN = 4
#: Operations a gate of a local run, whatever the number of amplitudes.
_GATE = 20


def operations(steps: Iterable[Step], expressions: Iterable[Expression], qubits: int) -> int:
    """Estimate the operations that one row takes: evaluating its angles, and going through the steps."""
    angles = sum(len(expression.program) for expression in expressions)
    return angles + sum(_operations(step, qubits) for step in steps)


def _operations(step: Step, qubits: int) -> int:
    amplitudes: int = 1 << qubits
    if isinstance(step, Fixed):
        return sum(_operations(inner, qubits) for inner in step.steps)
    if isinstance(step, Hadamards):
        return step.qubits.bit_count() * amplitudes
    if isinstance(step, Phases):
        return (min(len(step.terms) + len(step.constants), qubits) + _TURN) * amplitudes
    if isinstance(step, Local):
        return 2 * amplitudes + _GATE * len(step.gates)
    return amplitudes  # a permutation: the engine moves nothing, a simulator of many qubits passes over them once
