"""Scores on their way to a sink: what a batch says once, and columns for what differs from row to row."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from scorer.rows.columns import ENTITY_COLUMNS, ORIGIN_COLUMNS

#: Epoch seconds that every sink's calendar holds, as `scorer.rows.identity.canonical_time` has them.
LATEST: Final = 1e11

Seconds = Annotated[float, Field(ge=0.0, le=LATEST)]


@dataclass(frozen=True)
class Header:
    """What all rows of one batch have in common. ``span`` is in seconds (0: a row is an event), ``scored`` in epoch
    seconds, ``latency_ms`` from the batch's submission to scoring. None: said by documents alone, and by no event.
    """

    batch_id: str
    model: str
    version: str
    title: str
    starter: bool
    serve: str
    grain: str
    mitre: tuple[str, ...] = ()
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None  # probability at the line
    sha256: str | None = None  # of the model's manifest
    family: str | None = None
    span: Seconds | None = None
    scored: Seconds | None = None
    latency_ms: int | None = None


#: Column -> its type, in the order in which they lie. No cell is null; "" is a text that is not known.
COLUMNS: Final[Mapping[str, pa.DataType]] = MappingProxyType(
    {
        "id": pa.binary(32),  # the bytes of qscore_id
        "time": pa.float64(),  # epoch seconds
        "probability": pa.float64(),  # 0-1
        "pvalue": pa.float64(),  # NaN where there is none, as in `classical`
        "classical": pa.float64(),
        "risk": pa.uint8(),  # 0-100
        "band": pa.uint8(),  # position in scorer.rows.columns.BANDS
        "alert": pa.bool_(),
        **dict.fromkeys((*ENTITY_COLUMNS, *ORIGIN_COLUMNS), pa.string()),
        "reason": pa.string(),
        "error": pa.string(),  # the status of a row that could not be scored: its numbers mean nothing
        "revision": pa.int64(),  # which count of its window the row is; part of the id
        "row_id": pa.binary(32),  # the id of revision 0, which all counts of one window share
        "old_id": pa.binary(32),  # the id that 0.1.0 gave the row, under which it may have been written
        "fields": pa.string(),  # JSON object: dotted ECS name -> text or texts copied from the scored document
        "flags": pa.string(),  # comma separated
    }
)
#: Ids that are the row's own where they are left out.
_OTHER_IDS: Final = frozenset(("row_id", "old_id"))
#: Columns that are always there; the others are left out where they would say nothing of any row.
REQUIRED: Final = frozenset(("id", "time", "probability", "pvalue", "classical", "risk", "band", "alert"))


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that share a header. ``columns``: a record batch of ``COLUMNS``, less those that say nothing."""

    header: Header
    columns: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    def column(self, name: str) -> Any:
        """Get one column as an Arrow array; None where it was left out."""
        at = self.columns.schema.get_field_index(name)
        return None if at < 0 else self.columns.column(at)

    def numbers(self, name: str) -> NDArray[Any]:
        """Get one of the columns that hold numbers or booleans and are always there, as an array (rows,)."""
        found: NDArray[Any] = self.column(name).to_numpy(zero_copy_only=False)
        return found

    def where(self, mask: NDArray[np.bool_]) -> Block:
        """Keep the rows at which ``mask`` (rows,) is true."""
        return self if mask.all() else Block(self.header, self.columns.filter(pa.array(mask)))


@dataclass(frozen=True, eq=False)
class ScoredRows:
    """Scores to write, in order: one block for each run of rows with the same header. False where there are none."""

    blocks: tuple[Block, ...] = ()

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    def __getitem__(self, some: slice) -> ScoredRows:
        """Cut out the rows of a slice without a step."""
        start, stop, _ = some.indices(len(self))
        return ScoredRows(tuple(_cut(self.blocks, start, stop)))

    def where(self, mask: NDArray[np.bool_]) -> ScoredRows:
        """Keep the rows at which ``mask`` (rows,) is true."""
        ends = np.cumsum([len(block) for block in self.blocks])
        parts = np.split(mask, ends[:-1])
        kept = (block.where(part) for block, part in zip(self.blocks, parts, strict=True) if part.any())
        return ScoredRows(tuple(kept))

    def filled(self, name: str) -> NDArray[np.bool_]:
        """Say of each of N rows whether a column of texts holds something there: booleans (N,)."""
        columns = [(block.column(name), len(block)) for block in self.blocks]
        masks = [np.zeros(rows) if one is None else pc.not_equal(one, "").to_numpy(False) for one, rows in columns]
        return np.concatenate(masks or [[]]).astype(np.bool_)

    @cached_property
    def ids(self) -> list[str]:
        """The qscore_id of each row."""
        return self._hex("id")

    @cached_property
    def old_ids(self) -> list[str]:
        """The id under which 0.1.0 may have written each row: the row's own where it cannot have."""
        return self._hex("old_id")

    def _hex(self, name: str) -> list[str]:
        return [text for block in self.blocks for text in hex_texts(_whole(block, name)).to_pylist()]


#: No rows at all.
NO_ROWS: Final = ScoredRows()


def joined(parts: Iterable[ScoredRows]) -> ScoredRows:
    """Put rows one after the other; neighbours with the same header become one block."""
    blocks = (block for part in parts for block in part.blocks)
    return ScoredRows(tuple(_merged(header, list(same)) for header, same in groupby(blocks, lambda one: one.header)))


def _merged(header: Header, blocks: Sequence[Block]) -> Block:
    names = [name for name in COLUMNS if any(block.column(name) is not None for block in blocks)]
    columns = {name: pa.concat_arrays([_whole(block, name) for block in blocks]) for name in names}
    return blocks[0] if len(blocks) == 1 else block_of(header, columns)


def _whole(block: Block, name: str) -> Any:
    """Get a column, made up where it was left out."""
    column = block.column("id" if name in _OTHER_IDS and block.column(name) is None else name)
    blank = "" if COLUMNS[name] == pa.string() else 0
    return pa.array([blank] * len(block), COLUMNS[name]) if column is None else column


def _cut(blocks: Iterable[Block], start: int, stop: int) -> Iterable[Block]:
    for block in blocks:
        first, last = max(start, 0), min(stop, len(block))
        if first < last:
            yield Block(block.header, block.columns.slice(first, last - first))
        start, stop = start - len(block), stop - len(block)


def block_of(header: Header, columns: Mapping[str, Any]) -> Block:
    """Put a block together from Arrow arrays by name; what is None or says nothing of any row is left out."""
    given = {name: columns[name] for name in COLUMNS if columns.get(name) is not None}
    schema = pa.schema([pa.field(name, COLUMNS[name], nullable=False) for name in given])
    return Block(header, pa.RecordBatch.from_arrays(list(given.values()), schema=schema))


def texts(column: Sequence[str]) -> Any:
    """Make an Arrow array of texts; None where all of them are empty."""
    return pa.array(column, pa.string()) if any(column) else None


def hex_texts(ids: Any) -> Any:
    """Write digests, an array of `binary(32)`, as texts of hexadecimal digits."""
    raw = ids.buffers()[1].slice(ids.offset * 32, len(ids) * 32)
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * 64
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(hexlify(raw)))


def digests(ids: Iterable[str]) -> Any:
    """Read digests from texts of 64 hexadecimal digits each. Raises ValueError for any other text."""
    raw = bytes.fromhex("".join(ids))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(raw) // 32, [None, pa.py_buffer(raw)])
