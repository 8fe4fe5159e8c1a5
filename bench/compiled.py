"""Ways to compute one score, side by side on one thread: compiled loops, NumPy, and NumPy in ten lines.

    python -m bench.compiled [--rows N] [--rounds N]        # make bench-compiled

What is timed is the whole score, from scaled features to a number: the ZZ map with two repetitions and full
entanglement, and three layers of data re-uploading, which have no diagonal structure. Ranks are those that models are
deployed with, and at six and eight qubits the whole one too. Every side's scores are compared with the float64
reference before the clock starts. Sides take turns in every round, and the best of the rounds counts.
"""

# ruff: noqa: E402  BLAS reads its number of threads once, when it is loaded
from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from scorer.circuits.maps import reuploading
from scorer.circuits.zz import ZZMap
from scorer.engine.fast import GaussianScorer, ObservableScorer, enable_compiled, float32_bound
from scorer.engine.reference import amplitudes, expectation, hadamard
from scorer.models.observable import collapse, default_rank

Array = NDArray[np.float64]
Score = Callable[[Array], Array]

QUBITS, WHOLE = (6, 8, 10), (6, 8)
SUPPORT, TWIN_SUPPORT, LAYERS = 300, 450, 3
#: Rows of the ten lines at a time: all of these are timed, the fastest counts.
_CHUNKS = (64, 128, 256, 512)
_SIDES = ("loops", "numpy", "ten lines")


@dataclass(frozen=True)
class Case:
    """Sides that compute the same scores of the rows Z (N, features), and how far each may be from ``exact`` (N,)."""

    name: str
    Z: Array
    sides: dict[str, Score]
    exact: Array
    limit: float


def ten_lines(n: int, values: Array, vectors: NDArray[np.complexfloating], chunk: int) -> Score:
    """The ZZ map's scores as a person would write them: phases as a matrix product, H^n as two, overlaps as one."""
    pairs = np.array([(i, j) for i in range(n) for j in range(i + 1, n)])
    one = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    signs = np.hstack([one, one[:, pairs[:, 0]] ^ one[:, pairs[:, 1]]]).astype(np.float32)
    low, high = hadamard(n // 2).astype(np.float32), hadamard(n - n // 2).astype(np.float32)
    bras, weights = (vectors.conj() / 2**n).astype(np.complex64), values.astype(np.float32)

    def score(Z: Array) -> Array:
        x = Z.T
        angles = np.concatenate([2 * x, 2 * (np.pi - x[pairs[:, 0]]) * (np.pi - x[pairs[:, 1]])])
        phase = signs @ np.remainder(angles, 2 * np.pi).astype(np.float32)
        turn = np.cos(phase) + np.complex64(1j) * np.sin(phase)
        psi = high @ turn.view(np.float32).reshape(len(high), -1)
        psi = (low @ psi.reshape(len(high), len(low), -1)).reshape(2**n, -1).view(np.complex64)
        overlap = bras @ (turn * psi)
        scores: Array = weights @ (overlap.real**2 + overlap.imag**2)
        return scores

    return lambda Z: np.concatenate([score(Z[k : k + chunk]) for k in range(0, len(Z), chunk)])


def zz(n: int, rows: int, rank: int) -> Case:
    """The observable model at one rank."""
    rng = np.random.default_rng(n)
    circuit, Z = ZZMap(n, 2, "full", 1.0), rng.random((rows, n))
    machine = collapse(circuit, rng.random((SUPPORT, n)), rng.normal(size=SUPPORT), 0.0).truncated(rank)
    sides = _engine(circuit, machine.values, machine.vectors)
    sides |= {f"ten lines, {c}": ten_lines(n, machine.values, machine.vectors, c) for c in _CHUNKS}
    return _case(f"ZZ, {n} qubits, rank {machine.rank}", circuit, machine.values, machine.vectors, Z, sides)


def unstructured(n: int, rows: int) -> Case:
    """A circuit of one-qubit gates, each row with other ones, and CX between them."""
    rng = np.random.default_rng(n)
    circuit = reuploading(n, layers=LAYERS)
    Z, rank = rng.random((rows, circuit.features)), default_rank(n)
    vectors, values = amplitudes(circuit, rng.random((rank, circuit.features))), np.linspace(-1.0, 1.0, rank)
    sides = _engine(circuit, values, vectors)
    return _case(f"re-uploading, {n} qubits, rank {rank}", circuit, values, vectors, Z, sides)


def gaussians(n: int, rows: int) -> Case:
    """The classical twin's sum of Gaussians."""
    rng = np.random.default_rng(n)
    support, weights, Z = rng.random((TWIN_SUPPORT, n)), rng.normal(size=TWIN_SUPPORT), rng.random((rows, n))
    sides: dict[str, Score] = {
        "loops": GaussianScorer(support, weights, 1.0, compiled=True),
        "numpy": GaussianScorer(support, weights, 1.0, compiled=False),
    }
    distances = np.square(Z[:500, None, :] - support).sum(-1)
    exact = np.exp(-distances) @ weights
    return Case(f"Gaussians of the twin, {n} features", Z, sides, exact, 2e-6 * float(np.abs(weights).sum()))


def _engine(circuit: Any, values: Array, vectors: NDArray[np.complexfloating]) -> dict[str, Score]:
    return {
        "loops": ObservableScorer(circuit, values, vectors, compiled=True),
        "numpy": ObservableScorer(circuit, values, vectors, compiled=False),
    }


def _case(name: str, circuit: Any, values: Array, vectors: Any, Z: Array, sides: dict[str, Score]) -> Case:
    exact = expectation(values, vectors.astype(np.complex128), amplitudes(circuit, Z[:500]))
    return Case(name, Z, sides, exact, float32_bound(circuit) * float(np.abs(values).sum()))


def check(case: Case) -> None:
    """Stop where a side computes something else: what is not equal is not compared."""
    for name, side in case.sides.items():
        distance = float(np.abs(side(case.Z[:500]) - case.exact).max())
        assert distance <= case.limit, f"{case.name}: {name} is off by {distance:.1e}"


def timed(case: Case, rounds: int) -> dict[str, float]:
    """Microseconds of the processor a row, the best of ``rounds``, by side."""
    best = dict.fromkeys(case.sides, np.inf)
    for _ in range(rounds):
        for name, side in case.sides.items():
            start = time.process_time()
            side(case.Z)
            best[name] = min(best[name], (time.process_time() - start) / len(case.Z) * 1e6)
    ten = [best.pop(name) for name in case.sides if name.startswith("ten lines")]
    return {**best, "ten lines": min(ten)} if ten else best


def cases(rows: int) -> Iterator[Case]:
    """Yield every line of the table."""
    for n in QUBITS:
        yield zz(n, rows >> (n - 6) // 2, default_rank(n))
    for n in WHOLE:
        yield zz(n, rows >> (n - 4) // 2, 2**n)
    for n in QUBITS:
        yield unstructured(n, rows >> (n - 2) // 2)
    for n in QUBITS:
        yield gaussians(n, rows)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=16_384, help="rows at six qubits; more qubits get fewer")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of which the fastest counts")
    options = parser.parse_args()
    assert enable_compiled(), "this benchmark needs numba: pip install 'qscore[fast]'"
    console = Console(width=150)
    table = Table(title="microseconds a row, whole score, one thread; ratios to the loops")
    for heading in ("score", *_SIDES, *(f"{side} / loops" for side in _SIDES if side != "loops")):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    console.print(f"load {os.getloadavg()[0]:.2f}")
    for case in cases(options.rows):
        check(case)
        best = timed(case, options.rounds)
        times = [f"{best[side]:.3f}" if side in best else "-" for side in _SIDES]
        others = [side for side in _SIDES if side != "loops"]
        ratios = [f"{best[side] / best['loops']:.2f}" if side in best else "-" for side in others]
        table.add_row(case.name, *times, *ratios)
    console.print(table)
    console.print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
