"""Plans of every kind of step, made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scorer.circuits.expressions import feature
from scorer.circuits.plan import Plan
from scorer.circuits.steps.kinds import Affine, Fixed, Hadamards, Local, Phases, Step

_ANGLES = 6
_GATES = ("rx", "ry", "rz", "p", "h", "x")


def random_plan(qubits: int, seed: int) -> Plan:
    """1 to 13 steps of random kinds; as many features as qubits."""
    rng = np.random.default_rng([qubits, seed])
    expressions = tuple(
        float(rng.normal()) * feature(int(rng.integers(qubits))) * feature(int(rng.integers(qubits)))
        for _ in range(_ANGLES)
    )
    steps = tuple(_step(rng, qubits, constant=False) for _ in range(rng.integers(1, 14)))
    return Plan("random", qubits, qubits, 1.3, expressions, steps)


def random_observable(qubits: int, rank: int, seed: int = 0) -> tuple[Any, Any]:
    """Eigenvalues (rank,) and unit vectors (rank, 2^qubits)."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rank, 2**qubits)) + 1j * rng.normal(size=(rank, 2**qubits))
    return rng.normal(size=rank), vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _step(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    kinds: list[Callable[[np.random.Generator, int, bool], Step]] = [_hadamards, _phases, _affine, _local, _fixed]
    return kinds[int(rng.integers(len(kinds) - constant))](rng, qubits, constant)


def _mask(rng: np.random.Generator, qubits: int) -> int:
    return int(rng.integers(1, 2**qubits))


def _hadamards(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    return Hadamards(_mask(rng, qubits) if rng.random() < 0.6 else 2**qubits - 1)


def _phases(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    terms = tuple((_mask(rng, qubits), int(rng.integers(_ANGLES))) for _ in range(0 if constant else 3))
    return Phases(terms, tuple((_mask(rng, qubits), float(rng.normal())) for _ in range(2)))


def _affine(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    rows = [1 << i for i in range(qubits)]
    for _ in range(2 * qubits if qubits > 1 else 0):
        target, control = rng.permutation(qubits)[:2]
        rows[target] ^= rows[control]
    return Affine(tuple(rows), int(rng.integers(2**qubits)))


def _local(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    names = [str(name) for name in rng.choice(_GATES, size=rng.integers(1, 4))]
    return Local(int(rng.integers(qubits)), tuple((name, _parameter(rng, name, constant)) for name in names))


def _parameter(rng: np.random.Generator, name: str, constant: bool) -> int | float | None:
    if name in ("h", "x"):
        return None
    return float(rng.normal()) if constant or rng.random() < 0.3 else int(rng.integers(_ANGLES))


def _fixed(rng: np.random.Generator, qubits: int, constant: bool) -> Step:
    return Fixed(tuple(_step(rng, qubits, constant=True) for _ in range(3)))
