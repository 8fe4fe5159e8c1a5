"""A body of declared rows -> FeatureBatch. Nothing in a cell stops the batch; what is wrong with the body does."""

from __future__ import annotations

from typing import Any

import numpy as np

from scorer.models.trained import TrainedModel
from scorer.rows.batches import FeatureBatch
from scorer.rows.cell_sizes import check_held
from scorer.rows.cells import filled, numbers, readable, texts
from scorer.rows.columns import CONTEXT_COLUMNS, DEFECT_COLUMN, EDGE_COLUMNS
from scorer.rows.defects import Defect
from scorer.rows.transform import required_inputs
from scorer.scoring.tables import BodyTable, read_table
from scorer.wire.errors import BodyTooLarge
from scorer.wire.limits import check_length
from scorer.wire.names import MAX_ROWS

_MULTIVALUE = "__mv_"
_CONTEXT = (*CONTEXT_COLUMNS, *EDGE_COLUMNS)


def decode(
    body: bytes, media_type: str, rows: int, model: TrainedModel, *, model_name: str, batch_id: str, write: bool
) -> FeatureBatch:
    """Read the model's inputs, and with ``write`` the context, of a body that must hold exactly ``rows`` rows.

    Unusable cells are NaN and have a defect, in order of the model's inputs; absent columns are left out. Raises
    MalformedBody, RowCountMismatch, BodyTooLarge, UnsupportedMediaType.
    """
    if not 0 <= rows <= MAX_ROWS:
        raise BodyTooLarge(f"{rows} rows", f"Send at most {MAX_ROWS} rows in one request.")
    inputs = required_inputs(model.recipe, model.feature_names)
    companions = frozenset(_MULTIVALUE + name for name in inputs)
    context = frozenset(_CONTEXT) if write else frozenset()
    table = _table(body, media_type, rows, (frozenset(inputs), companions | context))
    said = {name: _said(name, table.columns[name]) for name in _CONTEXT if write and name in table.columns}
    columns: dict[str, Any] = {}
    defects = _edge_defects(said.pop(DEFECT_COLUMN, []))
    for name in inputs:
        _read_input(table, name, columns, defects)
    return FeatureBatch(
        batch_id=batch_id,
        model=model_name,
        columns=columns,
        context=said,
        row_ids=range(rows),
        defects=defects,
    )


def _table(body: bytes, media_type: str, rows: int, wanted: tuple[frozenset[str], frozenset[str]]) -> BodyTable:
    """Read the table, of which nothing is decoded yet, and bound what decoding it will take."""
    if rows == 0 and not body:
        return BodyTable((), {}, 0)
    check_length(len(body), rows, media_type)
    table = read_table(body, media_type, wanted, rows)
    check_held(table.columns, frozenset(_CONTEXT))
    return table


def _said(name: str, column: Any) -> list[str]:
    with readable(name):
        return texts(name, column)


def _edge_defects(statuses: list[str]) -> dict[int, Defect]:
    """Read what the edge found wrong with documents before they became rows; an unknown code is `not_scored`."""
    return {row: Defect.read(text) for row, text in enumerate(statuses) if text}


def _read_input(table: BodyTable, name: str, columns: dict[str, Any], defects: dict[int, Defect]) -> None:
    """Add one input's column, and its defects for rows that have none yet."""
    if name not in table.columns:
        return
    companion = table.columns.get(_MULTIVALUE + name)
    with readable(name):
        found = numbers(name, table.columns[name])
        # Several values in one cell are also no number; what to do about them is said by the first of the two.
        several = {} if companion is None else filled(name, companion)
    columns[name] = found.values
    twice = table.names.count(name) > 1
    if twice:
        twins = Defect("duplicate_column", f"two columns are called {name}; send one")
        several = dict.fromkeys(range(table.rows), twins)
    for row, defect in {**found.defects, **several}.items():
        defects.setdefault(row, defect)
    if several:
        columns[name] = np.where(np.isin(np.arange(table.rows), list(several)), np.nan, found.values)
