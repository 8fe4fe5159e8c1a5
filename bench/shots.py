"""ROC-AUC against shots on real rows: the table of docs/results.md, exactly as measured.

    python bench/shots.py [--seed 0] [--repeats 5]

NSL-KDD (its 20 % training file): 1,000 rows are trained on, 4,000 others measured; six of its numeric columns, chosen
on the training rows. Needs the file at ../shared/data or where QSCORE_SHARED_DATA points.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
from pathlib import Path

import numpy as np

from scorer.training.dataset import Dataset
from scorer.training.fit import fit
from scorer.training.options import TrainOptions
from scorer.training.shots.ranking import ShotRow, exact_sampler, shot_table

DATA = Path(os.environ.get("QSCORE_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ROWS = "ids_nslkdd_train20/KDDTrain+_20Percent.txt.gz"
NAMES = "ids_nslkdd_train20/Field Names.csv"
TRAINED, MEASURED = 1000, 4000
SHOTS = (64, 256, 1024, 8192, 100_000)
CASES = (("svc", "eigenbasis"), ("svc", "overlaps"), ("projected", "axes"))


def nslkdd() -> Dataset:
    """Its numeric columns, logarithms of those that are no shares; 1: any attack."""
    with (DATA / NAMES).open(newline="") as file:
        fields = [line[:2] for line in csv.reader(file)]
    with gzip.open(DATA / ROWS, "rt", newline="") as file:
        rows = list(csv.reader(file))
    numeric = [(k, name) for k, (name, kind) in enumerate(fields) if kind == "continuous"]
    X = np.array([[float(row[k]) for k, _ in numeric] for row in rows])
    wide = X.max(axis=0) > 1.0
    X[:, wide] = np.log1p(X[:, wide])
    y = np.array([row[len(fields)] != "normal" for row in rows]).astype(np.int64)
    return Dataset(tuple(name for _, name in numeric), X, y, None)


def measure(data: Dataset, family: str, method: str, seed: int, repeats: int) -> list[ShotRow]:
    """Train on some rows, measure others."""
    order = np.random.default_rng(seed).permutation(len(data))
    past, future = data.take(order[:TRAINED]), data.take(order[TRAINED : TRAINED + MEASURED])
    fitted = fit(past, TrainOptions(seed=seed, family=family))
    Z = fitted.scaler.apply(future.X[:, fitted.columns])
    return shot_table(fitted.machine, Z, future.y, SHOTS, exact_sampler(fitted.machine, Z, seed, method), repeats)


def cell(row: ShotRow) -> str:
    if row.shots is None:
        return f"{row.auc:.4f}"
    return f"{row.auc:.4f} ({row.low:.4f}-{row.high:.4f}), {row.standard_error:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    data = nslkdd()
    print("| family, measured by | exact | " + " | ".join(f"{shots:,} shots" for shots in SHOTS) + " |")
    print("|---" * (2 + len(SHOTS)) + "|")
    for family, method in CASES:
        table = measure(data, family, method, asked.seed, asked.repeats)
        print(f"| `{family}`, {method} | " + " | ".join(map(cell, table)) + " |", flush=True)


if __name__ == "__main__":
    main()
