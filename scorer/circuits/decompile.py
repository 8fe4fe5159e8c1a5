"""From a plan's steps back to gates: what export, and simulators that want a circuit, are given."""

from __future__ import annotations

from scorer.circuits.circuit import Builder, Circuit, FeatureMap
from scorer.circuits.expressions import Expression, as_expression
from scorer.circuits.plan import Plan
from scorer.circuits.steps import bits
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step


def decompile(plan: Plan) -> Circuit:
    """Write a circuit that makes the plan's states, global phase included; not the one that it was compiled from."""
    builder = Builder(plan.name, plan.qubits, plan.features, plan.bandwidth)
    for step in plan.steps:
        _add_step(builder, step, plan.expressions)
    return builder.build()


def circuit_of(feature_map: FeatureMap) -> Circuit:
    """Return the map itself where it is a circuit, otherwise its plan's gates."""
    return feature_map if isinstance(feature_map, Circuit) else decompile(feature_map.plan)


def _add_step(builder: Builder, step: Step, expressions: tuple[Expression, ...]) -> None:
    if isinstance(step, Hadamards):
        for qubit in bits.members(step.qubits):
            builder.add("h", (qubit,))
    elif isinstance(step, Phases):
        terms = [(mask, expressions[index]) for mask, index in step.terms]
        for mask, angle in [*terms, *((mask, as_expression(value)) for mask, value in step.constants)]:
            _add_phase(builder, mask, angle)
    elif isinstance(step, Affine):
        _add_affine(builder, step)
    elif isinstance(step, Local):
        for name, parameter in step.gates:
            angles = () if parameter is None else (_angle(parameter, expressions),)
            builder.add(name, (step.qubit,), angles)
    else:
        _add_fixed(builder, step)


def _add_fixed(builder: Builder, step: Fixed) -> None:
    for inner in step.steps:
        _add_step(builder, inner, ())


def _angle(parameter: int | float, expressions: tuple[Expression, ...]) -> Expression:
    return expressions[parameter] if isinstance(parameter, int) else as_expression(parameter)


def _add_phase(builder: Builder, mask: int, angle: Expression) -> None:
    """The parity is gathered on the highest qubit by CX, takes its phase there, and is undone."""
    *others, last = bits.members(mask) or (-1,)
    if last < 0:
        builder.global_phase = builder.global_phase + angle
        return
    for qubit in others:
        builder.add("cx", (qubit, last))
    builder.add("p", (last,), (angle,))
    for qubit in reversed(others):
        builder.add("cx", (qubit, last))


def _add_affine(builder: Builder, step: Affine) -> None:
    """Gauss elimination: the CX that turn the matrix into the identity, backwards, are the circuit."""
    rows = list(step.rows)
    undone: list[tuple[int, int]] = []

    def add_row(source: int, target: int) -> None:
        rows[target] ^= rows[source]
        undone.append((source, target))

    for column in range(len(rows)):
        if not rows[column] >> column & 1:
            add_row(next(i for i in range(column + 1, len(rows)) if rows[i] >> column & 1), column)
        for i in range(len(rows)):
            if i != column and rows[i] >> column & 1:
                add_row(column, i)
    for source, target in reversed(undone):
        builder.add("cx", (source, target))
    for qubit in bits.members(step.shift):
        builder.add("x", (qubit,))
