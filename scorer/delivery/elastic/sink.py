"""Elasticsearch as a sink: bulk requests of ``create`` into a data stream, and every item accounted for.

    201                                   taken
    409                                   there already: the id is the score's own
    400 for a document with copied fields sent again without them, flagged: the score matters more
    400, 404, 413 and the like            the document's fault: refused, alone, with the item's own reason
    429, 5xx, blocks of a full disk       busy: try later, after Retry-After where it is given
    no template, no stream, no privilege  refused until somebody changes something

A data stream keeps ids apart within one backing index only. Rows that may have been written before are therefore
looked up in all of them first: when a backing index is younger than the first submission of the rows, when that is not
known, when an earlier run may have written some, and after every request whose outcome is not known. Before such a
look-up, requests that the cluster is still working on are waited for: they might be carried out after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch
from numpy.typing import NDArray

from scorer.delivery.elastic.conflicts import Conflicts, tell_conflicts
from scorer.delivery.elastic.document import document_lines
from scorer.delivery.elastic.items import CREATE, Item, Ledger, Positions, fault_of, items
from scorer.delivery.lines import Lines
from scorer.delivery.number_columns import iso_text
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome, SinkBusy, SinkRefused
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.failures import ElasticBusy, Missing, RefusedRequest, reached
from scorer.elastic_client.lookup import BackingIndex, backing_indices, existing_ids
from scorer.elastic_client.names import ELASTIC, SCORES_STREAM
from scorer.elastic_client.under_way import bulk_tasks
from scorer.logs import get_log
from scorer.wire.errors import DeliveryFailed, Forbidden, NonsenseReply, QScoreError, Unreachable

#: Seconds that the clocks of cluster and submitter may differ before a look-up is left out wrongly.
CLOCK_MARGIN = 5.0
#: Seconds after which one run sends no further request: its task has a limit.
SEND_SECONDS = 40.0
#: A field that the template makes a keyword; without the template it is text, or nothing.
_MARK = "qscore.model.version"
_LOOK = 0.1
#: Seconds that an earlier leader's requests have run at least when a later one's first rows arrive.
_AGE_OF_EARLIER = 1.0
_COPIES = "Run `qscore elastic doctor`: a name in `copy` of a source does not fit the mapping of the scores."


class ElasticSink:
    """Writes into ``logs-qscore.scores-<namespace>``. Requests hold at most so many documents and bytes."""

    def __init__(
        self,
        client: Elasticsearch,
        namespace: str = "default",
        bulk_documents: int = 1000,
        bulk_bytes: int = 3 << 20,
        under_way_seconds: float = 3.0,
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.bulk_documents = bulk_documents
        self.bulk_bytes = bulk_bytes
        #: How long a run waits for earlier requests; what is still under way then is the next run's to wait for.
        self.under_way_seconds = under_way_seconds
        #: Hears of ids under which something else came than what is written.
        self.on_conflict: Callable[[Conflicts], None] = lambda _found: None
        self.clock = ServerClock(client)
        self._checked = False

    @property
    def name(self) -> str:
        """With the namespace, so that a dead letter goes back where it came from."""
        return f"{ELASTIC}:{self.namespace}"

    @property
    def stream(self) -> str:
        return f"{SCORES_STREAM}-{self.namespace}"

    @property
    def tag(self) -> str:
        """Header value of every request of every process for this stream, by which it is known in the cluster."""
        return f"qscore-{self.stream}"

    def check_stream(self) -> None:
        """Look once a process: was the stream made from our template? Another one would map scores as anything.

        Raises SinkRefused where it was not.
        """
        if self._checked:
            return
        with reached(f"read the mapping of {self.stream}", "index privilege view_index_metadata on it"):
            body: Any = self.client.indices.get_field_mapping(index=self.stream, fields=_MARK).body
        if not _mapped(body):
            raise SinkRefused(
                f"{self.stream} was not made from qscore's template: it has no keyword {_MARK} in its newest index",
                "Run `qscore elastic install`, then roll the stream over (POST <stream>/_rollover) or delete it.",
            )
        self._checked = True

    def arrival(self) -> str:
        """Make ``event.ingested``, by which rules look: the cluster's time, ours only where it does not tell."""
        try:
            return iso_text(self.clock.now())
        except (Forbidden, Missing, RefusedRequest) as error:
            get_log().warning("clock_not_asked", reason=error.sentence())
            return iso_text(time.time())

    def session(self, since: float, repeated: bool, compared: bool = True) -> ElasticSession:
        return ElasticSession(self, since, repeated, compared)

    def send(self, rows: ScoredRows) -> SendOutcome:
        """Send rows of which nothing is known: they are looked up first."""
        return self.session(0.0, repeated=True).send(rows)


@dataclass
class ElasticSession:
    """One run of one delivery. ``uncertain``: rows may have been written, in which index is not known. ``compared``:
    rows that are there already are compared with what is there."""

    sink: ElasticSink
    since: float
    uncertain: bool
    compared: bool = True
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        return self.sink.name

    def send(self, rows: ScoredRows) -> SendOutcome:
        """Look up what may be there and create the rest. Raises nothing: a fault ends it and stands in the outcome."""
        ledger = Ledger(rows)
        until = self.clock() + SEND_SECONDS
        try:
            self._await_earlier()
            indices = backing_indices(self.sink.client, self.sink.stream)
            if indices:
                self.sink.check_stream()
            self._look_up(indices, ledger)
            # A stream that is not there yet is made by its first document, and looked at before more follow.
            for some in (ledger.left,) if indices else (ledger.left[:1], ledger.left[1:]):
                for request in self._requests(some, ledger.rows):
                    if self.clock() > until:
                        raise SinkBusy("the run's time is over", "The rest is sent in the next run.")
                    self._create(request, ledger)
                    self.sink.check_stream()
        except QScoreError as error:
            return ledger.outcome(error if isinstance(error, DeliveryFailed) else fault_of(error))
        finally:
            self._compare(ledger.there())
        return ledger.outcome(None)

    def _compare(self, there: ScoredRows) -> None:
        """Tell where a row says something else than what was written under its id, which stays."""
        if there and self.compared and (found := tell_conflicts(self.sink.client, self.sink.stream, there)):
            self.sink.on_conflict(found)

    def _await_earlier(self) -> None:
        """Wait until no request is under way that may hold these rows. Raises SinkBusy where that takes long."""
        if not self.uncertain and self.since > 0:
            return
        until = self.clock() + self.sink.under_way_seconds
        # Rows that an earlier leader may have sent: it has been gone for a while, and so has what it sent last. Younger
        # requests are other processes', which write at the same time.
        age = 0.0 if self.uncertain else _AGE_OF_EARLIER
        earlier = bulk_tasks(self.sink.client, self.sink.tag, age)
        while earlier:  # later ones are those of other rows
            if self.clock() > until:
                raise SinkBusy("a request whose answer was lost is still under way in the cluster", "It is waited for.")
            time.sleep(_LOOK)
            earlier &= bulk_tasks(self.sink.client, self.sink.tag)

    def _look_up(self, indices: Sequence[BackingIndex], ledger: Ledger) -> None:
        """Settle the rows that the stream has already, where it may have some."""
        if not self._may_be_there(indices):
            return
        ids, old = ledger.rows.ids, ledger.rows.old_ids
        known = existing_ids(self.sink.client, [index.name for index in indices], list(dict.fromkeys((*ids, *old))))
        self.uncertain = False
        ledger.found(np.array([one in known or other in known for one, other in zip(ids, old, strict=True)], np.bool_))

    def _may_be_there(self, indices: Sequence[BackingIndex]) -> bool:
        """Tell whether the stream may have rows."""
        # Rows sent for the first time are in the newest index or nowhere, if that is older than their submission.
        if self.uncertain or self.since <= 0:
            return bool(indices)
        return len(indices) > 1 and indices[-1].created > self.since - CLOCK_MARGIN

    def _requests(self, positions: Positions, rows: ScoredRows) -> Iterator[_Request]:
        """Make requests within the limits; shaped one after the other, so that memory stays flat."""
        pending, step = rows.where(_mask(positions, len(rows))), self.sink.bulk_documents
        for first in range(0, len(positions), step):
            some = pending[first : first + step]
            lines = document_lines(some, self.sink.namespace, self.sink.arrival())
            whole = _Request(positions[first : first + step], some, lines)
            for start, end in lines.within(self.sink.bulk_bytes):
                yield whole[start:end]

    def _create(self, request: _Request, ledger: Ledger) -> None:
        """Send one request; a body that is too large for the cluster, or for a proxy before it, is halved."""
        try:
            answers = self._bulk(request)
        except _TooLarge as error:
            if len(request) == 1:
                ledger.refuse(int(request.at[0]), error.sentence())
                return
            middle = len(request) // 2
            self._create(request[:middle], ledger)
            self._create(request[middle:], ledger)
            return
        for at, answer, copied in zip(request.at.tolist(), answers, request.copied(), strict=True):
            ledger.account(at, answer, copied)
        if ledger.fault is not None:
            self.uncertain = self.uncertain or ledger.uncertain
            raise ledger.fault
        self._create_bare(ledger)

    def _create_bare(self, ledger: Ledger) -> None:
        """Send what was refused with copied fields without them: a mapping of the user's may have no place for one."""
        burdened, ledger.burdened = np.array(ledger.burdened, np.intp), []
        if not len(burdened):
            return
        rows = ledger.rows.where(_mask(burdened, len(ledger.rows)))
        lines = document_lines(rows, self.sink.namespace, self.sink.arrival(), bare=True)
        get_log().warning("copied_fields_refused", stream=self.sink.stream, documents=len(rows), remedy=_COPIES)
        self._create(_Request(burdened, rows, lines, bare=True), ledger)

    def _bulk(self, request: _Request) -> list[Item]:
        try:
            with reached(f"write to {self.sink.stream}", CREATE):
                lines: Any = [request.lines.body()]  # ready-made; the client's types know objects alone
                body: Any = (
                    self.sink.client.options(opaque_id=self.sink.tag)
                    .bulk(
                        index=self.sink.stream,
                        operations=lines,
                        require_data_stream=True,
                        filter_path="errors,items.*._id,items.*.status,items.*.error.type,items.*.error.reason,"
                        "items.*.error.caused_by.reason",
                    )
                    .body
                )
            return items(body, request.rows.ids)
        except ElasticBusy as error:
            self.uncertain = self.uncertain or not error.certain
            raise
        except RefusedRequest as error:
            if error.status == 413:
                raise _TooLarge(error.detail) from None
            raise
        except (Unreachable, NonsenseReply):
            self.uncertain = True
            raise


@dataclass(frozen=True, eq=False)
class _Request:
    """Documents of one request. ``at``: the positions of their rows among all that are sent. ``bare``: without the
    copied fields."""

    at: Positions
    rows: ScoredRows
    lines: Lines
    bare: bool = False

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, some: slice) -> _Request:
        return _Request(self.at[some], self.rows[some], self.lines[some], self.bare)

    def copied(self) -> list[bool]:
        """Say of each document whether it carries copied fields."""
        return [False] * len(self) if self.bare else self.rows.filled("fields").tolist()


def _mask(positions: Positions, rows: int) -> NDArray[np.bool_]:
    mask = np.zeros(rows, np.bool_)
    mask[positions] = True
    return mask


class _TooLarge(Exception):
    def sentence(self) -> str:
        return f"{self} The document alone is larger than one request may be."


def _mapped(body: Any) -> bool:
    """Tell whether the newest of the indices maps the mark as it should."""
    if not isinstance(body, dict) or not body:
        return False
    try:
        newest = max(body, key=lambda name: name.rpartition("-")[2])
        return bool(body[newest]["mappings"][_MARK]["mapping"]["version"]["type"] == "keyword")
    except (KeyError, TypeError, AttributeError):
        return False
