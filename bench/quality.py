"""How good the models are on real captures: the table of docs/results.md, exactly as measured.

    python bench/quality.py [--seeds 3]
    python bench/quality.py --families [--seeds 3]      # all families on three sets, see bench/families.py

Needs the captures at ../shared/data or where QSCORE_SHARED_DATA points. Whole captures are left out in turn; the scores
of the rows left out are pooled over the folds; every seed draws other folds, features, rows and hyper-parameters.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.rows.builder import Columns, build_rows
from scorer.rows.files import read_table
from scorer.rows.recipe import Recipe, load_recipe
from scorer.training.dataset import Dataset, dataset
from scorer.training.evaluate import average_precision, wilson_recall
from scorer.training.fit import fit
from scorer.training.options import TrainOptions
from scorer.training.prepare import prepared, until_half
from scorer.training.splits import folds

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FPR = 0.01
QUBITS = 6
FOLDS = 5
DATA = Path(os.environ.get("QSCORE_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
MORDOR = "lm_winevents_mordor_covenant"
CAPTURES = Columns(label="label_lm", group="capture")
MODELS = ("quantum", "twin", "boosting")


@dataclass(frozen=True)
class Case:
    """One line of the table: which rows, and how they are parted."""

    model: str
    file: str
    grain: str
    columns: Columns
    without: tuple[str, ...] = ()
    in_time: bool = False


MORDOR_LOGONS = f"{MORDOR}/logon_events_labelled.csv.gz"
MORDOR_FLOWS = f"{MORDOR}/host_flows_labelled.csv.gz"
APT29 = "lm_zeek_apt29_day1/conn_labelled.csv.gz"
NO_PORTS = ("port_class",)
CASES = (
    Case("lateral", MORDOR_LOGONS, "window", CAPTURES),
    Case("lateral", MORDOR_LOGONS, "event", CAPTURES),
    Case("lateral_flow", MORDOR_FLOWS, "window", CAPTURES),
    Case("lateral_flow", MORDOR_FLOWS, "window", CAPTURES, NO_PORTS),
    Case("lateral_flow", MORDOR_FLOWS, "event", CAPTURES),
    Case("lateral_flow", MORDOR_FLOWS, "event", CAPTURES, NO_PORTS),
    Case("lateral_flow", APT29, "event", Columns("label", "lateral"), in_time=True),
    Case("lateral_flow", APT29, "event", Columns("label", "lateral"), NO_PORTS, in_time=True),
)


@dataclass(frozen=True)
class Measured:
    """Figures of one seed. ``pr_auc``, ``recall``: by model. Rows and malicious rows that were scored."""

    rows: int
    positives: int
    pr_auc: dict[str, float]
    recall: dict[str, float]


def measure(case: Case, seed: int) -> Measured:
    """Fit on one part, score the other, for every part."""
    recipe = load_recipe(case.model)
    events = read_table(DATA / case.file)
    scored = _in_time(recipe, case, events, seed) if case.in_time else _by_capture(recipe, case, events, seed)
    y = np.concatenate([labels for labels, _ in scored])
    scores = {name: np.concatenate([s[name] for _, s in scored]) for name in MODELS}
    return Measured(
        len(y),
        int(y.sum()),
        {name: average_precision(y, s) for name, s in scores.items()},
        {name: wilson_recall(y, s, FPR).value for name, s in scores.items()},
    )


def _by_capture(recipe: Recipe, case: Case, events: pa.Table, seed: int) -> list[tuple[Ints, dict[str, Floats]]]:
    data = _dataset(recipe, case, build_rows(recipe, events, case.grain, case.columns))
    parts = folds(data.y, data.groups, FOLDS, seed)
    return [(data.y[held], fit(data.take(rest), _options(seed)).scores(data.X[held])) for rest, held in parts]


def _in_time(recipe: Recipe, case: Case, events: pa.Table, seed: int) -> list[tuple[Ints, dict[str, Floats]]]:
    """Train until half of the malicious events have been seen, score everything after."""
    past, future = (
        _dataset(recipe, case, prepared(recipe, part, case.columns, case.grain).rows)
        for part in until_half(recipe, events, case.columns)
    )
    return [(future.y, fit(past, _options(seed)).scores(future.X))]


def _options(seed: int) -> TrainOptions:
    return TrainOptions(qubits=QUBITS, seed=seed)


def _dataset(recipe: Recipe, case: Case, rows: pa.Table) -> Dataset:
    data = dataset(recipe, rows, replace(case.columns, positive=None))
    return data.without([f.name for f in recipe.features if f.group in case.without and f.group])


def line(case: Case, measured: Sequence[Measured]) -> str:
    """One line of the Markdown table: mean over the seeds, and the range of what they gave."""
    first = measured[0]
    source = {MORDOR_LOGONS: "Mordor logons", MORDOR_FLOWS: "Mordor flows", APT29: "APT29 day 1"}[case.file]
    cells = [
        f"`{case.model}`",
        f"{source}, {case.grain}" + (", no port class" if case.without else ""),
        f"{first.rows} / {first.positives}",
        f"{first.positives / first.rows:.3f}",
        *(_figure([m.pr_auc[name] for m in measured]) for name in MODELS),
        *(_figure([m.recall[name] for m in measured]) for name in MODELS),
    ]
    return "| " + " | ".join(cells) + " |"


def _figure(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    spread = "" if high - low < 0.0005 else f" ({low:.2f}-{high:.2f})"
    return f"{float(np.mean(values)):.3f}{spread}"


def main() -> None:
    """Print the table line by line, as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--families", action="store_true", help="all families instead of the support vector machine")
    options = parser.parse_args()
    seeds = range(options.seeds)
    if options.families:
        from bench.families import print_families

        print_families(DATA, seeds)
        return
    print(
        "| model | rows | n / malicious | base rate | PR-AUC quantum | PR-AUC RBF twin | PR-AUC boosting "
        "| recall at 1 % FPR quantum | RBF twin | boosting |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for case in CASES:
        print(line(case, [measure(case, seed) for seed in seeds]), flush=True)


if __name__ == "__main__":
    main()
