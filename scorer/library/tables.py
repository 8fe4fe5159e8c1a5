"""Tables of three kinds as people have them in Python: pandas data frames, pyarrow tables, mappings of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from scorer.wire.errors import BadInput
from scorer.wire.names import OUTPUT_COLUMNS


def columns_of(rows: Any, names: Sequence[str]) -> tuple[dict[str, Any], int]:
    """Take those of the named columns that are there, as pyarrow arrays, and count the rows. Raises BadInput."""
    if isinstance(rows, pa.Table):
        held, length = rows.column_names, rows.num_rows
    elif isinstance(rows, Mapping):
        held, length = list(rows), _length(rows)
    elif hasattr(rows, "columns") and hasattr(rows, "assign"):
        held, length = list(rows.columns), len(rows)
    else:
        raise BadInput(
            f"rows of the type {type(rows).__name__}",
            "Give a pandas DataFrame, a pyarrow Table or a mapping of column names to arrays.",
        )
    twice = [name for name in names if held.count(name) > 1]
    if twice:
        raise BadInput(f"two columns are called {twice[0]}", "Give one of them.")
    return {name: _array(rows[name]) for name in names if name in held}, length


def _length(columns: Mapping[str, Any]) -> int:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise BadInput(f"columns of {min(lengths)} to {max(lengths)} rows", "Give arrays of one length.")
    return lengths.pop() if lengths else 0


def _array(column: Any) -> Any:
    """One pyarrow array; NaN and None are empty cells, and of several types each cell is text."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks()
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, ValueError, TypeError):
        return pa.array([None if cell is None or cell != cell else str(cell) for cell in column], pa.string())


def beside(rows: Any, found: pa.Table) -> Any:
    """Put the columns of scores behind those of the rows, in a table of the kind that the rows are."""
    if isinstance(rows, Mapping):
        own = {name: column for name, column in rows.items() if name not in OUTPUT_COLUMNS}
        return own | {name: found[name].to_numpy() for name in OUTPUT_COLUMNS}
    if isinstance(rows, pa.Table):
        rows = rows.drop_columns([name for name in OUTPUT_COLUMNS if name in rows.column_names])
        for name in OUTPUT_COLUMNS:
            rows = rows.append_column(name, found[name])
        return rows
    import pandas as pd  # whoever gave a data frame has it

    new = found.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    kept = rows.drop(columns=[name for name in OUTPUT_COLUMNS if name in rows.columns])
    return kept.assign(**{name: new[name].array for name in OUTPUT_COLUMNS})
