"""Reading a source round after round: from its position up to what is settled, a page at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from elastic_connector.read.pages import RowPage, RowReader
from scorer.elastic_client.moments import Millis


@dataclass
class Rounds:
    """Where the reading of one source stands.

    ``upper``: the moment up to which documents are settled. ``resumes``: whether what an earlier leader may have missed
    before ``position`` comes first. ``poll``: seconds from the beginning of one round to that of the next.
    """

    reader: RowReader
    position: Millis
    upper: Callable[[], Millis]
    resumes: bool
    poll: float
    ticks: Callable[[], float] = time.monotonic
    #: Whether nothing was left to read when the last round ended.
    caught_up: bool = False
    _pages: Iterator[RowPage] | None = field(default=None, repr=False)
    _next_at: float = float("-inf")

    def wait(self) -> float:
        """Return the seconds until the next page may be asked for; 0 within a round."""
        return 0.0 if self._pages is not None else max(0.0, self._next_at - self.ticks())

    def next_page(self) -> RowPage | None:
        """Read the next page; None at the end of a round. What fails ends the round; what was given stays."""
        if self._pages is None:
            self._next_at = self.ticks() + self.poll
            self._pages = self._round(self.upper())
        try:
            page = next(self._pages, None)
        except BaseException:
            self._pages = None  # a generator that raised is over
            raise
        if page is None:
            self._pages = None
        elif page.position is not None:
            self.position = max(self.position, page.position)
        self.caught_up = page is None
        return page

    def _round(self, upper: Millis) -> Iterator[RowPage]:
        if self.resumes:
            yield from self.reader.resume(self.position)
            self.resumes = False
        yield from self.reader.round(self.position, upper)
