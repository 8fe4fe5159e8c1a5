"""The answer to a bulk request, item by item: what was taken, what was there, whose fault the rest is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.delivery.sink import Refused, SendOutcome, SinkBusy, SinkRefused
from scorer.elastic_client.failures import ElasticBusy, Missing
from scorer.printable import printable
from scorer.wire.errors import DeliveryFailed, NonsenseReply, QScoreError, Unavailable

Positions = NDArray[np.intp]
_TAKEN = frozenset({200, 201})
CREATE = "index privileges create_doc and auto_configure on the stream of scores"
INSTALL = "Run `qscore elastic install`: it sets up the stream's template and pipeline."
#: Errors of an item that concern the whole stream, whatever the document.
_STREAM_FAULTS = {
    "index_not_found_exception": INSTALL,
    "resource_not_found_exception": "Remove the index or alias of that name, then run `qscore elastic install`.",
    "security_exception": f"Give the API key the {CREATE}; `qscore elastic install` makes such a key.",
    "validation_exception": "Raise the limit that it names, or delete indices.",
}
_CLOSED = "index_closed_exception"
_BLOCKED = "cluster_block_exception"


@dataclass(frozen=True)
class Item:
    """What became of one document."""

    status: int
    kind: str = ""
    reason: str = ""


class Ledger:
    """Counts each of ``rows`` once; a row is named by its position. ``fault``: why rows are left."""

    def __init__(self, rows: ScoredRows) -> None:
        self.rows = rows
        self.taken = 0
        self.already_there = 0
        self.refused: list[Refused] = []
        self.fault: DeliveryFailed | None = None
        self.uncertain = False
        #: Positions of rows that were refused with the fields that were copied onto them: to be sent without.
        self.burdened: list[int] = []
        self._left = np.ones(len(rows), np.bool_)
        self._there = np.zeros(len(rows), np.bool_)

    @property
    def left(self) -> Positions:
        """Positions of the rows that are not settled."""
        return np.flatnonzero(self._left)

    def account(self, at: int, item: Item, copied: bool = False) -> None:
        """Count what became of one row. ``copied``: it was sent with copied fields."""
        if item.status in _TAKEN:
            self.taken += 1
        elif item.status == 409:
            self.already_there += 1
            self._there[at] = True
        elif (fault := _item_fault(item)) is not None:
            self.fault = self.fault or fault
            self.uncertain = self.uncertain or item.status >= 500
            return
        elif item.status == 400 and copied:
            self.burdened.append(at)
            return
        else:
            self.refused.append(Refused(self.rows[at : at + 1], _reason(item), _logged(item)))
        self._left[at] = False

    def refuse(self, at: int, reason: str) -> None:
        self.refused.append(Refused(self.rows[at : at + 1], reason))
        self._left[at] = False

    def found(self, there: NDArray[np.bool_]) -> None:
        """Note which of the N rows, none of which is settled, the stream has already: ``there`` (N,), booleans."""
        self.already_there += int(there.sum())
        self._there |= there
        self._left &= ~there

    def there(self) -> ScoredRows:
        """Pick the rows that the stream had already."""
        return self.rows.where(self._there) if self._there.any() else NO_ROWS

    def outcome(self, fault: DeliveryFailed | None) -> SendOutcome:
        unsent = self.rows.where(self._left)
        return SendOutcome(self.taken, tuple(self.refused), unsent, self.already_there, fault if unsent else None)


def items(body: Any, ids: Sequence[str]) -> list[Item]:
    """Read the items of an answer that accounts for every id, in order. Raises NonsenseReply for any other."""
    raw = body.get("items") if isinstance(body, dict) else None
    if not isinstance(raw, list) or len(raw) != len(ids):
        _nonsense(f"{len(raw) if isinstance(raw, list) else 'no'} items for {len(ids)} documents")
    return [_item(entry, one) for entry, one in zip(raw, ids, strict=True)]


def _item(entry: Any, identity: str) -> Item:
    answer = entry.get("create") if isinstance(entry, dict) else None
    if not isinstance(answer, dict) or answer.get("_id") != identity or not isinstance(answer.get("status"), int):
        _nonsense("an item without the id and the status of its document")
    error = answer.get("error")
    if not isinstance(error, dict):
        return Item(answer["status"])
    cause = error.get("caused_by")
    words = [error.get("reason"), cause.get("reason") if isinstance(cause, dict) else None]
    reason = "; ".join(printable(word) for word in words if isinstance(word, str))
    return Item(answer["status"], str(error.get("type"))[:100], reason)


def _nonsense(what: str) -> NoReturn:
    raise NonsenseReply(f"the answer to a bulk request has {what}", "Set elastic.url to Elasticsearch itself.")


def _item_fault(item: Item) -> DeliveryFailed | None:
    """Say what is wrong with the stream or the cluster, not with the document; None where it is the document."""
    detail = f"Elasticsearch did not take a document: {_reason(item)}"
    if item.kind == _BLOCKED:
        return SinkBusy(detail, "Free disk space on the cluster, or lift the block; rows are kept and sent again.")
    if item.kind == _CLOSED:
        return SinkBusy(detail, "Open the index again, or roll the stream over; rows are kept and sent again.")
    if item.status == 429 or item.status >= 500:
        return SinkBusy(detail, "Rows are kept and sent again.")
    if item.kind in _STREAM_FAULTS:
        return SinkRefused(detail, _STREAM_FAULTS[item.kind])
    if item.status in (401, 403):
        return SinkRefused(detail, _STREAM_FAULTS["security_exception"])
    if item.kind == "illegal_argument_exception" and "pipeline with id" in item.reason:
        return SinkRefused(detail, INSTALL)
    return None


def fault_of(error: QScoreError) -> DeliveryFailed:
    """Tell the fault of a whole request as a sink does: what a repetition may mend is busy, anything else refused."""
    if isinstance(error, Unavailable):
        busy = SinkBusy(error.detail, error.remedy)
        busy.retry_after = error.retry_after if isinstance(error, ElasticBusy) else None
        return busy
    if isinstance(error, Missing):
        return SinkRefused(error.detail, INSTALL)
    return SinkRefused(error.detail, error.remedy)


def _logged(item: Item) -> str:
    """Say what is wrong without Elasticsearch's own words: they quote the value that did not fit."""
    return f"Elasticsearch refused a document ({item.kind or 'no type'}, status {item.status}); see `qscore dead list`"


def _reason(item: Item) -> str:
    return f"{item.reason or 'no reason given'} ({item.kind or 'no type'}, status {item.status})"
