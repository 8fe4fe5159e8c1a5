"""Circuits as people write them: gates on qubits, whose angles are expressions of the row's features.

    builder = Builder("mine", qubits=2, features=2)
    builder.h(0).ry(2.0 * feature(0), 1).cx(0, 1)
    plan = builder.build().plan

Gates are named and defined as in Qiskit; qubit i is bit i of the basis state's number; phases count, global ones too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from scorer.circuits.compiler.compile import compile_gates
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import ZERO, Expression, as_expression, check_program
from scorer.circuits.gates import SIGNATURES, Gate, check_gate
from scorer.circuits.limits import MAX_GATES, MAX_PROJECTED_QUBITS
from scorer.circuits.plan import Plan
from scorer.circuits.scalars import real, whole
from scorer.circuits.steps.checks import check_shape


class FeatureMap(Protocol):
    """A map of rows of ``features`` scaled numbers to states: ZZMap, Circuit and Plan are all feature maps."""

    @property
    def name(self) -> str: ...
    @property
    def qubits(self) -> int: ...
    @property
    def features(self) -> int: ...
    @property
    def bandwidth(self) -> float: ...
    @property
    def plan(self) -> Plan: ...
    def to_dict(self) -> dict[str, Any]: ...
    def with_bandwidth(self, bandwidth: float) -> FeatureMap: ...


@dataclass(frozen=True)
class Circuit:
    """Gates in order. A row has ``features`` scaled numbers z; the expressions see x = bandwidth * z."""

    name: str
    qubits: int
    features: int
    gates: tuple[Gate, ...]
    global_phase: Expression = ZERO
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        for name, of in (("qubits", whole), ("features", whole), ("bandwidth", real)):
            object.__setattr__(self, name, of(getattr(self, name)))
        check_shape(self.name, self.qubits, self.features, self.bandwidth, MAX_PROJECTED_QUBITS)
        if len(self.gates) > MAX_GATES:
            raise CircuitError(f"the circuit has {len(self.gates)} gates; the limit is {MAX_GATES}")
        for gate in self.gates:
            check_gate(gate, self.qubits, self.features)
        check_program(self.global_phase.program, self.features)

    @cached_property
    def plan(self) -> Plan:
        """The steps that the engine runs: the same amplitudes to rounding, global phase included.

        Raises CircuitError where the circuit is too large for a plan.
        """
        expressions, steps = compile_gates(self.gates, self.qubits, self.global_phase)
        return Plan(self.name, self.qubits, self.features, self.bandwidth, expressions, steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the compiled plan as JSON-able parts: what an artifact holds."""
        return self.plan.to_dict()

    def with_bandwidth(self, bandwidth: float) -> Circuit:
        return dataclasses.replace(self, bandwidth=bandwidth)


class Builder:
    """A collector of gates.

    Every gate of SIGNATURES is a method ``builder.rzz(angle, 0, 1)`` that returns the builder.
    """

    def __init__(self, name: str, qubits: int, features: int, bandwidth: float = 1.0) -> None:
        self.name, self.qubits, self.features, self.bandwidth = name, qubits, features, bandwidth
        self.gates: list[Gate] = []
        self.global_phase = ZERO

    def add(self, name: str, qubits: Iterable[int], angles: Iterable[Expression | float] = ()) -> Builder:
        """Append a gate, which ``build`` will check; returns the builder."""
        self.gates.append(Gate(name, tuple(qubits), tuple(as_expression(angle) for angle in angles)))
        return self

    def __getattr__(self, name: str) -> Callable[..., Builder]:
        """``builder.cp(angle, control, target)``: angles first, then qubits, as in Qiskit."""
        if name not in SIGNATURES:
            raise AttributeError(f"no gate {name!r}; known are {', '.join(SIGNATURES)}")
        angles = SIGNATURES[name][1]
        return lambda *arguments: self.add(name, arguments[angles:], arguments[:angles])

    def build(self) -> Circuit:
        """Make the circuit; raises CircuitError naming the gate or value that is not possible."""
        return Circuit(self.name, self.qubits, self.features, tuple(self.gates), self.global_phase, self.bandwidth)
