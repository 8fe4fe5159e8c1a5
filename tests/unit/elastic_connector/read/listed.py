"""Documents of a source in memory, as Elasticsearch would hand them out: each searchable from a moment of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scorer.elastic_client.moments import Millis
from scorer.wire.errors import Unavailable

Hit = Mapping[str, Any]


@dataclass
class Listed:
    """``visible``: id -> from when on a document is searchable; others always were. ``now``: this moment.

    ``faults``: pages, counted from 1, in whose place the cluster is away. ``size``: of a page of documents; one of ids
    alone is ten times as long.
    """

    hits: Sequence[Hit]
    visible: Mapping[str, Millis] = field(default_factory=dict)
    now: Millis = Millis(0)  # noqa: RUF009  # an immutable number
    faults: set[int] = field(default_factory=set)
    size: int = 3
    pages: int = 0
    asked: int = 0  # documents that were looked at without their fields
    reopened: int = 0

    def between(self, low: Millis, high: Millis, whole: bool) -> Iterator[list[Hit]]:
        there = [hit for hit in self.hits if low <= hit["sort"][0] < high and self._seen(hit)]
        self.asked += 0 if whole else len(there)
        yield from self._paged(sorted(there, key=lambda hit: hit["sort"]), self.size if whole else 10 * self.size)

    def fetch(self, found: Sequence[Hit]) -> Iterator[list[Hit]]:
        yield from self._paged(found, self.size)

    def count(self, since: Millis) -> int:
        return sum(hit["sort"][0] >= since and self._seen(hit) for hit in self.hits)

    def learn(self, documents: int, size: int) -> None:
        """Pages stay as they are."""

    def _seen(self, hit: Hit) -> bool:
        return self.visible.get(hit["_id"], self.now) <= self.now

    def _paged(self, hits: Sequence[Hit], size: int) -> Iterator[list[Hit]]:
        for first in range(0, len(hits), size):
            self.pages += 1
            if self.pages in self.faults:
                raise Unavailable("the cluster is away", "Wait.")
            yield list(hits[first : first + size])
