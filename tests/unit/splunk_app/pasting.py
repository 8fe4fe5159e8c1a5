"""A chunk with its scores, as the command writes it piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

from splunk_app.request import assemble, paste_rows
from splunk_app.table import ChunkTable


def paste(table: ChunkTable, lines: Sequence[bytes]) -> bytes:
    """The whole chunk with one line of scores on each row."""
    return assemble(table, [paste_rows(table, 0, len(table), lines)])
