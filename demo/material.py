"""What the demo trains on and searches: generated activity, or a labelled capture cut in two by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from scorer.rows.builder import Columns, build_rows, labels
from scorer.rows.columns import KEY_COLUMNS
from scorer.rows.fields import resolve
from scorer.rows.files import read_table, write_table
from scorer.rows.recipe import Recipe, load_recipe, recipe_names
from scorer.training.prepare import until_half
from scorer.training.starter.generator import generate_events
from scorer.wire.errors import BadOption

_GENERATED_ROWS = 2_000
_INDEX = "demo"
EVENT_NUMBER = "demo_event"  # a field of no recipe: it stays on the search's side


@dataclass(frozen=True, eq=False)
class Material:
    """Events for a demo.

    ``searched``: events for the search. ``training``: labelled events to train on; None: train a starter.
    """

    model: str
    searched: pa.Table
    label: str
    positive: str | None = None
    training: pa.Table | None = None
    split_told: str = ""
    name: str = "generated"
    index: str = _INDEX

    @property
    def recipe(self) -> Recipe:
        return load_recipe(self.model)

    def write_training(self, path: Path) -> None:
        if self.training is not None:
            write_table(self.training, path)

    def events(self) -> list[dict[str, Any]]:
        """Events as a search sees them: with time, index and Splunk's address of each, without the label."""
        times = resolve(self.recipe, self.searched)["time"].to_pylist()
        columns = self.searched.drop_columns([self.label]).to_pylist()
        return [
            {name: value for name, value in event.items() if value is not None}
            | {
                "_time": time,
                "index": self.index,
                "_bkt": f"{self.index}~0",
                "_cd": f"0:{number}",
                EVENT_NUMBER: number,
            }
            for number, (event, time) in enumerate(zip(columns, times, strict=True))
        ]

    def judged(self, grain: str, scored: Sequence[Mapping[str, Any]]) -> list[tuple[bool, Mapping[str, Any]]]:
        """Each scored row beside its label, which never went into the search."""
        columns = Columns(self.label, self.positive)
        if grain == "event":
            truth = labels(self.searched, columns).to_pylist()
            return [(bool(truth[int(row[EVENT_NUMBER])]), row) for row in scored]
        rows = build_rows(self.recipe, self.searched, grain, columns).to_pylist()
        malicious = {_key(row) for row in rows if row[self.label]}
        return [(_key(row) in malicious, row) for row in scored]


def generated(model: str, seed: int) -> Material:
    """Generate events of a seed that the starter was not trained on. Raises BadOption."""
    if model not in recipe_names():
        raise BadOption(f"there is no recipe {model}", f"Known are {', '.join(recipe_names())}.")
    events = generate_events(model, _GENERATED_ROWS, np.random.default_rng([seed, 77]))
    return Material(model, events, "label")


def from_capture(path: Path, label: str, positive: str | None, model: str | None) -> Material:
    """A capture, cut at the time by which half of its malicious events have been seen: train before, score after."""
    table = read_table(path)
    recipe = load_recipe(model) if model else _recipe_for(table)
    columns = Columns(label, positive)
    past, future = until_half(recipe, table, columns)
    told = (
        f"{path.name}: trained on the first {past.num_rows} events, scored on the {future.num_rows} after them "
        "(cut where half of the malicious events have been seen)"
    )
    return Material(recipe.name, future, label, positive, past, told, path.name.partition(".")[0])


def _recipe_for(table: pa.Table) -> Recipe:
    """The recipe most of whose fields the table has."""
    names = set(table.column_names)

    def found(recipe: Recipe) -> float:
        known = [bool(names & {*f.splunk, *f.ecs, *f.zeek, *f.windows}) for f in recipe.fields]
        return sum(known) / len(known)

    best = max((load_recipe(name) for name in recipe_names()), key=found)
    if found(best) < 0.5:
        raise BadOption(
            f"the columns {', '.join(table.column_names[:12])} fit no recipe",
            f"Name one with MODEL=, of {', '.join(recipe_names())}; their fields are in scorer/rows/recipes.",
        )
    return best


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"{float(row['_time']):.3f}", *(str(row.get(name) or "") for name in KEY_COLUMNS))
