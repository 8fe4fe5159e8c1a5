"""Pages of rows onto the queue, as bodies in Arrow; and back from it, what became of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from elastic_connector.lead.ledger import Batch
from elastic_connector.read.pages import RowPage
from scorer.rows.columns import DEFECT_COLUMN
from scorer.rows.defects import LONGEST_STATUS, Defect
from scorer.rows.identity import Writer
from scorer.service.queue.closing.draining import DrainMark
from scorer.service.queue.closing.passing import Openings
from scorer.service.queue.closing.switches import SwitchBoard
from scorer.service.queue.exchange import BatchOutcome, Exchange
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import QUEUE_DELIVER
from scorer.service.queue.submit import Admission, Submitter
from scorer.service.settings import Settings
from scorer.wire.card import ModelCard
from scorer.wire.errors import MalformedBody, Problem, ScoringTimeout
from scorer.wire.names import MEDIA_ARROW, QUEUE_BULK
from scorer.wire.options import ScoreOptions

#: Nobody waits for the reply: what ends a batch is its acknowledgement, and an earlier leader's ends by its epoch. Long
#: enough that no clock of any machine matters.
_DEADLINE = 24 * 3600.0
#: A body that no worker fetched within this many seconds goes by itself; its batch is late long before.
_BODY_LIFE = 3600.0
SINK = "elastic"


@dataclass(frozen=True)
class StreamRoute:
    """On whose behalf batches are sent. ``epoch``: of the lease; ``namespace``: of the scores."""

    source: str
    model: str
    epoch: int
    namespace: str

    @property
    def stream(self) -> str:
        return f"{self.source}/{self.model}"

    @property
    def writer(self) -> Writer:
        """Return who writes the scores, as it enters their ids."""
        return Writer.connector(self.namespace, self.source)

    @property
    def submitter(self) -> str:
        """Return on whose acknowledgement list outcomes come: each leader has its own."""
        return f"elastic:{self.source}:{self.model}:{self.epoch}"


def new_batch(page: RowPage, server_now: float) -> Batch:
    """Make a batch of a page; ``server_now``: epoch seconds by the Elasticsearch server's clock."""
    first = 0.0 if page.repeated else server_now
    return Batch(uuid.uuid4().hex, packed(page.table) if page.rows else b"", page.rows, page.position, first)


def packed(table: pa.Table) -> bytes:
    """Write an Arrow stream, without compression: the worker refuses any."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def halves(batch: Batch, why: str) -> tuple[Batch, ...]:
    """Cut a batch that no worker can score in two, so that one row cannot hold back the others.

    A single row gets a status instead, with which it is written as an error. Raises MalformedBody for one that has a
    status and is refused all the same.
    """
    table = pa.ipc.open_stream(batch.body).read_all()
    if batch.rows == 1:
        if DEFECT_COLUMN in table.column_names:
            if table.column(DEFECT_COLUMN)[0].as_py():
                raise MalformedBody(
                    f"batch {batch.batch_id} is refused even as an error: {why}", "See the worker's log."
                )
            table = table.drop_columns([DEFECT_COLUMN])
        marked = table.append_column(DEFECT_COLUMN, pa.array([str(Defect("not_scored", why))[:LONGEST_STATUS]]))
        return (Batch(uuid.uuid4().hex, packed(marked), 1, batch.position, batch.first_submitted),)
    middle = batch.rows // 2
    cut = ((table.slice(0, middle), None), (table.slice(middle), batch.position))
    return tuple(
        Batch(uuid.uuid4().hex, packed(part), part.num_rows, position, batch.first_submitted) for part, position in cut
    )


def in_place_of(batch: Batch, problem: Problem) -> tuple[Batch, ...]:
    """Return what is sent in place of a batch that no worker scored; none where it comes again as it is.

    A batch that took longer than a task may would take as long the next time: it is cut too. A single row gets no blame
    for that, because the worker may have been busy.
    """
    if problem.code == ScoringTimeout.code:
        return halves(batch, problem.detail) if batch.rows > 1 else ()
    return () if problem.retryable else halves(batch, problem.detail)


@dataclass(frozen=True)
class Sender:
    """Puts batches of one leader on the queue. Raises Unavailable, and QueueFull as backpressure.

    ``most_waiting``: messages on the queue, and deliveries, from which on no more batches are added, so that searches
    keep their room.
    """

    exchange: Exchange
    submitter: Submitter
    queue: str
    card: ModelCard
    route: StreamRoute
    most_waiting: int
    openings: Openings | None = None  # None: nothing is ever closed
    wall: Callable[[], float] = time.time

    def announce(self) -> int:
        """Tell workers who leads: what earlier leaders left on the queue is dropped. Returns the number that is in
        force, which is above ours where another leader came after us, or where the lease began to count anew."""
        return self.exchange.raise_epoch(self.route.stream, self.route.epoch)

    def busy(self) -> bool:
        """Tell whether messages wait for a worker."""
        waiting = self.exchange.state().waiting
        return waiting[self.queue] + waiting[QUEUE_DELIVER] > 0

    def send(self, batch: Batch) -> None:
        """Put a batch on the queue; once more under the same id is harmless.

        Raises Draining or Disabled where operators have closed the way: the batch stays here, and the checkpoint.
        """
        if self.openings is not None:
            self.openings.check(self.card.name)
        remedy = "Add workers; nothing is lost meanwhile."
        admission = Admission((self.queue, QUEUE_DELIVER), self.most_waiting, alive=False, remedy=remedy)
        self.submitter.put(self._job(batch), self.queue, batch.body, _BODY_LIFE, admission)

    def outcomes(self) -> list[BatchOutcome]:
        """Return what has become of batches since the last call; never waits."""
        return self.exchange.take_outcomes(self.route.submitter)

    def wait_outcome(self, seconds: float) -> BatchOutcome | None:
        """Wait for the next outcome; None after so many seconds."""
        return self.exchange.wait_outcome(self.route.submitter, seconds)

    def _job(self, batch: Batch) -> ScoreJob:
        now, writer = self.wall(), self.route.writer
        return ScoreJob(
            batch_id=batch.batch_id,
            model=self.card.name,
            options=ScoreOptions(version=self.card.version, write=True),
            rows=batch.rows,
            media_type=MEDIA_ARROW,
            deadline=now + _DEADLINE,
            submitted=now,
            submitter=self.route.submitter,
            sink=SINK,
            namespace=self.route.namespace,
            stream=self.route.stream,
            epoch=self.route.epoch,
            first_submitted=batch.first_submitted,
            writer=writer.namespace,
            source=writer.source,
        )


@dataclass(frozen=True)
class Queues:
    """The queue for batches of documents, shared by all sources of a process."""

    exchange: Exchange
    submitter: Submitter
    most_waiting: int
    openings: Openings | None = None

    @classmethod
    def of(cls, settings: Settings, exchange: Exchange) -> Queues:
        openings = Openings(DrainMark(settings.drain_mark), SwitchBoard(settings.switches, exchange.client))
        return cls(
            exchange, Submitter.of(settings, exchange.client), max(1, settings.gateway.max_waiting // 2), openings
        )

    def sender(self, card: ModelCard, route: StreamRoute) -> Sender:
        """Make the sender for one model under one leader; a model that one lane alone can score goes there."""
        queue = self.submitter.lanes.queue_of(card, QUEUE_BULK)
        return Sender(self.exchange, self.submitter, queue, card, route, self.most_waiting, self.openings)
