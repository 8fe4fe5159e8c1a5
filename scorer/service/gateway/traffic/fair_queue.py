"""A fair queue between keys: the one that has had least is served next.

Start-time fair queueing (Goyal, Vin and Chen, 1996): an item's tag is where its key stands, or the queue's present time
where that is later; the smallest tag comes first, and its key moves on by the item's cost. Keys that ask for more than
there is get equal shares of cost, however many items each has waiting; a key that comes anew is next.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of many keys; for one thread at a time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Item]] = []
        self._number = itertools.count()
        self._stands: dict[str, float] = {}
        self._now = 0.0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, key: str, cost: float, item: Item) -> None:
        """Add an item of a key."""
        tag = max(self._now, self._stands.get(key, 0.0))
        self._stands[key] = tag + cost
        heapq.heappush(self._heap, (tag, next(self._number), item))

    def pop(self) -> Item:
        """Take the next item. Raises IndexError where there is none."""
        self._now, _, item = heapq.heappop(self._heap)
        if not self._heap:
            # Nobody waits: who comes next is not asked to make up for what others did not use.
            self._stands = {key: stands for key, stands in self._stands.items() if stands > self._now}
        return item

    def refund(self, key: str, cost: float) -> None:
        """Take back the cost of an item that was not served."""
        if key in self._stands:
            self._stands[key] -= cost
