"""What every reader hands to the runner: pages of rows, and how far the source has been read with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from scorer.elastic_client.moments import Millis

#: Problems of the model or its files, which other batches would have too: they wait until somebody mends it.
OF_THE_MODEL = ("unknown_model", "artifact_rejected", "configuration", "disabled")


@dataclass(frozen=True)
class RowPage:
    """Rows to be scored together.

    ``table``: a pyarrow table of the model's inputs, the context and the edge columns, at most 50,000 rows; may be
    empty. ``position``: the moment of arrival up to which everything has been handed out with this page or before it;
    None: the page says nothing about that (a late document, a window counted anew). ``repeated``: whether somebody may
    have sent some of these rows before, so that the sink must look them up. ``documents`` and ``bytes``: what was read
    for the page.
    """

    table: Any
    position: Millis | None
    repeated: bool = False
    documents: int = 0
    bytes: int = 0

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)


class RowReader(Protocol):
    """Reads one source for one version of one model."""

    @property
    def reopened(self) -> int:
        """Count points in time that were lost and opened again in the middle of a round."""
        ...

    def resume(self, checkpoint: Millis) -> Iterator[RowPage]:
        """Yield what may have been missed before a checkpoint; asked for once, before the first round of its leader."""
        ...

    def round(self, since: Millis, upper: Millis) -> Iterator[RowPage]:
        """Yield what arrived from ``since`` to before ``upper`` and has not been handed out by this reader yet."""
        ...

    def waiting(self, position: Millis) -> int | None:
        """Count how many documents arrived after ``position``; None where the reader does not count them."""
        ...

    def close(self) -> None:
        """Give back what the server holds for this reader."""
        ...
