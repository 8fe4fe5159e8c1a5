"""Rows per second of the scoring engine beside qiskit-machine-learning's statevector kernel, on one thread.

    python bench/engine.py [--rows N] [--peer-rows N]

Both sides compute the decision function of the same 300 support vectors on the same rows: the ZZ map with two
repetitions and full entanglement, 6 and 8 qubits. The peer keeps its states of the support vectors
(``auto_clear_cache=False``) and is warm before its time is taken; it gets fewer rows because it is slow, and the ratio
is of rows per second. The engine scores the observable at the rank that models are deployed with; its time at full
rank, where nothing is cut, stands beside. The twin is the RBF machine with as many support vectors. Scores of both
sides are compared before anything is timed.
"""

# ruff: noqa: E402  BLAS reads its number of threads once, when NumPy is imported
from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from rich.console import Console
from rich.table import Table

from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer
from scorer.models.svc import collapse, default_rank

SUPPORT = 300
BANDWIDTH = 1.0
REPEATS = 5
HEADINGS = (
    "qubits",
    "rank",
    "peer rows/s",
    "engine rows/s",
    "ratio",
    "us/row",
    "full rank us/row",
    "RBF twin us/row",
    "max |diff|",
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """Microseconds a row, and the largest distance between the peer's and our full-rank scores."""

    qubits: int
    rank: int
    peer: float
    ours: float
    full: float
    twin: float
    distance: float


def best_of(repeats: int, work: Callable[[], Any], rows: int) -> float:
    """Microseconds a row of the fastest of several runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) / rows * 1e6


def measure(qubits: int, rows: int, peer_rows: int) -> Result:
    rng = np.random.default_rng(qubits)
    support, Z = rng.random((SUPPORT, qubits)), rng.random((rows, qubits))
    weights = rng.normal(size=SUPPORT)
    circuit = ZZMap(qubits, 2, "full", BANDWIDTH)
    whole = collapse(circuit, support, weights, 0.0)
    cut = whole.truncated(default_rank(qubits))
    kernel: Any = FidelityStatevectorKernel(
        feature_map=zz_feature_map(qubits, reps=2, entanglement="full"), auto_clear_cache=False
    )
    few = BANDWIDTH * Z[:peer_rows]
    expected = kernel.evaluate(few, BANDWIDTH * support) @ weights
    distance = float(np.abs(whole.exact_scores(circuit, Z[:peer_rows]) - expected).max())
    assert distance <= 1e-10, distance

    def peer() -> Any:
        # The states of the rows are new in production; those of the support vectors stay in the cache.
        kernel.clear_cache()
        kernel.evaluate(few[:1], BANDWIDTH * support)
        start = time.perf_counter()
        _ = kernel.evaluate(few, BANDWIDTH * support) @ weights
        return time.perf_counter() - start

    scorer = ObservableScorer(circuit, cut.values, cut.vectors)
    full = ObservableScorer(circuit, whole.values, whole.vectors)
    twin = GaussianScorer(support.astype(np.float32), weights.astype(np.float32), 1.0)
    return Result(
        qubits,
        cut.rank,
        min(peer() for _ in range(3)) / peer_rows * 1e6,
        best_of(REPEATS, lambda: scorer(Z), rows),
        best_of(REPEATS, lambda: full(Z), rows),
        best_of(REPEATS, lambda: twin(Z), rows),
        distance,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows for the engine and the twin")
    parser.add_argument("--peer-rows", type=int, default=200, help="rows for qiskit-machine-learning")
    options = parser.parse_args()
    table = Table(title=f"ZZ, reps 2, full, {SUPPORT} support vectors, one thread")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for qubits in (6, 8):
        r = measure(qubits, options.rows, options.peer_rows)
        table.add_row(
            str(r.qubits),
            str(r.rank),
            f"{1e6 / r.peer:,.0f}",
            f"{1e6 / r.ours:,.0f}",
            f"{r.peer / r.ours:,.0f}x",
            f"{r.ours:.2f}",
            f"{r.full:.2f}",
            f"{r.twin:.2f}",
            f"{r.distance:.0e}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
