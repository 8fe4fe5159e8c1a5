"""What machines of other libraries become: kernel machines and measured circuits, each one observable on a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.expressions import Expression
from scorer.circuits.plan import Plan
from scorer.models.observable import Observable, collapse, observable_of
from scorer.models.twins import MAX_SUPPORT

Array = NDArray[np.float64]

#: Qubits up to which an observable that is not diagonal is taken: beyond, its matrix takes minutes to diagonalise.
MAX_PAULI_QUBITS = 10
#: Eigenvalues nearer to each other than this share of the largest are one.
_EQUAL = 1e-12


class ImportRefused(ValueError):
    """A machine that cannot be made an observable; the message says which part and what to do."""


class Importable(Protocol):
    """A machine that tells two labels apart: its score is positive for ``labels[1]``."""

    @property
    def plan(self) -> Plan: ...
    @property
    def labels(self) -> tuple[Any, Any]: ...

    def turned(self) -> Importable:
        """Turn the machine round: high scores then mean the other label."""
        ...

    def rescaled(self, shift: Array, factor: Array) -> Importable:
        """Make the machine of rows z whose inputs are x = shift + factor z; both (features,), factor without zeros."""
        ...

    def collapsed(self) -> Observable:
        """Collapse the machine to one observable, float64, full rank."""
        ...


@dataclass(frozen=True, eq=False)
class KernelMachine:
    """f(x) = sum_i coefficients_i k(x, support_i) + intercept, with k the fidelity of the states of ``plan``.

    ``support``: (M, features), finite; ``coefficients``: (M,), signs included. f is positive for ``labels[1]``.
    """

    plan: Plan
    support: Array
    coefficients: Array
    intercept: float
    labels: tuple[Any, Any]

    def __post_init__(self) -> None:
        support, weights = self.support, self.coefficients
        if support.ndim != 2 or support.shape[1] != self.plan.features or not 1 <= len(support) <= MAX_SUPPORT:
            raise ImportRefused(
                f"support vectors of shape {support.shape}; 1 to {MAX_SUPPORT} of {self.plan.features} features are "
                "needed"
            )
        if weights.shape != support.shape[:1]:
            raise ImportRefused(f"{len(weights)} dual coefficients for {len(support)} support vectors")
        if not (np.isfinite(support).all() and np.isfinite(weights).all() and np.isfinite(self.intercept)):
            raise ImportRefused("support vectors, dual coefficients and intercept must be finite")

    def turned(self) -> KernelMachine:
        """Turn the machine round: high scores then mean the other label."""
        return KernelMachine(self.plan, self.support, -self.coefficients, -self.intercept, self.labels[::-1])

    def rescaled(self, shift: Array, factor: Array) -> KernelMachine:
        """Make the machine of rows z whose inputs are x = shift + factor z; both (features,), factor without zeros."""
        return replace(self, plan=of_scaled(self.plan, shift, factor), support=(self.support - shift) / factor)

    def collapsed(self) -> Observable:
        """Collapse the machine to one observable, float64, full rank."""
        return collapse(self.plan, self.support, self.coefficients, self.intercept)


@dataclass(frozen=True, eq=False)
class MeasuredCircuit:
    """f(x) = <psi(x)|O|psi(x)> + offset with O = diag(``diagonal``) + sum_k c_k P_k; positive for ``labels[1]``.

    ``diagonal``: (2^n,), finite. ``paulis``: words and their real coefficients, as in Qiskit: the last letter of a word
    acts on qubit 0.
    """

    plan: Plan
    diagonal: Array
    paulis: tuple[tuple[str, float], ...]
    offset: float
    labels: tuple[Any, Any]

    def __post_init__(self) -> None:
        qubits = self.plan.qubits
        if self.diagonal.shape != (1 << qubits,):
            raise ImportRefused(f"{len(self.diagonal)} measured values on {qubits} qubits; {1 << qubits} are needed")
        if self.paulis and qubits > MAX_PAULI_QUBITS:
            raise ImportRefused(
                f"the machine measures an observable that is not diagonal on {qubits} qubits; such are taken up to "
                f"{MAX_PAULI_QUBITS}"
            )
        for word, _ in self.paulis:
            if len(word) != qubits or set(word) - set("IXYZ"):
                raise ImportRefused(f"the Pauli word {word[:40]!r} on {qubits} qubits")
        numbers = [*self.diagonal, *(value for _, value in self.paulis), self.offset]
        if not np.isfinite(numbers).all():
            raise ImportRefused("an observable's numbers must be finite")

    def turned(self) -> MeasuredCircuit:
        """Turn the machine round: high scores then mean the other label."""
        paulis = tuple((word, -value) for word, value in self.paulis)
        return replace(self, diagonal=-self.diagonal, paulis=paulis, offset=-self.offset, labels=self.labels[::-1])

    def rescaled(self, shift: Array, factor: Array) -> MeasuredCircuit:
        """Make the machine of rows z whose inputs are x = shift + factor z; both (features,)."""
        return replace(self, plan=of_scaled(self.plan, shift, factor))

    def collapsed(self) -> Observable:
        """Collapse the machine to one observable, float64, of the least rank that changes no score.

        Raises ImportRefused where every row has the same score.
        """
        if not self.paulis:
            order = np.argsort(-np.abs(self.diagonal), kind="stable")
            whole = Observable(self.diagonal[order], np.eye(len(order), dtype=np.complex128)[order], self.offset)
        else:
            whole = observable_of(np.diag(self.diagonal) + pauli_sum(self.paulis, self.plan.qubits), self.offset)
        return _without_commonest(whole)


def of_scaled(plan: Plan, shift: Array, factor: Array) -> Plan:
    """Write the plan as a function of z with x = shift + factor z; both (features,). Its bandwidth becomes 1."""
    added, times = plan.bandwidth * shift, plan.bandwidth * factor
    tokens = {f"x{k}": (float(added[k]), float(times[k]), f"x{k}", "mul", "add") for k in range(plan.features)}
    expressions = tuple(
        Expression(tuple(part for token in old.program for part in tokens.get(str(token), (token,))))
        for old in plan.expressions
    )
    return replace(plan, bandwidth=1.0, expressions=expressions)


def pauli_sum(paulis: Sequence[tuple[str, float]], qubits: int) -> NDArray[np.complex128]:
    """Sum Pauli words with their coefficients: a matrix (2^n, 2^n). The last letter of a word acts on qubit 0."""
    states = np.arange(1 << qubits)
    matrix = np.zeros((1 << qubits,) * 2, np.complex128)
    for word, value in paulis:
        flips = int("".join("1" if letter in "XY" else "0" for letter in word), 2)
        signs = int("".join("1" if letter in "YZ" else "0" for letter in word), 2)
        # Y = i X Z
        phase = 1j ** word.count("Y") * (1 - 2.0 * (np.bitwise_count(states & signs) & 1))
        matrix[states ^ flips, states] += value * phase
    return matrix


def _without_commonest(whole: Observable) -> Observable:
    """Move the commonest eigenvalue c into the offset: A - c and offset + c score the same, for states have norm 1."""
    values = np.sort(whole.values)
    same = _EQUAL * float(np.abs(values).max())
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > same)
    commonest = float(values[starts[np.diff(starts, append=len(values)).argmax()]])
    shifted = whole.values - commonest
    kept = np.flatnonzero(np.abs(shifted) > 2.0 * same)
    if not kept.size:
        raise ImportRefused("the machine measures the same value on every state: all rows have the same score")
    kept = kept[np.argsort(-np.abs(shifted[kept]), kind="stable")]
    return Observable(shifted[kept], whole.vectors[kept], whole.offset + commonest)
