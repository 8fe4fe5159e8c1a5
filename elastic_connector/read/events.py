"""Reads a source's documents in the order of their arrival: point in time and search_after, never twice, none left out.

What makes a document visible late (a slow refresh, a late bulk, a clock that is behind) is found by reading the last
minutes again, ids alone. What this process has handed out it remembers; what another handed out before, it looks up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from elastic_connector.read.documents import UNREADABLE, EventShaper, Hit
from elastic_connector.read.memory import Key, Memory
from elastic_connector.read.pages import RowPage
from elastic_connector.read.snapshot import Snapshots
from elastic_connector.read.source_documents import (
    ReadSettings,
    SourceDocuments,
    bare,
    bytes_of,
    key_of,
    moment_of,
)
from scorer.elastic_client.moments import Millis, later
from scorer.logs import get_log


class Documents(Protocol):
    """What `SourceDocuments` does for a reader."""

    @property
    def reopened(self) -> int: ...

    def between(self, low: Millis, high: Millis, whole: bool) -> Iterator[list[Hit]]: ...

    def fetch(self, found: Sequence[Hit]) -> Iterator[list[Hit]]: ...

    def count(self, since: Millis) -> int: ...

    def learn(self, documents: int, size: int) -> None: ...


class Shaper(Protocol):
    """What `EventShaper` does for a reader: one row for each hit, in order."""

    def table(self, hits: Sequence[Hit]) -> Any: ...


@dataclass
class EventReader:
    """Rows of grain "event" of one source.

    ``scored``: which of some documents have a score already. ``now``: the server's clock.
    ``repeated_until``: documents that arrived before this may have been sent by an earlier leader.
    """

    documents: Documents
    shaper: Shaper
    memory: Memory
    scored: Callable[[Sequence[Key]], set[Key]]
    now: Callable[[], Millis]
    repeated_until: Millis
    clock: Callable[[], float] = time.monotonic

    @property
    def reopened(self) -> int:
        """Count points in time that were lost and opened again."""
        return self.documents.reopened

    def resume(self, checkpoint: Millis) -> Iterator[RowPage]:
        """Yield documents of the last overlaps up to ``checkpoint`` that have no score: an earlier leader may have died
        between finding a late document and having its score confirmed.
        """
        low = Millis(max(0, later(checkpoint, -2 * self.memory.overlap)))
        self.memory.begin(low)
        for hits in self.documents.between(low, Millis(checkpoint + 1), whole=False):
            there = self.scored([key_of(hit) for hit in hits])
            yield from self._fetched([hit for hit in hits if key_of(hit) not in there])
            self._remember(hits)

    def round(self, since: Millis, upper: Millis) -> Iterator[RowPage]:
        """Yield what a `RowReader` yields; late documents come first."""
        yield from self._late(since)
        for hits in self.documents.between(since, upper, whole=True):
            page = self._page(self._unknown(hits), moment_of(hits[-1]))
            self._remember(hits)  # not before the page is made: what fails is read again
            yield page

    def waiting(self, position: Millis) -> int:
        """Count documents that have not been read yet."""
        return self.documents.count(Millis(position + 1))

    def close(self) -> None:
        """Do nothing: points in time are closed at the end of each round."""

    def _late(self, since: Millis) -> Iterator[RowPage]:
        """Yield documents before ``since`` that were not there when their time was read."""
        now = self.clock()
        low = self.memory.look_back(since, now)
        if low is None:
            return
        for hits in self.documents.between(low, since, whole=False):
            missed = self._unknown(hits)
            if missed:
                get_log().info("late_documents", documents=len(missed))
                yield from self._fetched(missed)
        self.memory.looked_back(low, since, now)

    def _fetched(self, found: Sequence[Hit]) -> Iterator[RowPage]:
        for hits in self.documents.fetch(found):
            page = self._page(hits, None)
            self._remember(hits)  # page by page: what fails after this one does not bring it again
            yield page

    def _page(self, hits: Sequence[Hit], position: Millis | None) -> RowPage:
        size = sum(map(bytes_of, hits))
        self.documents.learn(len(hits), size)
        repeated = position is None or not hits or moment_of(hits[0]) < self.repeated_until
        return RowPage(self._table(hits), position, repeated, len(hits), size)

    def _table(self, hits: Sequence[Hit]) -> Any:
        """Make the rows of a page. A document that makes none is written as an error, and holds up no other."""
        try:
            return self.shaper.table(hits)
        except Exception:  # whatever a document did to it
            get_log().exception("documents_unreadable", index=hits[0]["_index"], id=hits[0]["_id"], documents=len(hits))
            return self.shaper.table([hit if self._readable(hit) else bare(hit, UNREADABLE) for hit in hits])

    def _readable(self, hit: Hit) -> bool:
        try:
            self.shaper.table([hit])
        except Exception:
            return False
        return True

    def _unknown(self, hits: Sequence[Hit]) -> list[Hit]:
        return [hit for hit in hits if not self.memory.knows(key_of(hit), moment_of(hit))]

    def _remember(self, hits: Sequence[Hit]) -> None:
        self.memory.remember([(key_of(hit), moment_of(hit)) for hit in hits], self.now())


def event_reader(
    snapshots: Snapshots,
    shaper: EventShaper,
    settings: ReadSettings,
    scored: Callable[[Sequence[Key]], set[Key]],
    now: Callable[[], Millis],
    repeated_until: Millis,
    clock: Callable[[], float] = time.monotonic,
) -> EventReader:
    """Make the reader of one source of a cluster; see `EventReader`."""
    documents = SourceDocuments(snapshots, settings, shaper.includes)
    memory = Memory(settings.overlap, settings.settle)
    return EventReader(documents, shaper, memory, scored, now, repeated_until, clock)
