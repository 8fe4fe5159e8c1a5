"""Batches in the order in which they were read, acknowledgements in any order. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scorer.elastic_client.moments import Millis
from scorer.rows.acknowledgement import Acknowledgement

#: A batch that is late again and again is sent again ever more rarely; this many times ``late_seconds`` at most.
_LONGEST_FACTOR = 10
#: And this much more rarely while messages wait on the queue.
_BUSY_FACTOR = 3


@dataclass(frozen=True)
class Batch:
    """Rows that are, or wait to be, on the queue. ``position``: see `RowPage`. ``first_submitted``: seconds by the
    Elasticsearch server's clock at which any of its rows may have been sent first; 0: unknown."""

    batch_id: str
    body: bytes = field(repr=False)
    rows: int
    position: Millis | None
    first_submitted: float


@dataclass
class _Entry:
    batch: Batch
    sent: float | None = None
    tries: int = 0
    done: bool = False


@dataclass
class Totals:
    """What became of the rows of one leader so far, each batch counted once."""

    batches: int = 0
    rows: int = 0
    written: int = 0
    already_there: int = 0
    dead: int = 0
    retries: int = 0
    refused: int = 0  # batches that no worker could score
    repeated_acks: int = 0


@dataclass
class Ledger:
    """``late_after``: seconds after which a batch without acknowledgement is sent again, under the same id."""

    late_after: float
    totals: Totals = field(default_factory=Totals)
    checkpoint: Millis | None = None
    _entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)

    @property
    def rows_in_flight(self) -> int:
        return sum(entry.batch.rows for entry in self._entries.values() if not entry.done)

    @property
    def bytes_in_flight(self) -> int:
        return sum(len(entry.batch.body) for entry in self._entries.values() if not entry.done)

    @property
    def empty(self) -> bool:
        """Tell whether every batch has been acknowledged."""
        return not self._entries

    def add(self, batch: Batch) -> None:
        """Note a batch that is about to be sent; without rows it is done at once. Raises ValueError if it is known."""
        if batch.batch_id in self._entries:
            raise ValueError(f"batch {batch.batch_id} is in the ledger already")
        self._entries[batch.batch_id] = _Entry(batch, done=batch.rows == 0)
        self.totals.batches += batch.rows > 0
        self.totals.rows += batch.rows
        self._advance()

    def sent(self, batch_id: str, now: float) -> None:
        """Note that a batch is on the queue; ``now`` is a monotonic clock's, as everywhere here."""
        entry = self._entries.get(batch_id)
        if entry is not None:
            self.totals.retries += entry.tries > 0
            entry.sent, entry.tries = now, entry.tries + 1

    def acknowledge(self, ack: Acknowledgement) -> bool:
        """Take one acknowledgement; False when its batch is unknown or was acknowledged before."""
        entry = self._entries.get(ack.batch_id)
        if entry is None or entry.done:
            self.totals.repeated_acks += 1
            return False
        entry.done = True
        self.totals.written += ack.written
        self.totals.already_there += ack.already_there
        self.totals.dead += ack.dead
        self._advance()
        return True

    def due(self, now: float, busy: bool = False) -> Iterator[Batch]:
        """Yield batches to send: never sent, or late. A refused send leaves its batch here for the next call.

        ``busy``: messages wait on the queue, so that a late batch is probably among them.
        """
        patience = _BUSY_FACTOR if busy else 1
        for entry in list(self._entries.values()):
            if not entry.done and (entry.sent is None or now - entry.sent >= patience * self._patience(entry)):
                yield entry.batch

    def split(self, batch_id: str, parts: Sequence[Batch]) -> None:
        """Put ``parts``, which together hold the same rows, into a batch's place; the last takes over its position."""
        entries = list(self._entries.values())
        self._entries.clear()
        for entry in entries:
            for batch in parts if entry.batch.batch_id == batch_id else (entry.batch,):
                kept = entry if batch is entry.batch else _Entry(batch)
                self._entries[batch.batch_id] = kept

    def batch(self, batch_id: str) -> Batch | None:
        """Return the batch of this id that is not acknowledged yet."""
        entry = self._entries.get(batch_id)
        return None if entry is None or entry.done else entry.batch

    def unsent(self) -> Iterator[Batch]:
        """Yield batches that have never reached the queue, in order."""
        yield from [entry.batch for entry in self._entries.values() if not entry.done and entry.sent is None]

    def oldest_position(self) -> Millis | None:
        """Return where the first unacknowledged batch ends; None when there is none or it has no position."""
        return next((entry.batch.position for entry in self._entries.values() if not entry.done), None)

    def _patience(self, entry: _Entry) -> float:
        return self.late_after * min(_LONGEST_FACTOR, max(1, entry.tries))

    def _advance(self) -> None:
        """Move the checkpoint over the batches from the oldest on that are all done."""
        while self._entries:
            entry = next(iter(self._entries.values()))
            if not entry.done:
                return
            self._entries.popitem(last=False)
            position = entry.batch.position
            if position is not None and (self.checkpoint is None or position > self.checkpoint):
                self.checkpoint = position
