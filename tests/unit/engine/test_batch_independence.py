"""A row's score is the same whatever batch it is in: every map, every path of the engine, every machine and twin.

Where rows are taken in padded chunks of one size, scores differ by BATCH_BOUND at most (none at all, where this was
measured); in float64 by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scorer.circuits.maps import hardware_efficient, pauli, qft, reuploading
from scorer.circuits.plan import Plan
from scorer.circuits.qiskit.importing import import_circuit
from scorer.circuits.zz import ZZMap
from scorer.engine.backends.aer import mps_bloch_vectors
from scorer.engine.bloch import projected
from scorer.engine.fast import GaussianScorer, ObservableScorer
from scorer.engine.gradient import CircuitGradient, of_observable
from scorer.engine.quadratic import QuadraticScorer
from scorer.engine.reference import amplitudes, expectation
from scorer.models.projected import ProjectedMachine, Projection
from scorer.models.twins import RbfTwin
from tests.plugin_package.example_maps import breathing, ising
from tests.unit.engine.bounds import BATCH_BOUND

from .plans import random_observable

#: Around the sizes of chunks (96 rows compiled, 128 by NumPy at eight qubits), one row, few, and many chunks.
SIZES = (1, 7, 95, 96, 97, 1000)
ROWS = 1_100
#: Rows that are looked at in batches of each size: single rows are many calls.
FEW = 120
QUBITS = 8
RANK = 16
ROUNDING = 1e-13

MAPS: dict[str, Callable[[], Any]] = {
    "zz": lambda: ZZMap(QUBITS, 2, "full", 2.0),
    "pauli": lambda: pauli(QUBITS, ("Z", "YY", "ZXZ"), 2, "linear"),
    "qft": lambda: qft(QUBITS, 2),
    "reuploading": lambda: reuploading(QUBITS + 3, qubits=QUBITS, layers=3),
    "hardware_efficient": lambda: hardware_efficient(QUBITS),
    "plug-in": lambda: breathing(QUBITS),
    "plug-in of Qiskit's": lambda: import_circuit(ising(QUBITS)),
}
EVERY_MAP = pytest.mark.parametrize("name", MAPS)
PATHS = pytest.mark.parametrize("compiled", [False, True], ids=["numpy", "compiled"])
Scores = Callable[[Any], Any]


def stored(name: str) -> Plan:
    """The map as a worker reads it."""
    return Plan.from_dict(MAPS[name]().plan.to_dict())


def rows(features: int, count: int = ROWS) -> Any:
    return np.random.default_rng(features).uniform(-0.5, 1.5, (count, features))


def largest_change(scores: Scores, Z: Any) -> float:
    """The largest difference between a row's score in the whole batch and in batches of every size, and shuffled."""
    together = scores(Z)
    assert np.ptp(together) > 0.0
    changes = []
    for size in SIZES:
        part = Z[:FEW] if size < FEW // 2 else Z
        found = np.concatenate([scores(part[start : start + size]) for start in range(0, len(part), size)])
        changes.append(np.abs(found - together[: len(part)]).max())
    order = np.random.default_rng(1).permutation(len(Z))
    changes.append(np.abs(scores(Z[order]) - together[order]).max())
    return float(max(changes))


@PATHS
@EVERY_MAP
def test_observables(name: str, compiled: bool) -> None:
    plan = stored(name)
    values, vectors = random_observable(QUBITS, RANK)
    scorer = ObservableScorer(plan, values, vectors, compiled=compiled)
    assert largest_change(scorer, rows(plan.features)) <= BATCH_BOUND * np.abs(values).sum()


@EVERY_MAP
def test_the_float64_reference(name: str) -> None:
    plan = stored(name)
    values, vectors = random_observable(QUBITS, RANK)
    change = largest_change(lambda Z: expectation(values, vectors, amplitudes(plan, Z)), rows(plan.features))
    assert change <= ROUNDING * np.abs(values).sum()


@EVERY_MAP
def test_projected_machines(name: str) -> None:
    plan = stored(name)
    Z = rows(plan.features)
    vectors = projected(plan, Z[:300])
    projection = Projection(plan, vectors.mean(0), 4.0)
    weights = np.random.default_rng(2).normal(size=100).astype(np.float32)
    support = projection.scaled(vectors)[:100].astype(np.float32)
    machine = ProjectedMachine(projection, RbfTwin(support, weights, 0.8, -0.2))
    assert largest_change(machine.scores, Z) <= BATCH_BOUND * np.abs(weights).sum()
    assert largest_change(machine.exact_scores, Z[:FEW]) <= ROUNDING * np.abs(weights).sum()


@EVERY_MAP
def test_derivatives(name: str) -> None:
    plan = stored(name)
    values, vectors = random_observable(QUBITS, RANK)
    gradient = CircuitGradient(plan, of_observable(values, vectors))
    change = largest_change(lambda Z: gradient.value_and_gradient(Z)[1], rows(plan.features, 2 * gradient.chunk + 5))
    assert change <= 100.0 * ROUNDING * np.abs(values).sum()  # slopes of angles add up over many gates


@PATHS
def test_gaussians_of_the_twins(compiled: bool) -> None:
    rng = np.random.default_rng(3)
    support, weights = rng.random((301, 6)), rng.normal(size=301)
    scorer = GaussianScorer(support, weights, 2.0, compiled=compiled)
    assert largest_change(scorer, rows(6)) <= BATCH_BOUND * np.abs(weights).sum()


def test_the_quadratic_form_of_the_leverage_twin() -> None:
    rng = np.random.default_rng(4)
    support, vectors, values = rng.random((301, 6)), rng.normal(size=(20, 301)), rng.random(20)
    most = float(values @ np.abs(vectors).sum(1) ** 2)
    assert largest_change(QuadraticScorer(support, vectors, values, 2.0), rows(6)) <= BATCH_BOUND * most


def test_states_above_twelve_qubits() -> None:
    """Matrix-product states are made row by row, 64 to a run."""
    plan = hardware_efficient(13, 1).plan
    Z = rows(13, 70)
    together = mps_bloch_vectors(plan, Z)
    for size in (1, 7, 64, 65):
        part = Z[:8] if size == 1 else Z
        found = np.concatenate([mps_bloch_vectors(plan, part[k : k + size]) for k in range(0, len(part), size)])
        assert np.abs(found - together[: len(part)]).max() <= ROUNDING
