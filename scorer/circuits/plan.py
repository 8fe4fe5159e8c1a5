"""What a circuit is to the engine: angles as functions of a row, and the few kinds of steps that a batch goes through.

A plan holds no code and no gate list: an artifact stores it, and a worker runs it, without Qiskit and without the
plug-in that the circuit came from. Every plan that exists has been checked, whatever it was made from.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.errors import CircuitError
from scorer.circuits.evaluate import Evaluator
from scorer.circuits.expressions import MAX_ANGLE, Expression, largest
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.scalars import real, whole
from scorer.circuits.steps.checks import check_cost, check_expressions, check_shape, check_steps
from scorer.circuits.steps.cost import operations
from scorer.circuits.steps.kinds import (
    Step,
    angle_indices,
    renumbered,
    without_global,
)
from scorer.circuits.steps.stored import KIND, expressions_from, fields_of, steps_from, steps_to_list

Array = NDArray[np.float64]

#: Features of this size are what bounds on formulas are computed for; scaled ones lie around 0 to 1.
_USUAL = 100.0
#: Rows looked at together, so that memory is bounded.
_ROWS = 4096


@dataclass(frozen=True)
class Plan:
    """A compiled feature map: angles as formulas of the row, and the steps that take them.

    ``name``: what a person calls the map. A row has ``features`` scaled numbers z; x = bandwidth * z.
    """

    name: str
    qubits: int
    features: int
    bandwidth: float
    expressions: tuple[Expression, ...]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        for name, of in (("qubits", whole), ("features", whole), ("bandwidth", real)):
            object.__setattr__(self, name, of(getattr(self, name)))
        check_shape(self.name, self.qubits, self.features, self.bandwidth)
        check_expressions(self.expressions, self.features)
        check_steps(self.steps, self.qubits, len(self.expressions))
        check_cost(self.steps, self.expressions, self.qubits)

    @cached_property
    def operations(self) -> int:
        """Estimate what one row takes: operations of about a nanosecond each."""
        return operations(self.steps, self.expressions, self.qubits)

    @property
    def plan(self) -> Plan:
        """The plan itself, for a Plan is a feature map too."""
        return self

    def angles(self, Z: Array) -> Array:
        """Return every expression's angle in radians, float64 (a, N), for scaled features Z (N, features).

        Raises CircuitError for another shape, AngleError where an angle is not finite or beyond MAX_ANGLE.
        """
        return self._evaluator.values(self._inputs(Z))

    def defined(self, Z: Array) -> NDArray[np.bool_]:
        """Tell on which rows of Z (N, features) every angle has a value: (N,). On others ``angles`` raises AngleError.

        Not looked at, and all true, where no formula can fail on numbers of this size.
        """
        X = self._inputs(Z)
        if self._total and np.abs(X).max(initial=0.0) <= _USUAL:
            return np.ones(len(Z), np.bool_)
        blocks = [self._evaluator.defined(X[:, k : k + _ROWS]) for k in range(0, len(Z), _ROWS)]
        return np.concatenate(blocks) if blocks else np.ones(0, np.bool_)

    def pullback(self, Z: Array, slopes: Array) -> Array:
        """Return d f / d Z (N, features) from d f / d angle (a, N) at Z (N, features): the chain rule.

        Not finite where a formula has no slope, as sqrt(x) has none at 0. Raises CircuitError for another shape.
        """
        pulled: Array = self.bandwidth * self._evaluator.pullback(self._inputs(Z), slopes).T
        return pulled

    def with_bandwidth(self, bandwidth: float) -> Plan:
        return dataclasses.replace(self, bandwidth=bandwidth)

    @cached_property
    def without_global_phase(self) -> Plan:
        """A plan of equal states up to a phase that no probability or kernel sees, without the angles of that phase."""
        steps = tuple(step for step in map(without_global, self.steps) if step is not None)
        used = sorted(set(angle_indices(steps)))
        number = {index: k for k, index in enumerate(used)}
        return dataclasses.replace(
            self,
            expressions=tuple(self.expressions[index] for index in used),
            steps=tuple(renumbered(step, number) for step in steps),
        )

    def to_dict(self) -> dict[str, Any]:
        """Write the plan, JSON-able; ``from_dict`` gives an equal plan."""
        return {
            "kind": KIND,
            "name": self.name,
            "qubits": self.qubits,
            "features": self.features,
            "bandwidth": self.bandwidth,
            "expressions": [list(expression.program) for expression in self.expressions],
            "steps": steps_to_list(self.steps),
        }

    @classmethod
    def from_dict(cls, raw: object, max_qubits: int = MAX_QUBITS) -> Plan:
        """Read decoded JSON that is not trusted; raises CircuitError."""
        fields = fields_of(raw)
        check_shape(fields["name"], fields["qubits"], fields["features"], fields["bandwidth"], max_qubits)
        plan = cls(
            fields["name"],
            fields["qubits"],
            fields["features"],
            fields["bandwidth"],
            expressions_from(fields["expressions"]),
            steps_from(fields["steps"]),
        )
        # Made now: formulas of constants without a value are refused here, not at the first row.
        _ = plan._evaluator
        return plan

    @cached_property
    def _total(self) -> bool:
        """True where every formula has a value, and one of at most MAX_ANGLE, on features of up to _USUAL."""
        return all(largest(expression, _USUAL) <= MAX_ANGLE for expression in self.expressions)

    @cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(self.expressions, self.features)

    def _inputs(self, Z: Array) -> Array:
        if Z.ndim != 2 or Z.shape[1] != self.features:
            raise CircuitError(f"features of shape {Z.shape} for a map of {self.features} features")
        inputs: Array = self.bandwidth * Z.T
        return inputs
