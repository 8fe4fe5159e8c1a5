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
from dataclasses import dataclass, field
from typing import Any

from elasticsearch import Elasticsearch

from scorer.delivery.elastic.document import encode, iso
from scorer.delivery.elastic.items import CREATE, INSTALL, Item, Ledger, items
from scorer.delivery.hec.event import by_bytes
from scorer.delivery.rows import ScoredRow
from scorer.delivery.sink import SendOutcome, SinkBusy, SinkRefused
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.failures import ElasticBusy, Missing, RefusedRequest, printable, reached
from scorer.elastic_client.lookup import BackingIndex, backing_indices, existing_ids
from scorer.elastic_client.names import ELASTIC, SCORES_STREAM
from scorer.elastic_client.under_way import bulk_tasks
from scorer.logs import get_log
from scorer.wire.errors import DeliveryFailed, Forbidden, NonsenseReply, QScoreError, Unavailable, Unreachable

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


@dataclass(frozen=True)
class ElasticSink:
    """Writes into ``logs-qscore.scores-<namespace>``. Requests hold at most so many documents and bytes."""

    client: Elasticsearch
    namespace: str = "default"
    bulk_documents: int = 1000
    bulk_bytes: int = 3 * 1024 * 1024
    #: How long a run waits for earlier requests; what is still under way then is the next run's to wait for.
    under_way_seconds: float = 3.0
    clock: ServerClock = field(init=False, repr=False)
    _checked: list[bool] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", ServerClock(self.client))

    @property
    def name(self) -> str:
        """With the namespace, so that a dead letter goes back where it came from."""
        return f"{ELASTIC}:{self.namespace}"

    @property
    def stream(self) -> str:
        return f"{SCORES_STREAM}-{self.namespace}"

    @property
    def tag(self) -> str:
        """What every request of every process for this stream carries, so that it is known in the cluster."""
        return f"qscore-{self.stream}"

    def check_stream(self) -> None:
        """Once a process: was the stream made from our template? Another one would map scores as anything."""
        if self._checked:
            return
        with reached(f"read the mapping of {self.stream}", "index privilege view_index_metadata on it"):
            body: Any = self.client.indices.get_field_mapping(index=self.stream, fields=_MARK).body
        if not _mapped(body):
            raise SinkRefused(
                f"{self.stream} was not made from qscore's template: it has no keyword {_MARK} in its newest index",
                "Run `qscore elastic install`, then roll the stream over (POST <stream>/_rollover) or delete it.",
            )
        self._checked.append(True)

    def arrival(self) -> str:
        """``event.ingested`` of what is sent now. Rules look by it, so it is the cluster's time; ours only where the
        cluster does not tell (no privilege ``monitor``)."""
        try:
            return iso(self.clock.now())
        except (Forbidden, Missing, RefusedRequest) as error:
            get_log().warning("clock_not_asked", reason=error.sentence())
            return iso(time.time())

    def session(self, since: float, repeated: bool) -> ElasticSession:
        return ElasticSession(self, since, repeated)

    def send(self, rows: Sequence[ScoredRow]) -> SendOutcome:
        """Rows of which nothing is known: they are looked up first."""
        return self.session(0.0, repeated=True).send(rows)


@dataclass
class ElasticSession:
    """One run of one delivery. ``uncertain``: rows may have been written, in which index is not known."""

    sink: ElasticSink
    since: float
    uncertain: bool
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        return self.sink.name

    def send(self, rows: Sequence[ScoredRow]) -> SendOutcome:
        """Look up what may be there, then create the rest, request by request, until all are settled or a fault."""
        ledger = Ledger()
        until = self.clock() + SEND_SECONDS
        pending = list(rows)
        try:
            self._await_earlier()
            indices = backing_indices(self.sink.client, self.sink.stream)
            if indices:
                self.sink.check_stream()
            pending = self._not_there(indices, pending, ledger)
            # A stream that is not there yet is made by its first document, and looked at before more follow.
            for some in (pending,) if indices else (pending[:1], pending[1:]):
                for batch, body in self._requests(some, ledger):
                    if self.clock() > until:
                        raise SinkBusy("the run's time is over", "The rest is sent in the next run.")
                    self._create(batch, body, ledger)
                    self.sink.check_stream()
        except QScoreError as error:
            return ledger.outcome(pending, error if isinstance(error, DeliveryFailed) else _fault(error))
        return ledger.outcome(pending, None)

    def _await_earlier(self) -> None:
        """Until no request is under way that may hold these rows. Raises SinkBusy where that takes long."""
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

    def _not_there(self, indices: Sequence[BackingIndex], rows: list[ScoredRow], ledger: Ledger) -> list[ScoredRow]:
        if not self._may_be_there(indices):
            return rows
        ids = list(dict.fromkeys(row["id"] for row in rows))
        known = existing_ids(self.sink.client, [index.name for index in indices], ids)
        self.uncertain = False
        ledger.already_there += sum(row["id"] in known for row in rows)
        return [row for row in rows if row["id"] not in known]

    def _may_be_there(self, indices: Sequence[BackingIndex]) -> bool:
        """Rows sent for the first time are in the newest index or nowhere, if that is older than their submission."""
        if self.uncertain or self.since <= 0:
            return bool(indices)
        return len(indices) > 1 and indices[-1].created > self.since - CLOCK_MARGIN

    def _requests(self, rows: Sequence[ScoredRow], ledger: Ledger) -> Iterator[tuple[Sequence[ScoredRow], list[bytes]]]:
        """Bodies within the limits; shaped one request at a time, so that memory stays flat."""
        step = self.sink.bulk_documents
        for first in range(0, len(rows), step):
            now = self.sink.arrival()
            shaped = [(row, body) for row in rows[first : first + step] if (body := self._shaped(row, ledger, now))]
            bodies = [body for _, body in shaped]
            for start, end in by_bytes(bodies, self.sink.bulk_bytes):
                yield [row for row, _ in shaped[start:end]], bodies[start:end]

    def _shaped(self, row: ScoredRow, ledger: Ledger, now: str, bare: bool = False) -> bytes | None:
        try:
            return encode(row, self.sink.namespace, now, bare)
        except (ValueError, TypeError, OverflowError, OSError) as error:
            ledger.refuse(row, f"the row makes no document: {printable(str(error))}")
            return None

    def _create(self, rows: Sequence[ScoredRow], bodies: Sequence[bytes], ledger: Ledger, bare: bool = False) -> None:
        """One request; a body that is too large for the cluster, or for a proxy before it, is halved."""
        try:
            answers = self._bulk(rows, bodies)
        except _TooLarge as error:
            if len(rows) == 1:
                ledger.refuse(rows[0], error.sentence())
                return
            middle = len(rows) // 2
            self._create(rows[:middle], bodies[:middle], ledger, bare)
            self._create(rows[middle:], bodies[middle:], ledger, bare)
            return
        for row, answer in zip(rows, answers, strict=True):
            ledger.account(row, answer, bare)
        if ledger.fault is not None:
            self.uncertain = self.uncertain or ledger.uncertain
            raise ledger.fault
        self._create_bare(ledger)

    def _create_bare(self, ledger: Ledger) -> None:
        """What was refused with copied fields, without them: a mapping of the user's may have no place for one."""
        burdened, ledger.burdened = ledger.burdened, []
        now = self.sink.arrival() if burdened else ""
        shaped = [(row, body) for row in burdened if (body := self._shaped(row, ledger, now, bare=True))]
        if shaped:
            get_log().warning("copied_fields_refused", stream=self.sink.stream, documents=len(shaped), remedy=_COPIES)
            self._create([row for row, _ in shaped], [body for _, body in shaped], ledger, bare=True)

    def _bulk(self, rows: Sequence[ScoredRow], bodies: Sequence[bytes]) -> list[Item]:
        try:
            with reached(f"write to {self.sink.stream}", CREATE):
                lines: Any = [b"".join(bodies)]  # ready-made; the client's types know objects alone
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
            return items(body, rows)
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


class _TooLarge(Exception):
    def sentence(self) -> str:
        return f"{self} The document alone is larger than one request may be."


def _fault(error: QScoreError) -> DeliveryFailed:
    """A fault of a whole request as a sink tells it: what a repetition may mend is busy, anything else refused."""
    if isinstance(error, Unavailable):
        busy = SinkBusy(error.detail, error.remedy)
        busy.retry_after = error.retry_after if isinstance(error, ElasticBusy) else None
        return busy
    if isinstance(error, Missing):
        return SinkRefused(error.detail, INSTALL)
    return SinkRefused(error.detail, error.remedy)


def _mapped(body: Any) -> bool:
    """Whether the newest of the indices maps the mark as it should."""
    if not isinstance(body, dict) or not body:
        return False
    try:
        newest = max(body, key=lambda name: name.rpartition("-")[2])
        return bool(body[newest]["mappings"][_MARK]["mapping"]["version"]["type"] == "keyword")
    except (KeyError, TypeError, AttributeError):
        return False
