"""The scoring engine beside every peer, on one thread: times, ratios and goals in one table.

    python -m bench.engine [--rows N] [--peer-rows N] [--repeats N] [--parts PART ...] [--only PEER ...] [--no-nystrom]

Runs in the environment that holds the peers (``make bench-engine`` makes it). Both sides get the same rows of the ZZ
map with two repetitions and full entanglement (Aer: a circuit with no special structure); the engine's time is that of
the whole score at the rank that models are deployed with, compiled as in a worker. Slow peers get fewer rows, and times
are a row's. Results are compared before anything is timed; each time is the best of several runs. What else the machine
does shows in its load, printed at both ends.
"""

# ruff: noqa: E402  BLAS and OpenMP read their number of threads once, when they are loaded
from __future__ import annotations

import os

for _library in ("OPENBLAS", "OMP", "MKL", "QULACS"):
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import argparse
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench import engine_peers as peers
from bench import nystrom
from bench.engine_peers import Bench, Result
from scorer.engine.fast import compiled_enabled, enable_compiled
from scorer.models.observable import default_rank

QUBITS = (6, 8)
HEADINGS = ("against", "qubits", "peer us", "ours us", "ratio", "goal", "met", "note")

#: The fewest times that a peer's time must be ours: at 6 and at 8 qubits. None: shown without a goal.
Goals = tuple[float | None, float | None]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    against: str
    qubits: str
    peer: str
    ours: str
    ratio: str
    goal: str
    met: str
    note: str


def compared(name: str, qubits: int, result: Result, goal: float | None) -> Line:
    ratio = result.peer / result.ours
    met = "-" if goal is None else "yes" if ratio >= goal else "NO"
    wanted = "-" if goal is None else f">= {goal:g}x"
    shown = f"{ratio:,.0f}x" if ratio >= 20.0 else f"{ratio:.2f}x"
    return Line(name, str(qubits), f"{result.peer:,.2f}", f"{result.ours:.2f}", shown, wanted, met, result.note)


def scoring(options: argparse.Namespace) -> Iterator[Line]:
    few = options.peer_rows
    sides: dict[str, tuple[str, Callable[[Bench], Result], Goals]] = {
        "qml": ("qiskit-machine-learning", lambda b: peers.statevector_kernel(b, few), (5_000.0, 5_000.0)),
        "squlearn": ("sQUlearn FidelityKernel", lambda b: peers.squlearn_kernel(b, max(20, few // 2)), (3e3, 3e3)),
        "pennylane": ("PennyLane broadcast, states", lambda b: peers.pennylane_states(b, 4 * few), (60.0, 60.0)),
        "libsvm": ("RBF twin, libsvm", lambda b: peers.libsvm(b, 20 * few), (10.0, 5.0)),
        "twin": ("RBF twin, NumPy float32", lambda b: peers.batched_twin(b, compiled=False), (1.0, 0.5)),
        "compiled": ("RBF twin, compiled", lambda b: peers.batched_twin(b, compiled=True), (None, None)),
        "boosting": ("HistGradientBoosting", lambda b: peers.boosting(b, 20 * few), (5.0, 1.5)),
        "aer": ("Aer batched binds, states", lambda b: peers.aer(b, few), (None, 40.0)),
    }
    for part, (name, side, goals) in sides.items():
        if options.only and part not in options.only:
            continue
        for qubits, goal in zip(QUBITS, goals, strict=True):
            yield compared(name, qubits, side(Bench.of(qubits, options.rows, options.repeats)), goal)


def paths(options: argparse.Namespace) -> Iterator[Line]:
    """The engine without compiled code beside the engine with it."""
    for qubits in QUBITS:
        bench = Bench.of(qubits, options.rows, options.repeats)
        yield compared("this engine, NumPy alone", qubits, Result(bench.ours(compiled=False), bench.ours()), None)


def limits(options: argparse.Namespace) -> Iterator[Line]:
    peak = peers.peak_gflops()
    for qubits, rank, goal in ((6, 16, 0.2), (8, 64, 0.4), (8, default_rank(8), None)):
        flops = peers.least_flops(qubits, rank)
        least = flops / peak / 1e3
        ours = Bench.of(qubits, options.rows, options.repeats).ours(rank)
        share = least / ours
        met = "-" if goal is None else "yes" if share >= goal else "NO"
        note = f"{flops / 1e3:.0f} kflop at {peak:.0f} GF/s"
        wanted = "-" if goal is None else f">= {goal:.0%}"
        yield Line(
            f"arithmetic limit, rank {rank}",
            str(qubits),
            f"{least:.2f}",
            f"{ours:.2f}",
            f"{share:.0%}",
            wanted,
            met,
            note,
        )


def fits(options: argparse.Namespace) -> Iterator[Line]:
    cold, repeated = peers.qsvc_fit(options.repeats)
    yield _in_seconds("QSVC fit, N = 500 (seconds), best", repeated, 200.0, "")
    yield _in_seconds("QSVC fit, N = 500, first of a process", cold, None, "with what libraries do once")
    if options.no_nystrom:
        return
    done = [nystrom.measured(rows) for rows in nystrom.ROWS]
    for fit in done:
        large = fit.rows == nystrom.ROWS[-1]
        met = ("yes" if fit.seconds < 90.0 and fit.peak < 4.0 else "NO") if large else "-"
        goal = "< 90 s, < 4 GiB" if large else "-"
        note = f"{fit.peak:.2f} GiB, two threads, {fit.processor:.0f} s of processors"
        yield Line(f"nystrom-logistic fit, N = {fit.rows:,}", "6", "-", f"{fit.seconds:.1f} s", "-", goal, met, note)
    grown = nystrom.exponent(done[0], done[-1])
    steps = " and ".join(f"{nystrom.exponent(a, b):.2f}" for a, b in itertools.pairwise(done))
    met = "yes" if grown <= 1.1 else "NO"
    yield Line("nystrom-logistic, exponent in N", "6", "-", f"{grown:.2f}", "-", "<= 1.1", met, f"by steps {steps}")


def _in_seconds(name: str, result: Result, goal: float | None, note: str) -> Line:
    line = compared(name, 6, result, goal)
    return dataclasses.replace(line, peer=f"{result.peer:.2f}", ours=f"{result.ours:.4f}", note=note)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Line]]] = {
    "scoring": scoring,
    "paths": paths,
    "limits": limits,
    "fits": fits,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000, help="rows for the engine and the twin")
    parser.add_argument("--peer-rows", type=int, default=200, help="rows for the slowest peers")
    parser.add_argument("--repeats", type=int, default=7, help="runs of which the fastest counts")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="parts of the table")
    parser.add_argument("--only", nargs="+", help="peers within the part `scoring`: qml, squlearn, twin, ...")
    parser.add_argument("--no-nystrom", action="store_true", help="leave out the fits of up to a million rows")
    options = parser.parse_args()
    peers.quiet()
    enable_compiled()
    console = Console(width=150)
    console.print(f"load {os.getloadavg()[0]:.2f}; compiled path {'on' if compiled_enabled() else 'off'}")
    table = Table(title=f"ZZ, reps 2, full; {peers.SUPPORT} support vectors; microseconds a row, one thread")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("against", "note") else "right")
    for part in options.parts:
        for line in PARTS[part](options):
            table.add_row(*vars(line).values())
    console.print(table)
    console.print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
