"""A chunk's CSV, handled without parsing it.

A quoted value may hold commas and line ends, so that lines and cells cannot be found by splitting. `Table.read` swaps
those three bytes *inside quotes* for bytes that occur nowhere in the chunk (and in no UTF-8 text at all). From then on
every line is a record and every comma parts two cells; records are split and joined at the speed of `bytes`, and one
`translate` over the output puts the three bytes back. No cell that is not ours is ever decoded, changed or requoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import List, Optional, Sequence, Set, Tuple

MULTIVALUE_PREFIX = "__mv_"

_SWAPPED = b",\n\r"
# Bytes that no valid UTF-8 text holds.
_SPARE = bytes((0xC0, 0xC1)) + bytes(range(0xF5, 0x100))


@dataclass(frozen=True)
class ChunkTable:
    """A chunk's body as lines.

    ``names``: the header's field names. ``header``: its line. ``records``: one line per row, in order.

    Lines carry no line end, and hold swapped bytes where ``restore`` (a table for bytes.translate) is given.
    ``ending``: the chunk's own line end, LF or CRLF. Records are brought to the header's width when they are cut.
    """

    names: Tuple[str, ...]
    header: bytes
    records: List[bytes]
    ending: bytes = b"\n"
    restore: Optional[bytes] = None
    _levelled: Set[Tuple[int, Optional[int]]] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def read(cls, body: bytes) -> ChunkTable:
        """Read a chunk's body."""
        flat, restore = flatten(body)
        lines, ending = _lines(flat)
        if not lines:
            return cls((), b"", [], ending, restore)
        header = lines[0]
        cells = header.split(b",") if header else []
        names = tuple(_name(cell, restore) for cell in cells)
        return cls(names, header, lines[1:], ending, restore)

    def __len__(self) -> int:
        return len(self.records)

    def cut(self, indexes: Sequence[int], start: int = 0, stop: Optional[int] = None) -> List[bytes]:
        """Cut out records ``start:stop`` with the cells at ``indexes`` (rising) alone.

        Short and long records are brought to the header's width first, as csv.DictReader would.
        """
        return _cut(self._level(start, stop), indexes, len(self.names))

    def _level(self, start: int, stop: Optional[int]) -> List[bytes]:
        """Records of the header's width; looked at once, because a range is cut twice: to be sent, and to be pasted."""
        part = self.records[start:stop]
        if (start, stop) in self._levelled:
            return part
        commas = max(len(self.names) - 1, 0)
        if not set(map(bytes.count, part, repeat(b","))) <= {commas}:
            part = [_level(record, commas + 1) for record in part]
            self.records[start:stop] = part
        self._levelled.add((start, stop))
        return part

    def cut_header(self, indexes: Sequence[int]) -> bytes:
        return _cut([self.header], indexes, len(self.names))[0]

    def restored(self, text: bytes) -> bytes:
        """Put the swapped bytes of ``text`` back."""
        return text if self.restore is None else text.translate(self.restore)


def flatten(body: bytes) -> Tuple[bytes, Optional[bytes]]:
    """Swap commas and line ends inside quotes for spare bytes, and give the table that puts them back.

    A quote that is still open at the end is closed there, as CSV readers do.
    """
    if b'"' not in body:
        return body, None
    spare = bytes(byte for byte in _SPARE if byte not in body)[: len(_SWAPPED)]
    if len(spare) < len(_SWAPPED):
        # Not text at all: what is not UTF-8 becomes U+FFFD, which frees the spare bytes.
        body, spare = body.decode("utf-8", "replace").encode(), _SPARE[: len(_SWAPPED)]
    pieces = body.split(b'"')
    if len(pieces) % 2 == 0:
        pieces.append(b"")
    inside = b'"'.join(pieces[1::2]).translate(bytes.maketrans(_SWAPPED, spare))
    pieces[1::2] = inside.split(b'"')
    return b'"'.join(pieces), bytes.maketrans(spare, _SWAPPED)


def _lines(flat: bytes) -> Tuple[List[bytes], bytes]:
    """Lines without their ends, and the line end for the output."""
    if not flat:
        return [], b"\n"
    pairs = flat.count(b"\r\n") if b"\r" in flat else 0
    breaks = flat.count(b"\n") if pairs else 0
    ending = b"\r\n" if pairs and pairs == breaks else b"\n"
    lines = flat.split(ending)
    if lines[-1] == b"":
        lines.pop()
    if pairs and pairs != breaks:
        lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
    return lines, ending


def _level(record: bytes, width: int) -> bytes:
    cells = record.split(b",")[:width]
    return b",".join(cells + [b""] * (width - len(cells)))


def _cut(records: List[bytes], indexes: Sequence[int], width: int) -> List[bytes]:
    if list(indexes) == list(range(width)):
        return records
    if not indexes:
        return [b""] * len(records)
    first, last = indexes[0], indexes[-1]
    if list(indexes) == list(range(first, last + 1)):
        # Neighbours stay in one piece: by-fields come first and aggregates after them, so this is the common case.
        left = records if first == 0 else [record.split(b",", first)[first] for record in records]
        right = width - 1 - last
        return left if right == 0 else [record.rsplit(b",", right)[0] for record in left]
    splits = last + 1  # what lies to the right of the last cell asked for need not be split
    pick = itemgetter(*indexes)
    return [b",".join(pick(record.split(b",", splits))) for record in records]


def _name(cell: bytes, restore: Optional[bytes]) -> str:
    raw = cell if restore is None else cell.translate(restore)
    text = raw.decode("utf-8", "replace")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def quoted(value: str) -> bytes:
    """Write one value as a CSV cell on one line."""
    text = " ".join(value.split())
    if '"' in text or "," in text:
        text = '"' + text.replace('"', '""') + '"'
    return text.encode("utf-8", "replace")
