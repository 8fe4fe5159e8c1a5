"""How good every family is on three sets of real captures: part of the table of docs/results.md.

Labelled families learn from both classes; one-class families from the benign rows of the same part alone. Sets: Mordor
logon windows, whole captures left out in five folds; APT29 connections in order of time; distinct IoT-23 connections,
once parted at random and once with whole attack families left out in turn, so that no model was shown the family it is
judged on. Twins and yardsticks see the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from bench.iot import COLUMNS, RECIPE, iot_events
from scorer.models.families import FAMILIES
from scorer.rows.builder import Columns, build_rows
from scorer.rows.files import read_table
from scorer.rows.recipe import load_recipe
from scorer.rows.recipe_files import recipe_for
from scorer.training.dataset import Dataset, dataset
from scorer.training.evaluate import average_precision
from scorer.training.fit import fit
from scorer.training.options import TrainOptions
from scorer.training.prepare import prepared, until_half
from scorer.training.splits import folds
from scorer.training.yardsticks import boosted

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: (rows to fit, rows to judge)
Parts = list[tuple[Dataset, Dataset]]
NAMES = ("quantum", "twin", "boosting", "isolation_forest")
QUBITS = 6
_IOT_BENIGN, _IOT_FAMILY = 4000, 500


@dataclass(frozen=True)
class Set:
    """``parts``: (data folder, seed) -> what is fitted and judged."""

    title: str
    parts: Callable[[Path, int], Parts]


def logons(data: Path, seed: int) -> Parts:
    recipe, columns = load_recipe("lateral"), Columns("label_lm", None, "capture")
    events = read_table(data / "lm_winevents_mordor_covenant" / "logon_events_labelled.csv.gz")
    rows = dataset(recipe, build_rows(recipe, events, "window", columns), columns)
    return [(rows.take(a), rows.take(b)) for a, b in folds(rows.y, rows.groups, 5, seed)]


def connections(data: Path, _seed: int) -> Parts:
    recipe, columns = load_recipe("lateral_flow"), Columns("label", "lateral")
    events = read_table(data / "lm_zeek_apt29_day1" / "conn_labelled.csv.gz")
    ready = [prepared(recipe, part, columns, "event") for part in until_half(recipe, events, columns)]
    past, future = (dataset(recipe, part.rows, part.columns) for part in ready)
    return [(past, future)]


def devices_known(data: Path, seed: int) -> Parts:
    rows = _devices(data, seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    cut = 2 * len(rows) // 3
    return [(rows.take(order[:cut]), rows.take(order[cut:]))]


def devices_unseen(data: Path, seed: int) -> Parts:
    rows = _devices(data, seed)
    return [(rows.take(a), rows.take(b)) for a, b in folds(rows.y, rows.groups, 5, seed)]


def _devices(data: Path, seed: int) -> Dataset:
    recipe = recipe_for(None, RECIPE)
    ready = prepared(recipe, iot_events(data, _IOT_BENIGN, _IOT_FAMILY, seed), COLUMNS, "event")
    return dataset(recipe, ready.rows, ready.columns)


SETS = (
    Set("Mordor logon windows, captures left out", logons),
    Set("APT29 connections, first half of the attack to the rest", connections),
    Set("IoT-23, families known", devices_known),
    Set("IoT-23, families left out", devices_unseen),
)


def print_families(data: Path, seeds: Sequence[int]) -> None:
    """Both tables in Markdown, line by line, as they are measured."""
    print(
        "| rows | family | n / malicious | PR-AUC quantum | twin | boosting | isolation forest "
        "| ROC-AUC quantum | twin |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for each in SETS:
        for family in FAMILIES:
            print(line(each, family, [judged(each, family, data, seed) for seed in seeds]), flush=True)


def judged(each: Set, family: str, data: Path, seed: int) -> tuple[Ints, dict[str, Floats]]:
    """Labels, and scores by model, of all judged rows, pooled over the parts."""
    labels, scores = [], []
    for fitted, held in each.parts(data, seed):
        models = fit(fitted, TrainOptions(qubits=QUBITS, seed=seed, family=family))
        found = models.scores(held.X)
        if "boosting" not in found:
            found["boosting"] = boosted(fitted, seed)(held.X)
        labels.append(held.y)
        scores.append(found)
    return np.concatenate(labels), {name: np.concatenate([s[name] for s in scores]) for name in scores[0]}


def line(each: Set, family: str, measured: Sequence[tuple[Ints, dict[str, Floats]]]) -> str:
    y = measured[0][0]

    def cell(name: str, figure: Callable[[Ints, Floats], float]) -> str:
        values = [figure(labels, scores[name]) for labels, scores in measured if name in scores]
        if not values:
            return ""
        low, high = min(values), max(values)
        return f"{np.mean(values):.3f}" + (f" ({low:.2f}-{high:.2f})" if high - low >= 0.0005 else "")

    cells = [each.title, f"`{family}`", f"{len(y)} / {int(y.sum())}"]
    cells += [cell(name, average_precision) for name in NAMES]
    cells += [cell(name, lambda a, b: float(roc_auc_score(a, b))) for name in NAMES[:2]]
    return "| " + " | ".join(cells) + " |"
