"""The ZZ feature map of Havlicek et al., Nature 567 (2019) 209, in the convention of Qiskit's ``zz_feature_map``.

Every repetition is a Hadamard on each qubit and then a diagonal: qubit i takes the phase 2 x_i where its bit is 1, a
pair (i, j) takes 2 (pi - x_i)(pi - x_j) where its bits differ. So one repetition is one diagonal over the basis states,
and its phases are a matrix product of the angles with a 0/1 matrix. Qubit i is bit i of the basis state's number.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.circuit import Builder, Circuit
from scorer.circuits.entanglement import ENTANGLEMENTS
from scorer.circuits.errors import CircuitError
from scorer.circuits.expressions import Expression, feature
from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.circuits.scalars import real, whole
from scorer.circuits.steps.kinds import Hadamards, Phases

Array = NDArray[np.float64]

KIND = "zz"
MAX_REPS = 6
MAX_BANDWIDTH = 2 * math.pi


@dataclass(frozen=True)
class ZZMap:
    """A feature map like Qiskit's ``zz_feature_map``.

    ``qubits`` 1-12, one for each feature; ``reps`` 1-6; ``entanglement``: which pairs; ``bandwidth``: radians for 1.

    Scaled features z become angles x = bandwidth * z.
    """

    qubits: int
    reps: int = 2
    entanglement: str = "full"
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        for name, of in (("qubits", whole), ("reps", whole), ("bandwidth", real)):
            object.__setattr__(self, name, of(getattr(self, name)))
        for name, value, high in (("qubits", self.qubits, MAX_QUBITS), ("reps", self.reps, MAX_REPS)):
            if type(value) is not int or not 1 <= value <= high:
                raise CircuitError(f"{name} is {value!r}; a ZZ map takes a whole number from 1 to {high}")
        if self.entanglement not in ENTANGLEMENTS:
            raise CircuitError(f"entanglement is {self.entanglement!r}; known are {', '.join(ENTANGLEMENTS)}")
        if type(self.bandwidth) is not float or not 0.0 < self.bandwidth <= MAX_BANDWIDTH:
            raise CircuitError(f"bandwidth is {self.bandwidth!r}; it must be a number above 0 and at most 2 pi")

    @classmethod
    def from_dict(cls, raw: object) -> ZZMap:
        """Read decoded JSON, as ``to_dict`` writes it; raises CircuitError."""
        if not isinstance(raw, dict) or raw.get("kind") != KIND:
            raise CircuitError(f"a feature map of the kind {KIND!r} was expected")
        if set(raw) != {"kind", "qubits", "reps", "entanglement", "bandwidth"}:
            raise CircuitError(f"a ZZ map with the keys {sorted(map(str, raw))}")
        if type(raw["bandwidth"]) is not float:
            raise CircuitError(f"a stored bandwidth is {str(raw['bandwidth'])[:40]}, not a floating-point number")
        return cls(raw["qubits"], raw["reps"], raw["entanglement"], raw["bandwidth"])

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "qubits": self.qubits,
            "reps": self.reps,
            "entanglement": self.entanglement,
            "bandwidth": self.bandwidth,
        }

    @property
    def name(self) -> str:
        return KIND

    @property
    def features(self) -> int:
        """One for each qubit."""
        return self.qubits

    @cached_property
    def plan(self) -> Plan:
        """(Hadamards, Phases) for each repetition: what compiling ``to_circuit()`` gives, written down at once."""
        if self.qubits == 1:  # without a pair a repetition is a run of one-qubit gates
            return self.to_circuit().plan
        singles = [(1 << i, 2.0 * feature(i)) for i in range(self.qubits)]
        diagonal = [*singles, *((1 << i | 1 << j, self._together(i, j)) for i, j in self.pairs)]
        phases = Phases(tuple((mask, index) for index, (mask, _) in enumerate(diagonal)))
        steps = (Hadamards(2**self.qubits - 1), phases) * self.reps
        return Plan(KIND, self.qubits, self.features, self.bandwidth, tuple(angle for _, angle in diagonal), steps)

    def to_circuit(self) -> Circuit:
        """Write the gates of Qiskit's ``zz_feature_map``: H, P(2 x_i), and CX-P-CX on each pair."""
        builder = Builder(KIND, self.qubits, self.qubits, self.bandwidth)
        for _ in range(self.reps):
            for i in range(self.qubits):
                builder.h(i).p(2.0 * feature(i), i)
            for i, j in self.pairs:
                builder.cx(i, j).p(self._together(i, j), j).cx(i, j)
        return builder.build()

    @staticmethod
    def _together(i: int, j: int) -> Expression:
        """The phase of a pair."""
        return 2.0 * ((math.pi - feature(i)) * (math.pi - feature(j)))

    def with_bandwidth(self, bandwidth: float) -> ZZMap:
        return dataclasses.replace(self, bandwidth=bandwidth)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Entangled pairs in Qiskit's order. Circular closes the ring from three qubits on only, as Qiskit does."""
        n = self.qubits
        if self.entanglement == "full":
            return tuple((i, j) for i in range(n) for j in range(i + 1, n))
        ring = ((n - 1, 0),) if self.entanglement == "circular" and n > 2 else ()
        return ring + tuple((i, i + 1) for i in range(n - 1))
