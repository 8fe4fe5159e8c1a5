"""Fields copied from scored documents onto those of their scores, where these have nothing yet and may have something.

The only cells that are read one by one, each different text once. What fits nowhere is left out, and the document
flagged: Elasticsearch would refuse it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from scorer.delivery.context_cells import FIELDS_DROPPED, Copies, copies_of
from scorer.delivery.json_columns import Raw, Text, encode, lists, values
from scorer.delivery.rows import Block
from scorer.elastic_client.copies import no_place

#: Flag of a document that lacks a copied field, because there is no place for it.
COPY_LEFT_OUT = "copied_field_left_out"

Members = Mapping[str, Any]


@dataclass(frozen=True)
class _Cell:
    """What one cell holds: dotted name -> JSON of what is copied; and the flags that it gives its row."""

    copies: Mapping[str, str]
    flags: tuple[str, ...] = ()


_NOTHING = _Cell({})


def with_copies(members: Members, block: Block) -> Members:
    """Put the copied fields of a block onto the members of its documents, and say which rows lack some."""
    cells = _cells(block, _read)
    names = {name for cell in cells for name in cell.copies}
    made = _flagged(members, block, cells)
    # The deepest first, so that an object is there when a row has a text in its place.
    for name in sorted(names, key=lambda name: (-name.count("."), name)):
        made = _put(made, name.split("."), pa.array([cell.copies.get(name) for cell in cells], pa.string()))
    return made


def without_copies(members: Members, block: Block) -> Members:
    """Say on each document of a block that copied fields are left out."""
    return _flagged(members, block, _cells(block, _leave_out))


def flag_lists(flags: Any) -> Raw | None:
    """Write flags, a column of texts with commas between them, as lists; null where a row has none."""
    # As one text each; what stands between its commas are the flags.
    listed = lists(flags)
    return None if listed is None else Raw(pc.replace_substring(listed, ",", '","'))


def _cells(block: Block, read: Callable[[str], _Cell]) -> Sequence[_Cell]:
    column = block.column("fields")
    texts = [""] * len(block) if column is None else column.to_pylist()
    made = {text: read(text) for text in set(texts)}
    return [made[text] for text in texts]


def _read(text: str) -> _Cell:
    if not text:
        return _NOTHING
    copies = copies_of(text)
    return _Cell({}, (FIELDS_DROPPED,)) if copies is None else _placed(copies)


def _leave_out(text: str) -> _Cell:
    unreadable = bool(text) and copies_of(text) is None
    return _Cell({}, (FIELDS_DROPPED, COPY_LEFT_OUT) if unreadable else (COPY_LEFT_OUT,))


def _placed(copies: Copies) -> _Cell:
    """Find the copies that have a place. Nothing stands below a text; nothing takes the place of what stands there."""
    placed: dict[str, str] = {}
    left_out = False
    for name, value in copies.items():
        if no_place(name) or any(above in placed for above in _above(name)):
            left_out = True
        elif not any(one.startswith(f"{name}.") for one in placed):
            placed[name] = encode(value)
    return _Cell(placed, (COPY_LEFT_OUT,) if left_out else ())


def _above(name: str) -> Iterable[str]:
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts)))


def _flagged(members: Members, block: Block, cells: Sequence[_Cell]) -> Members:
    if not any(cell.flags for cell in cells):
        return members
    column = block.column("flags")
    own = [""] * len(block) if column is None else column.to_pylist()
    flags = [",".join(filter(None, (text, *cell.flags))) or None for text, cell in zip(own, cells, strict=True)]
    return {**members, "qscore": {**members["qscore"], "flags": flag_lists(pa.array(flags, pa.string()))}}


def _put(members: Members, parts: Sequence[str], column: Any) -> Members:
    """Put a column at the end of a path, in the rows that have nothing there."""
    first, *rest = parts
    there = members.get(first)
    if not rest:
        return {**members, first: _either(there, column)}
    inner = {} if there is None else there
    # Nothing of ours that is no object has a place below it.
    return {**members, first: _put(inner, rest, column)} if isinstance(inner, Mapping) else members


def _either(there: Any, column: Any) -> Any:
    if isinstance(there, Raw | Text | Mapping | None):
        texts = values(there)
        return Raw(column if texts is None else pc.coalesce(texts, column))
    return there  # the same in all rows
