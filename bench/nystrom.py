"""Seconds and memory of a nystrom-logistic fit at growing numbers of rows, each in a process of its own.

    python -m bench.nystrom [--rows 10000 100000 1000000] [--landmarks 300] [--qubits 6] [--workers 2]

Rows are generated in the child, outside the clock; the peak is the child's whole resident memory, rows included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

ROWS = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Fit:
    """One fit: seconds on the clock, seconds of the processors, and the peak of its process's memory in GiB."""

    rows: int
    seconds: float
    processor: float
    peak: float


def measured(rows: int, landmarks: int = 300, qubits: int = 6, workers: int = 2) -> Fit:
    """One fit in a child process."""
    command = [sys.executable, "-m", "bench.nystrom", "--child", str(rows), "--landmarks", str(landmarks)]
    command += ["--qubits", str(qubits), "--workers", str(workers)]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | threads)
    return Fit(rows, *json.loads(done.stdout.splitlines()[-1]))


def exponent(first: Fit, last: Fit) -> float:
    """b where seconds grow as rows^b between two fits."""
    return math.log(last.seconds / first.seconds) / math.log(last.rows / first.rows)


def child(rows: int, landmarks: int, qubits: int, workers: int) -> None:
    import numpy as np

    from scorer.circuits.zz import ZZMap
    from scorer.training.families.landmarks import choose_landmarks
    from scorer.training.families.nystrom_logistic import fit_nystrom_logistic

    rng = np.random.default_rng(1)
    Z = rng.random((rows, qubits))
    y = (Z[:, 0] + Z[:, 1] * Z[:, 2] + 0.2 * rng.normal(size=rows) > 0.9).astype(np.int64)
    start, busy = time.perf_counter(), time.process_time()
    chosen = choose_landmarks(Z, y, landmarks, rng)
    fit_nystrom_logistic(Z, y, ZZMap(qubits), 1.0, chosen, workers=workers)
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    print(json.dumps([seconds, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--landmarks", type=int, default=300)
    parser.add_argument("--qubits", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.landmarks, options.qubits, options.workers)
        return
    fits = [measured(rows, options.landmarks, options.qubits, options.workers) for rows in options.rows]
    for fit in fits:
        print(f"{fit.rows:>9,} rows  {fit.seconds:8.2f} s  {fit.processor:8.2f} s of processors  {fit.peak:5.2f} GiB")
    for first, last in itertools.pairwise(fits):
        print(f"exponent {first.rows:,} -> {last.rows:,}: {exponent(first, last):.2f}")


if __name__ == "__main__":
    main()
