"""The same model measured with a finite number of shots: an estimate and its standard error for every row.

The score <psi|A|psi> + b is a mean, so a quantum computer estimates it. Two ways of doing so:

``eigenbasis``  psi is turned into the eigenbasis of A and measured: outcome k has probability |<v_k|psi>|^2 and counts
                lambda_k, every other outcome counts 0. One circuit a row, and no unbiased way of measuring single
                shots has a smaller variance; but turning into the eigenbasis of A takes a circuit whose depth grows as
                4^n, so this is the best case.
``overlaps``    the probability of 0...0 after U(v_k)^dagger U(x) is measured for each k with shots of its own, as
                compute-uncompute does: r circuits a row, and the errors of all r terms add up.

A projected model is estimated from its Bloch vectors: three circuits a row, each measuring every qubit along one axis.
Its score is no mean but a smooth function of means: biased by an amount that falls as 1 / S, twice as fast as its
spread; the standard error is that of the linear part.

Estimates are drawn from the exact probabilities (float64); ``scorer.engine.backends.aer`` runs the circuit itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.circuits.limits import MAX_QUBITS
from scorer.engine.bloch import axis_probabilities
from scorer.engine.reference import amplitudes, fidelity_kernel
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import Observable
from scorer.models.projected import ProjectedMachine

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

METHODS = ("eigenbasis", "overlaps")
MAX_SHOTS = 10_000_000
_ROWS = 256


class ShotError(ValueError):
    """Numbers of shots or a method that nothing can be measured with."""


@dataclass(frozen=True, eq=False)
class ShotScores:
    """``scores``: estimates (N,). ``standard_error``: of each estimate, as the shots themselves show it (N,)."""

    scores: Array
    standard_error: Array


def measured(
    machine: Machine, Z: Array, shots: int, rng: np.random.Generator, method: str = "eigenbasis"
) -> ShotScores:
    """Measure scaled features Z (N, n) with any machine, ``shots`` shots a circuit.

    ``method`` is for observables. Raises ShotError.
    """
    if isinstance(machine, ObservableMachine):
        return sampled(machine.circuit, machine.observable, Z, shots, rng, method)
    if isinstance(machine, ProjectedMachine):
        return sampled_projection(machine, Z, shots, rng)
    raise ShotError(f"{type(machine).__name__} is not measured on a quantum computer")


def sampled_projection(machine: ProjectedMachine, Z: Array, shots: int, rng: np.random.Generator) -> ShotScores:
    """Score scaled features Z (N, n) from ``shots`` shots along each of three axes. Raises ShotError."""
    check_shots(shots)
    qubits = machine.circuit.qubits
    if qubits > MAX_QUBITS:
        raise ShotError(f"{qubits} qubits; shots are drawn from exact probabilities, up to {MAX_QUBITS}")
    out = ShotScores(np.empty(len(Z)), np.empty(len(Z)))
    for start in range(0, len(Z), _ROWS):
        part = slice(start, start + _ROWS)
        p = axis_probabilities(amplitudes(machine.circuit, Z[part]).T).transpose(0, 2, 1)
        counts = rng.multinomial(shots, p / p.sum(2, keepdims=True))
        out.scores[part], out.standard_error[part] = _from_axes(machine, counts)
    return out


def _from_axes(machine: ProjectedMachine, counts: Counts) -> tuple[Array, Array]:
    """Estimates and standard errors from how often each outcome was seen along each axis, (3, B, 2^n)."""
    axes, rows, size = counts.shape
    shots = counts[0, 0].sum()
    qubits = size.bit_length() - 1
    signs = 1.0 - 2.0 * ((np.arange(size)[:, None] >> np.arange(qubits)) & 1)
    vectors = (counts @ signs / shots).transpose(1, 2, 0).reshape(rows, axes * qubits)
    values, slopes = machine.gaussians.value_and_gradient(machine.projection.scaled(vectors))
    by_axis = (machine.projection.scale * slopes).reshape(rows, qubits, axes).transpose(2, 0, 1)
    linear = by_axis @ signs.T  # what each outcome adds to the score, to first order
    mean = (counts * linear).sum(2, keepdims=True) / shots
    variance = (counts * np.square(linear - mean)).sum(2) / (shots - 1) / shots
    return values, np.sqrt(variance.sum(0))


def probabilities(circuit: Any, observable: Observable, Z: Array) -> Array:
    """Compute the probability of each outcome k and, last, of all others, (N, r + 1), on scaled features Z (N, n)."""
    # Eigenvectors rounded to float32 may give a sum just above 1, which no sampler takes.
    p = fidelity_kernel(amplitudes(circuit, Z), observable.vectors.astype(np.complex128))
    p /= np.maximum(1.0, p.sum(1, keepdims=True))
    return np.concatenate([p, np.maximum(1.0 - p.sum(1, keepdims=True), 0.0)], axis=1)


def sampled(
    circuit: Any,
    observable: Observable,
    Z: Array,
    shots: int,
    rng: np.random.Generator,
    method: str = "eigenbasis",
) -> ShotScores:
    """Score scaled features Z (N, n) from ``shots`` shots a row (a row and eigenvector, for ``overlaps``).

    Raises ShotError.
    """
    check_shots(shots)
    if method not in METHODS:
        raise ShotError(f"method is {method!r}; known are {', '.join(METHODS)}")
    p = probabilities(circuit, observable, Z)
    if method == "eigenbasis":
        return from_counts(observable, rng.multinomial(shots, p / p.sum(1, keepdims=True)))
    share = rng.binomial(shots, p[:, :-1]) / shots
    variance = (share * (1.0 - share) / (shots - 1)) @ observable.values**2
    return ShotScores(share @ observable.values + observable.offset, np.sqrt(variance))


def from_counts(observable: Observable, counts: Counts) -> ShotScores:
    """Estimate scores from how often each outcome was seen, (N, r + 1), the last column being every other outcome.

    The standard error is the sample's: sqrt(sum (value - mean)^2 / (S - 1) / S). Raises ShotError.
    """
    shots = counts.sum(1)
    check_shots(int(shots.min(initial=MAX_SHOTS)))
    values = np.append(observable.values, 0.0)
    mean = counts @ values / shots
    spread = (counts * np.square(values - mean[:, None])).sum(1)
    return ShotScores(mean + observable.offset, np.sqrt(spread / (shots - 1.0) / shots))


def check_shots(shots: int) -> None:
    """Raises ShotError unless a standard error can be taken from that many."""
    if not 2 <= shots <= MAX_SHOTS:
        raise ShotError(f"{shots} shots; a standard error takes at least 2, and {MAX_SHOTS} are the most")
