"""From any file to rows that ``train`` takes: events become rows, and windows become events where they are too few."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from scorer.rows.builder import Columns, build_rows, is_rows, labels
from scorer.rows.fields import resolve
from scorer.rows.files import check_writable, read_table, write_table
from scorer.rows.recipe import GRAINS, Recipe
from scorer.training.dataset import MIN_POSITIVES
from scorer.wire.errors import BadTrainingData


def check_grain(grain: str | None) -> None:
    """Raise BadTrainingData for a grain that no rows have; None is whatever suits them."""
    if grain is not None and grain not in GRAINS:
        raise BadTrainingData(f"--grain {grain} is not known", "Use --grain window or --grain event.")


@dataclass(frozen=True)
class RowsFile:
    """A written file of rows: how many ``events`` were read, and how many ``rows`` they made."""

    events: int
    rows: int


def rows_file(recipe: Recipe, data: Path, out: Path, columns: Columns, grain: str | None = None) -> RowsFile:
    """Build rows from a file of events and write them to a file; what `qscore rows` does.

    ``grain``: what a row is; None: as the recipe has it. Raises BadTrainingData for files or events of no use.
    """
    check_writable(out)
    events = read_table(data)
    check_grain(grain)
    rows = build_rows(recipe, events, grain, columns)
    write_table(rows, out)
    return RowsFile(events.num_rows, rows.num_rows)


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """Rows with the ``columns`` to train on, the ``grain`` that they have, and what was decided on the way."""

    rows: pa.Table
    columns: Columns
    grain: str
    remarks: tuple[str, ...] = ()


def prepared(
    recipe: Recipe, table: pa.Table, columns: Columns, grain: str | None = None, normal: bool = False
) -> PreparedRows:
    """Make rows of a table of rows or of events.

    An explicit ``grain`` is kept; without one, windows of which fewer than MIN_POSITIVES are malicious give way to
    single events, with a remark, unless ``normal`` rows are all that is learnt from. Raises BadTrainingData.
    """
    if is_rows(recipe, table):
        return PreparedRows(table, columns, grain or recipe.grain)
    on_rows = replace(columns, positive=None)
    rows = build_rows(recipe, table, grain, columns)
    if grain is not None or recipe.grain == "event" or normal:
        return PreparedRows(rows, on_rows, grain or recipe.grain)
    found = labels(table, columns)
    windows = pc.sum(rows[columns.label]).as_py()
    if windows >= MIN_POSITIVES or pc.sum(found).as_py() < MIN_POSITIVES:
        return PreparedRows(rows, on_rows, recipe.grain)
    remark = (
        f"windows of {recipe.span} seconds leave {windows} malicious rows of {rows.num_rows}, fewer than "
        f"{MIN_POSITIVES}: every event is a row of its own instead (--grain event)"
    )
    return PreparedRows(build_rows(recipe, table, "event", columns), on_rows, "event", (remark,))


def until_half(recipe: Recipe, events: pa.Table, columns: Columns) -> tuple[pa.Table, pa.Table]:
    """Put events in order of time and cut them where half of the malicious ones have been seen: (the past, the future).

    Raises BadTrainingData when events have no time or no label.
    """
    time = resolve(recipe, events)["time"]
    if time.null_count:
        raise BadTrainingData(f"{time.null_count} events have no time", "Give each event a time to cut by.")
    order = np.argsort(time.to_numpy(zero_copy_only=False), kind="stable")
    events = events.take(order)
    seen = np.cumsum(labels(events, columns).fill_null(0).to_numpy(zero_copy_only=False))
    cut = int(np.searchsorted(seen, seen[-1] / 2.0)) + 1
    return events.slice(0, cut), events.slice(cut)
