"""The task that scores: a job becomes its reply and rows to write (`score_job`, without a queue); the worker around it
takes bodies from the queue, and puts replies and rows back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.delivery.stored_rows import stored
from scorer.elastic_client.names import ELASTIC
from scorer.engine.backends.table import NoSimulator
from scorer.logs import get_log
from scorer.models.reasons import NOT_EXPLAINED
from scorer.rows.acknowledgement import Acknowledgement
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.defects import Defect
from scorer.rows.identity import Writer
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.service.access.disclosure import disclosed
from scorer.service.queue.closing.passing import passed_reply
from scorer.service.queue.closing.switches import SwitchBoard, Switches
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.lanes import TASK_SCORE
from scorer.service.queue.submit import Submitter
from scorer.service.worker.lost import answer
from scorer.service.worker.memory import out_of_memory
from scorer.service.worker.messages import run_job
from scorer.service.worker.model_cache import HeldModel, ModelCache
from scorer.wire.errors import ConfigurationError, Problem, QScoreError, ScoringTimeout
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_PROBLEMS,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_VERSION,
    HEADER_WORKER_RELEASE,
)
from scorer.wire.release import RELEASE

#: Deaths of its workers after which a batch counts as their cause.
MAX_RUNS = 3
#: Rows in one delivery task: about 1.5 MB of events, a few posts.
ROWS_PER_DELIVERY = 2_000
_NOT_WRITTEN = Defect(
    "bad_context",
    "scored but not written, because the row has no usable _time, or neither origin_id nor user, src or dest",
)


@dataclass(frozen=True)
class Scored:
    """``rows``: what is to be written, in row order; empty unless the job asked for writing. ``unexplained``: rows
    that were to get a reason, for which there was no time."""

    reply: WorkerReply
    rows: ScoredRows
    version: str
    scored: int
    unexplained: int = 0


def score_job(
    job: ScoreJob,
    body: bytes,
    held: HeldModel,
    reason_seconds: float | None = None,
    configured_sink: str = "",
    task_seconds: float | None = None,
) -> Scored:
    """Score one body; reasons end ``reason_seconds`` from now, and at half of what its caller will still wait.

    ``configured_sink``: where rows go for which the job names no sink. ``task_seconds``: what scoring may take.

    Raises MalformedBody, RowCountMismatch and the other errors of bad input.
    """
    until = _reasons_until(job, reason_seconds)
    batch = decode(
        body,
        job.media_type,
        job.rows,
        held.model,
        model_name=job.model,
        batch_id=job.batch_id,
        write=job.options.write,
    )
    scores = score(held.model, held.version, batch, job.options, until, task_seconds)
    rows = NO_ROWS
    if job.options.write:
        rows, scores = _rows_to_write(batch, scores, held, _facts(job, held, configured_sink), job.by)
    counts = _problem_counts(scores)
    scored = job.rows - sum(counts.values()) + counts.get("bad_context", 0)
    headers = {
        HEADER_BATCH: job.batch_id,
        HEADER_MODEL: job.model,
        HEADER_VERSION: held.version,
        HEADER_ROWS: str(job.rows),
        HEADER_SCORED: str(scored),
        HEADER_PROBLEMS: json.dumps(counts),
        HEADER_WORKER_RELEASE: RELEASE,
    }
    lines = encode_reply(scores) if job.reply_key is not None else b""  # nobody waits for them
    return Scored(WorkerReply(lines, headers), rows, held.version, scored, scores.reason.count(NOT_EXPLAINED))


def _reasons_until(job: ScoreJob, seconds: float | None) -> float | None:
    """Say when reasons end, by ``time.monotonic()``: what decoding and scoring take is taken from the reasons."""
    return None if seconds is None else time.monotonic() + min(seconds, 0.5 * (job.deadline - time.time()))


def _facts(job: ScoreJob, held: HeldModel, configured_sink: str) -> ScoringFacts | None:
    """Gather what documents say beside the score; events of other sinks leave it out.

    Rows that could not be scored become documents where a connector sent them; whoever waits for a reply sees them. A
    connector's row that may have been sent before, 0.1.0 may have written.
    """
    if (job.sink or configured_sink) != ELASTIC:
        return None
    return ScoringFacts(
        errors=job.sink == ELASTIC,
        old_ids=bool(job.writer and job.stream and not job.first_submitted),
        threshold=job.options.threshold,
        sha256=held.sha256,
        scored=time.time(),
        submitted=job.submitted,
    )


def _rows_to_write(
    batch: FeatureBatch, scores: ScoreBatch, held: HeldModel, facts: ScoringFacts | None, writer: Writer | None
) -> tuple[ScoredRows, ScoreBatch]:
    """Make the rows for the sink, and mark in the scores those that cannot be written."""
    rows, skipped = scored_rows(batch, scores, held.card, facts, writer)
    if skipped:
        scores = dataclasses.replace(scores, defects=dict.fromkeys(skipped, _NOT_WRITTEN) | dict(scores.defects))
    return rows, scores


def _problem_counts(scores: ScoreBatch) -> dict[str, int]:
    """Count rows by status code, for every code but ok."""
    return dict(Counter(defect.code for _, defect in sorted(scores.defects.items())))


@dataclass(frozen=True)
class ScoringWorker:
    """Runs scoring jobs. ``submitter`` puts rows to write on their queue. ``reason_seconds``: after how many a batch's
    reasons end; None: when they are done. ``sink``: the configured one, for jobs that name none. ``durable``: where
    submitters hear of their rows and streams have leaders; None: ``exchange``, on which bodies and replies are.
    ``task_seconds``: hard limit of a task. ``switches``: which models are disabled; None: none is."""

    exchange: Exchange
    models: ModelCache
    submitter: Submitter
    reason_seconds: float | None = None
    sink: str = ""
    durable: Exchange | None = None
    task_seconds: float | None = None
    switches: SwitchBoard | None = None

    @property
    def streams(self) -> Exchange:
        return self.durable or self.exchange

    def run(self, raw: dict[str, Any]) -> None:
        """Run one message, whatever it holds: answer its caller, or drop it when the caller has gone."""
        job = ScoreJob.from_kwargs(raw)
        started = time.perf_counter()
        log = get_log().bind(batch_id=job.batch_id, model=job.model, rows=job.rows)
        if job.expired():
            log.warning("dropped", why="its caller has stopped waiting")
            self.exchange.drop(job.body_key)
            return
        if self.streams.superseded(job):
            log.warning("dropped", why="an earlier leader of its stream sent it", stream=job.stream, epoch=job.epoch)
            self.exchange.drop(job.body_key)
            return
        reply = self._guarded(job, log)
        answer(self.exchange, self.streams, job, reply)
        log.info("answered", seconds=round(time.perf_counter() - started, 4), code=_code(reply))

    def _guarded(self, job: ScoreJob, log: Any) -> WorkerReply:
        """Make the reply to a job; every failure becomes a problem."""
        try:
            deaths, stored = self.exchange.begin(job)
            if deaths >= MAX_RUNS:
                raise _poisoned(job, deaths)
            return self._score(job, _body(job, stored))
        except SoftTimeLimitExceeded:
            error: QScoreError = ScoringTimeout(
                f"batch {job.batch_id} of {job.rows} rows took longer than a task may",
                "Send smaller batches, or raise worker.task_seconds.",
            )
        except QScoreError as raised:
            error = raised
        except MemoryError:
            log.warning("out_of_memory", version=job.options.version)
            error = out_of_memory(job.rows)
        except NoSimulator as raised:
            error = ConfigurationError(
                str(raised), "Put batches of this model onto the queue `qpu`, as the gateway does."
            )
        except Exception:
            log.exception("failed", version=job.options.version)
            error = QScoreError(
                f"the worker failed on batch {job.batch_id}", "Look for that batch_id in the worker's log."
            )
        return WorkerReply(problem=Problem.of(disclosed(error, self.models.roots)))

    def _score(self, job: ScoreJob, body: bytes) -> WorkerReply:
        if (closed := self._closed(job)) is not None:
            return closed
        held = self.models.get(job.model, job.options.version)
        scored = score_job(job, body, held, self.reason_seconds, self.sink, self.task_seconds)
        if scored.unexplained:
            get_log().warning("reasons_cut", batch_id=job.batch_id, model=job.model, rows=scored.unexplained)
        if job.options.write:
            self._enqueue_rows(job, scored)
        return scored.reply

    def _closed(self, job: ScoreJob) -> WorkerReply | None:
        """Answer a batch of a disabled model, which was queued before or saw no gateway; None where it is to be scored.

        Raises Disabled for one of a stream: its documents wait, and are no rows that somebody wants back.
        """
        switches = self.switches.now() if self.switches is not None else Switches()
        if not switches.stop(job.model):
            return None
        if job.stream:
            switches.check(job.model)
        if job.options.write and job.submitter:
            self.streams.report(job.submitter, BatchOutcome.of(Acknowledgement(job.batch_id, 0)))
        return passed_reply(job.model, job.options.version, job.rows, switches)

    def _enqueue_rows(self, job: ScoreJob, scored: Scored) -> None:
        """Queue rows before the reply leaves: an answered batch is one whose rows are safely on their way."""
        parts = range(0, len(scored.rows), ROWS_PER_DELIVERY)
        nothing = Acknowledgement(job.batch_id, 0)
        if not parts and job.submitter:
            self.streams.report(job.submitter, BatchOutcome.of(nothing))
        submission = _digest(job, scored.rows)
        for part, start in enumerate(parts):
            rows = scored.rows[start : start + ROWS_PER_DELIVERY]
            key = _rows_key(job, part, rows)
            told: dict[str, Any] = {"submitter": job.submitter, "submission": submission, **job.route_kwargs()}
            delivery = DeliveryJob(job.batch_id, key, part, len(parts), **told)
            self.submitter.put_rows(delivery, WaitingRows(stored(rows), nothing))


def register_scoring(app: Celery, make_worker: Callable[[], ScoringWorker], request: type) -> None:
    """Define qscore.score on ``app``. ``make_worker`` runs in each pool process when its first task arrives.

    ``request``: the class of its requests in the main process (``lost.answering``).
    """

    # A lost process: again at once. MAX_RUNS of the attempt counter is the bound that also covers a lost worker.
    again: dict[str, Any] = {"max_retries": MAX_RUNS, "default_retry_delay": 0, "Request": request}

    @app.task(name=TASK_SCORE, typing=False, shared=False, **again)  # type: ignore[untyped-decorator]
    def score_task(**message: Any) -> None:
        run_job(make_worker().run, message)


def _rows_key(job: ScoreJob, part: int, rows: ScoredRows) -> str:
    """Name the key of a part's rows: the digest tells apart what must not take each other's place.

    A batch that is repeated keeps its key. Another is given where a caller gives one batch id to different rows, so
    that the later ones do not take the place of those that still wait, and for each leader of a stream.
    """
    return f"qscore:rows:{job.batch_id}:{part}:{_digest(job, rows)}"


def _digest(job: ScoreJob, rows: ScoredRows) -> str:
    """Tell rows of one batch id apart by their own ids and by the stream's leader: 16 hexadecimal digits."""
    digest = hashlib.sha256("".join(rows.ids).encode())
    digest.update(b"%d" % job.epoch)
    return digest.hexdigest()[:16]


def _body(job: ScoreJob, stored: bytes | None) -> bytes:
    body = job.body if job.body_key is None else stored
    if body is None:
        raise ScoringTimeout(f"the body of batch {job.batch_id} is no longer on the queue", "Send the batch again.")
    return body


def _poisoned(job: ScoreJob, deaths: int) -> QScoreError:
    return QScoreError(
        f"batch {job.batch_id} ended its worker {deaths} times and is not tried again",
        "Look for that batch_id in the worker's log; send the rows in smaller batches to find the one that does it.",
    )


def _code(reply: WorkerReply) -> str:
    return "ok" if reply.problem is None else reply.problem.code
