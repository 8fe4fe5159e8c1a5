"""What a trained model scores with: one protocol for the machines of all families and for their classical twins.

Five families are one observable on the states of a feature map (``ObservableMachine``); ``projected`` brings a machine
of its own. Twins are sums of Gaussians (``twins``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.circuits.plan import Plan
from scorer.circuits.zz import KIND as ZZ
from scorer.circuits.zz import ZZMap
from scorer.engine.fast import ObservableScorer, float32_bound
from scorer.engine.gradient import SINGLE, CircuitGradient, of_observable
from scorer.engine.reference import CHUNK
from scorer.models.observable import Observable
from scorer.models.parts import (
    Arrays,
    ArtifactFormatError,
    Layout,
    check_finite,
    check_keys,
    check_score,
    magnitude,
    number,
    section,
    stored,
)

Array = NDArray[np.float64]

MAX_FEATURES = 64
#: A cut observable's vectors are rounded to float32; anything further from unit norm was not made by this program.
_NORM_TOLERANCE = 1e-3
_COMPLEX = (np.complex64, np.complex128)
#: Rounding of float64 as a share of float32's, and what a row takes in float64 where it takes 1 in float32.
_DOUBLE_ROUNDING = 2.0**-29
_DOUBLE_COST = 8


class Differentiable(Protocol):
    """A score as a smooth function of scaled features, exact to float64."""

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) and their derivatives by each feature (N, n) at finite, scaled features Z (N, n)."""
        ...


class Machine(Protocol):
    """Scores of rows; higher is more suspicious. Built once, immutable, safe to share between threads.

    Building one checks everything and raises ArtifactFormatError.
    """

    @classmethod
    def layout(cls, raw: Mapping[str, Any]) -> Layout:
        """List the arrays that an artifact holds where ``to_dict`` wrote ``raw``, which nobody has vouched for."""
        ...

    @property
    def circuit(self) -> ZZMap | Plan:
        """The feature map."""
        ...

    @property
    def features(self) -> int:
        """n, the number of scaled features of a row."""
        ...

    def scores(self, Z: Array) -> Array:
        """Score finite, scaled features Z (N, n) as the worker does: (N,), float64. Calibrate on these."""
        ...

    def exact_scores(self, Z: Array) -> Array:
        """Score finite, scaled features Z (N, n) in float64 throughout, however slow: (N,)."""
        ...

    @property
    def rounding(self) -> float:
        """The most that two scores of one row may differ by: compiled or not, whatever batch it is in."""
        ...

    @property
    def operations(self) -> int:
        """Estimate what a row takes: operations of about a nanosecond each."""
        ...

    @property
    def differentiable(self) -> bool:
        """True where ``value_and_gradient`` can be asked for."""
        ...

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) of Z (N, n) and their derivatives by each feature (N, n), float64; see ``explain``."""
        ...

    @property
    def quick(self) -> Differentiable:
        """The score and its derivatives as quickly as they are to be had, good to four digits; see ``explain``."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Write what is not an array, JSON-able."""
        ...

    def to_arrays(self) -> Arrays:
        """Give the arrays of ``layout``."""
        ...

    @classmethod
    def from_parts(cls, raw: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Machine:
        """Read ``to_dict`` and ``to_arrays`` of unknown origin, the arrays already checked against ``layout``.

        Raises ArtifactFormatError, CircuitError.
        """
        ...


@dataclass(frozen=True, eq=False)
class ObservableMachine:
    """f(z) = <psi(z)| A |psi(z)> + offset: the form of svc, nystrom-logistic, vqc, density and leverage.

    ``observable``: as deployed, vectors (r, 2^qubits), 1 <= r <= 2^qubits: complex64, and rows are scored in float32,
    or complex128, and they are scored in float64.
    """

    SINGLE: ClassVar[Layout] = {"values": ("<f8", 1), "real": ("<f4", 2), "imag": ("<f4", 2)}
    DOUBLE: ClassVar[Layout] = {"values": ("<f8", 1), "real": ("<f8", 2), "imag": ("<f8", 2)}

    circuit: ZZMap | Plan
    observable: Observable

    def __post_init__(self) -> None:
        _check_observable(self.observable, self.circuit.qubits)

    @classmethod
    def layout(cls, raw: Mapping[str, Any]) -> Layout:
        """List the arrays that an artifact holds where ``to_dict`` wrote ``raw``."""
        return cls.DOUBLE if "precision" in raw else cls.SINGLE

    @property
    def double(self) -> bool:
        """True where rows are scored in float64."""
        return self.observable.vectors.dtype == np.complex128

    @property
    def features(self) -> int:
        return self.circuit.features

    def scores(self, Z: Array) -> Array:
        """Score finite, scaled features Z (N, n) as the worker does: (N,), float64."""
        if not self.double:
            return self._scorer(Z) + self.observable.offset
        blocks = [self.exact_scores(Z[start : start + CHUNK]) for start in range(0, len(Z), CHUNK)]
        return np.concatenate(blocks) if blocks else np.empty(0)

    def exact_scores(self, Z: Array) -> Array:
        """Score finite, scaled features Z (N, n) in float64 throughout: (N,)."""
        return self.observable.exact_scores(self.circuit, Z)

    @property
    def rounding(self) -> float:
        bound = float32_bound(self.circuit) * (_DOUBLE_ROUNDING if self.double else 1.0)
        return 2.0 * bound * magnitude(self.observable.values)

    @property
    def operations(self) -> int:
        numbers = self.circuit.plan.operations + self.observable.values.size + 2 * self.observable.vectors.size
        return numbers * (_DOUBLE_COST if self.double else 1)

    @property
    def differentiable(self) -> bool:
        return True

    def value_and_gradient(self, Z: Array) -> tuple[Array, Array]:
        """Compute scores (N,) of Z (N, n) and their derivatives by each feature (N, n), float64."""
        values, gradient = self._gradient.value_and_gradient(Z)
        return values + self.observable.offset, gradient

    @cached_property
    def quick(self) -> CircuitGradient:
        """The score less its offset, and its derivatives, with states in complex64."""
        observe = of_observable(self.observable.values, self.observable.vectors.astype(np.complex64), SINGLE)
        return CircuitGradient(self.circuit, observe, SINGLE)

    def to_dict(self) -> dict[str, Any]:
        """Write circuit and offset, JSON-able."""
        precision = {"precision": "float64"} if self.double else {}
        return {"circuit": self.circuit.to_dict(), "offset": self.observable.offset, **precision}

    def to_arrays(self) -> Arrays:
        """Give eigenvalues (r,) and the real and imaginary parts of eigenvectors (r, 2^qubits)."""
        vectors = self.observable.vectors
        parts = {"values": self.observable.values, "real": vectors.real, "imag": vectors.imag}
        return stored(parts, self.DOUBLE if self.double else self.SINGLE)

    @classmethod
    def from_parts(cls, raw: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ObservableMachine:
        """Read ``to_dict`` and ``to_arrays`` of unknown origin. Raises ArtifactFormatError, CircuitError."""
        check_keys(raw, {"circuit", "offset", *(["precision"] if "precision" in raw else [])}, "machine")
        if raw.get("precision", "float64") != "float64":
            raise ArtifactFormatError(f"a machine of the precision {str(raw['precision'])[:80]!r}; float64 is possible")
        if arrays["real"].shape != arrays["imag"].shape:
            raise ArtifactFormatError("the observable's real and imaginary parts differ in shape")
        vectors = np.empty(arrays["real"].shape, np.complex128 if "precision" in raw else np.complex64)
        vectors.real, vectors.imag = arrays["real"], arrays["imag"]
        return cls(read_circuit(raw), Observable(arrays["values"], vectors, number(raw, "offset")))

    @cached_property
    def _scorer(self) -> ObservableScorer:
        return ObservableScorer(self.circuit, self.observable.values, self.observable.vectors)

    @cached_property
    def _gradient(self) -> CircuitGradient:
        return CircuitGradient(self.circuit, of_observable(self.observable.values, self.observable.vectors))


def read_circuit(raw: Mapping[str, Any], max_qubits: int = MAX_QUBITS) -> ZZMap | Plan:
    """Read the feature map under ``circuit``; raises CircuitError (a ValueError) or ArtifactFormatError.

    Nothing but a ZZ map and a plan is a circuit here: whatever the map came from, a plug-in or Qiskit, stays away.
    """
    circuit = section(raw, "circuit")
    return ZZMap.from_dict(circuit) if circuit.get("kind") == ZZ else Plan.from_dict(circuit, max_qubits)


def _check_observable(observable: Observable, qubits: int) -> None:
    values, vectors = observable.values, observable.vectors
    rank = len(values)
    if values.dtype != np.float64:
        raise ArtifactFormatError(f"observable values of {values.dtype}, not float64")
    check_finite("observable values", values, (rank,))
    if not 1 <= rank <= 2**qubits or vectors.shape != (rank, 2**qubits) or vectors.dtype not in _COMPLEX:
        raise ArtifactFormatError(f"an observable of shape {vectors.shape} and type {vectors.dtype} at {qubits} qubits")
    with np.errstate(invalid="ignore", over="ignore"):  # numbers without end have no norm, and are refused with others
        unit = np.abs(np.linalg.norm(vectors, axis=1) - 1.0) <= _NORM_TOLERANCE
    if not unit.all():
        raise ArtifactFormatError("an observable whose eigenvectors do not have unit norm")
    check_score("an observable", magnitude(values), observable.offset)
