"""Columns of a block as its documents and events speak of them: what is not known is null."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scorer.delivery.json_columns import Text, optional
from scorer.delivery.number_columns import chosen, integers
from scorer.delivery.rows import Block
from scorer.rows.columns import BANDS, ENTITY_COLUMNS

_NULL = pa.scalar(None, pa.string())


def known(block: Block, name: str) -> Any:
    """Get a column of texts, null where a row's is empty; None where no row has one."""
    return without(block.column(name), "")


def without(column: Any, text: str) -> Any:
    """Make null what equals ``text``; None where nothing else is left, or was there."""
    if column is None:
        return None
    same = pc.equal(column, text)
    if not pc.any(same).as_py():
        return column
    left = pc.if_else(same, _NULL, column)
    return None if left.null_count == len(left) else left


def bands(block: Block) -> Any:
    """Write each row's band."""
    return chosen(BANDS, block.numbers("band"))


def message(block: Block) -> Text:
    """Write the sentence that a person reads first: risk, band, and whom it is about."""
    parts: list[Any] = [f"{block.header.title}: risk ", integers(block.numbers("risk")), " (", bands(block), ")"]
    columns = {name: column for name in ENTITY_COLUMNS if (column := known(block, name)) is not None}
    words = [piece for name, column in columns.items() for piece in optional(f" {name}=", column)]
    if any(not column.null_count for column in columns.values()):
        parts += [" for", *words]
    elif words:
        # Each column has something somewhere, so that not all rows are without a word.
        parts += optional(" for", without(pc.binary_join_element_wise(*words, ""), ""))
    return Text(*parts)
