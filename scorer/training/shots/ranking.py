"""How a model's ranking holds up when its scores are measured: ROC-AUC against shots, on labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from scorer.models.machine import Machine, ObservableMachine
from scorer.progress import Steps, no_steps
from scorer.training.shots.measure import ShotScores, from_counts, measured
from scorer.wire.errors import BadOption

if TYPE_CHECKING:
    from qiskit_aer.noise import NoiseModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ShotRow:
    """``shots``: of each circuit; None: exact. ``auc``: mean over the repetitions, ``low`` and ``high`` their range.
    ``standard_error``: median over rows, in units of the scores' own standard deviation."""

    shots: int | None
    auc: float
    low: float
    high: float
    standard_error: float


def shot_table(
    machine: Machine,
    Z: Floats,
    y: Ints,
    shots: Sequence[int],
    measure: Callable[[int, int], ShotScores],
    repeats: int,
    steps: Steps = no_steps,
) -> list[ShotRow]:
    """Measure the exact model first, then each number of shots, on scaled features Z (N, n) with labels y (N,).

    ``measure(shots, repetition)`` gives scores (N,). ``steps(text, done, total)`` hears of progress.
    """
    exact = machine.scores(Z)
    spread = max(float(exact.std()), 1e-300)
    auc = float(roc_auc_score(y, exact))
    rows = [ShotRow(None, auc, auc, auc, 0.0)]
    for number, count in enumerate(shots):
        found = []
        for repetition in range(repeats):
            steps(f"measuring with {count} shots", number * repeats + repetition, len(shots) * repeats)
            found.append(measure(count, repetition))
        values = [float(roc_auc_score(y, one.scores)) for one in found]
        error = float(np.median(np.concatenate([one.standard_error for one in found]))) / spread
        rows.append(ShotRow(count, float(np.mean(values)), min(values), max(values), error))
    return rows


def exact_sampler(machine: Machine, Z: Floats, seed: int, method: str) -> Callable[[int, int], ShotScores]:
    """Make what draws shots from the exact probabilities on Z (N, n): a perfect quantum computer."""

    def measure(shots: int, repetition: int) -> ShotScores:
        return measured(machine, Z, shots, np.random.default_rng([seed, shots, repetition]), method)

    return measure


def noisy_sampler(machine: Machine, Z: Floats, seed: int, cx_error: float) -> Callable[[int, int], ShotScores]:
    """Make what runs the circuit itself on Qiskit Aer for scaled features Z (N, n).

    A CX goes wrong (depolarising) with probability ``cx_error``. Raises BadOption for a machine that is no observable.
    """
    if not isinstance(machine, ObservableMachine):
        raise BadOption("--cx-error takes a model that is one observable", "Leave it out for a projected model.")
    observable, circuit, noise = machine.observable, machine.circuit, _depolarising(cx_error)

    def measure(shots: int, repetition: int) -> ShotScores:
        from scorer.engine.backends.aer import observable_counts

        counts = observable_counts(circuit, observable.vectors, Z, shots, seed + 7919 * repetition, noise)
        return from_counts(observable, counts)

    return measure


def _depolarising(cx_error: float) -> NoiseModel:
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    noise = NoiseModel(basis_gates=["cx", "rz", "sx", "x"])
    noise.add_all_qubit_quantum_error(depolarizing_error(cx_error, 2), ["cx"])
    return noise
