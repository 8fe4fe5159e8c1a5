"""The ``projected`` family: a kernel of one-qubit reduced density matrices (Huang et al., Nat. Commun. 12 (2021) 2631).

k(x, s) = exp(-g sum_q |rho_q(x) - rho_q(s)|^2), a Gaussian on the qubits' Bloch vectors. A row costs one state, of
which three measurement settings see everything, so that the model is scored on a simulator up to 20 qubits, or with a
modest number of shots. Bloch vectors are moved and scaled before the Gaussian, all by one factor: circuits of small
bandwidth move them little, and support vectors are stored in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_PROJECTED_QUBITS, MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.circuits.zz import ZZMap
from scorer.engine.bloch import bloch_vectors, projected, pulled_back
from scorer.engine.gradient import CircuitGradient, States
from scorer.models.machine import read_circuit
from scorer.models.parts import Arrays, ArtifactFormatError, Layout, check_finite, check_keys, number, stored
from scorer.models.twins import RbfTwin

Array = NDArray[np.float64]

MAX_SCALE = 1e9


@dataclass(frozen=True, eq=False)
class Projection:
    """u = scale (r - centre) + 1/2 for Bloch vectors r (N, 3 qubits). ``centre``: float64 (3 qubits,)."""

    circuit: ZZMap | Plan
    centre: Array
    scale: float

    def apply(self, Z: Array) -> Array:
        """Project scaled, finite features Z (N, n): u (N, 3 qubits).

        Raises NoSimulator for large circuits where none is.
        """
        return self.scaled(projected(self.circuit.plan, Z))

    def scaled(self, vectors: Array) -> Array:
        """Move and scale Bloch vectors (N, 3 qubits), wherever they come from: u (N, 3 qubits)."""
        return self.scale * (vectors - self.centre) + 0.5


@dataclass(frozen=True, eq=False)
class ProjectedMachine:
    """f(z) = sum_i coefficients_i exp(-gamma |u(z) - support_i|^2) + offset.

    ``gaussians``: the sum, on projected rows: support float32 (M, 3 qubits), coefficients float32 (M,).
    """

    LAYOUT: ClassVar[Layout] = {"centre": ("<f8", 1), "support": ("<f4", 2), "coefficients": ("<f4", 1)}

    projection: Projection
    gaussians: RbfTwin

    def __post_init__(self) -> None:
        qubits, scale = self.circuit.qubits, self.projection.scale
        check_finite("the centre of Bloch vectors", self.projection.centre, (3 * qubits,))
        if not 0.0 < scale <= MAX_SCALE:
            raise ArtifactFormatError(f"a scale of {scale!r}; it is above 0 and at most {MAX_SCALE:g}")
        if self.gaussians.features != 3 * qubits:
            raise ArtifactFormatError(f"support of {self.gaussians.features} numbers for {qubits} qubits; 3 a qubit")

    @classmethod
    def layout(cls, raw: Mapping[str, Any]) -> Layout:  # noqa: ARG003 - of one kind
        """List the arrays that an artifact holds."""
        return cls.LAYOUT

    @property
    def operations(self) -> int:
        return self.circuit.plan.operations + sum(array.size for array in self.to_arrays().values())

    @property
    def circuit(self) -> ZZMap | Plan:
        return self.projection.circuit

    @property
    def features(self) -> int:
        return self.circuit.features

    def scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n) in float64: (N,). Raises NoSimulator.

        Where most rows are alike and a few lie far from them, exponents of thousands cancel, which float32 cannot.
        """
        return self.exact_scores(Z)

    def exact_scores(self, Z: Array) -> Array:
        """Score scaled features Z (N, n) in float64 throughout: (N,). Raises NoSimulator."""
        return self.gaussians.exact_scores(self.projection.apply(Z))

    @property
    def rounding(self) -> float:
        return self.gaussians.rounding

    @property
    def differentiable(self) -> bool:
        """True where derivatives are taken: above MAX_QUBITS a state is too large to go back through its circuit."""
        return self.circuit.qubits <= MAX_QUBITS

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) of Z (N, n) and their derivatives by each feature (N, n), float64."""
        return self._gradient.value_and_gradient(Z)

    @property
    def quick(self) -> CircuitGradient:
        """The score and its derivatives, float64: a sum of Gaussians of Bloch vectors leaves nothing to win."""
        return self._gradient

    def to_dict(self) -> dict[str, Any]:
        """Write circuit, scale, gamma and offset, JSON-able."""
        return {"circuit": self.circuit.to_dict(), "scale": self.projection.scale, **self.gaussians.to_dict()}

    def to_arrays(self) -> Arrays:
        """Give the centre (3 qubits,), support (M, 3 qubits) and coefficients (M,)."""
        return stored({"centre": self.projection.centre, **self.gaussians.to_arrays()}, self.LAYOUT)

    @classmethod
    def from_parts(cls, raw: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ProjectedMachine:
        """Read ``to_dict`` and ``to_arrays`` of unknown origin. Raises ArtifactFormatError, CircuitError."""
        check_keys(raw, {"circuit", "scale", "gamma", "offset"}, "machine")
        circuit = read_circuit(raw, MAX_PROJECTED_QUBITS)
        numbers = number(raw, "gamma"), number(raw, "offset")
        return cls(
            Projection(circuit, arrays["centre"], number(raw, "scale")),
            RbfTwin(arrays["support"], arrays["coefficients"], *numbers),
        )

    @cached_property
    def _gradient(self) -> CircuitGradient:
        return CircuitGradient(self.circuit, self._observe)

    def _observe(self, psi: States) -> tuple[Array, States]:
        states = psi.astype(np.complex128, copy=False)
        values, slopes = self.gaussians.value_and_gradient(self.projection.scaled(bloch_vectors(states).T))
        return values, pulled_back(states, self.projection.scale * slopes.T)
