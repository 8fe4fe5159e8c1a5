"""The two tasks: score a batch, deliver its rows. Thin: what they compute lies in scoring_task and delivery; how they
lie on Celery, in celery_tasks."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.deliver import DeliveryResult, deliver
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import RecallingSink, Sink
from scorer.delivery.stored_rows import read_rows, stored
from scorer.engine.backends.table import NoSimulator
from scorer.logs import get_log
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.submit import Submitter
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring_task import Scored, score_job
from scorer.service.worker.sinks import UnusableSink
from scorer.wire.errors import ConfigurationError, Problem, QScoreError, ScoringTimeout

#: Deaths of its workers after which a batch counts as their cause.
MAX_RUNS = 3
#: Rows in one delivery task: about 1.5 MB of events, a few posts.
ROWS_PER_DELIVERY = 2_000
#: Runs of one delivery task before what is left goes to the dead letters; about a minute and a half in all.
MAX_DELIVERY_RUNS = 6
#: The same for a batch of a connector, which holds its checkpoint meanwhile: about an hour.
MAX_STREAM_RUNS = 360
#: Runs for which a sink may refuse everything; a wrong key or template seldom mends itself within a minute.
MAX_REFUSED_RUNS = 2
#: Seconds after which rows that another worker holds are looked at again.
_CLAIMED_PAUSE = 5.0
#: Seconds by which a run may be overdue before its message counts as lost and another takes its place.
_OVERDUE = 30.0
_LONGEST_PAUSE = 10.0  # seconds between runs of a delivery
#: What a sink that names a pause (Retry-After) gets at most, in seconds: below the delivery lane's visibility timeout.
_LONGEST_ASKED_PAUSE = 90.0


@dataclass(frozen=True)
class ScoringWorker:
    """Runs scoring jobs. ``submitter`` puts rows to write on their queue. ``reason_seconds``: after how many a batch's
    reasons end; None: when they are done. ``sink``: the configured one, for jobs that name none."""

    exchange: Exchange
    models: ModelCache
    submitter: Submitter
    reason_seconds: float | None = None
    sink: str = ""

    def run(self, raw: dict[str, Any]) -> None:
        """Run one message, whatever it holds: answer its caller, or drop it when the caller has gone."""
        job = ScoreJob.from_kwargs(raw)
        started = time.perf_counter()
        log = get_log().bind(batch_id=job.batch_id, model=job.model, rows=job.rows)
        if job.expired():
            log.warning("dropped", why="its caller has stopped waiting")
            self.exchange.drop(job.body_key)
            return
        if _superseded(self.exchange, job):
            log.warning("dropped", why="an earlier leader of its stream sent it", stream=job.stream, epoch=job.epoch)
            self.exchange.drop(job.body_key)
            return
        reply = self._guarded(job, log)
        if reply.problem is not None and job.stream and job.submitter:
            self.exchange.report(job.submitter, BatchOutcome(job.batch_id, problem=reply.problem))
        self.exchange.finish(job, reply)
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
        except NoSimulator as raised:
            error = ConfigurationError(
                str(raised), "Put batches of this model onto the queue `qpu`, as the gateway does."
            )
        except Exception:
            log.exception("failed", version=job.options.version)
            error = QScoreError(
                f"the worker failed on batch {job.batch_id}", "Look for that batch_id in the worker's log."
            )
        return WorkerReply(problem=Problem.of(error))

    def _score(self, job: ScoreJob, body: bytes) -> WorkerReply:
        held = self.models.get(job.model, job.options.version)
        scored = score_job(job, body, held, self.reason_seconds, self.sink)
        if scored.unexplained:
            get_log().warning("reasons_cut", batch_id=job.batch_id, model=job.model, rows=scored.unexplained)
        if job.options.write:
            self._enqueue_rows(job, scored)
        return scored.reply

    def _enqueue_rows(self, job: ScoreJob, scored: Scored) -> None:
        """Queue rows before the reply leaves: an answered batch is one whose rows are safely on their way."""
        parts = range(0, len(scored.rows), ROWS_PER_DELIVERY)
        nothing = Acknowledgement(job.batch_id, 0)
        if not parts and job.submitter:
            self.exchange.report(job.submitter, BatchOutcome.of(nothing))
        submission = _digest(job, scored.rows)
        for part, start in enumerate(parts):
            rows = scored.rows[start : start + ROWS_PER_DELIVERY]
            key = _rows_key(job, part, rows)
            told: dict[str, Any] = {"submitter": job.submitter, "submission": submission, **job.route_kwargs()}
            delivery = DeliveryJob(job.batch_id, key, part, len(parts), **told)
            self.submitter.put_rows(delivery, WaitingRows(stored(rows), nothing))


@dataclass(frozen=True)
class DeliveryWorker:
    """Runs delivery jobs. ``sink_of``: where a job's rows go. ``submitter`` puts what is left on the queue again."""

    exchange: Exchange
    sink_of: Callable[[DeliveryJob], Sink]
    dead_letters: DeadLetters
    submitter: Submitter

    def run(self, raw: dict[str, Any]) -> None:
        """Run one message: its rows end in the sink or in the dead letters, or come again.

        Raises Unavailable where the queue's server fails: the message must then stay, or its rows wait for nobody.
        """
        job = DeliveryJob.from_kwargs(raw)
        log = get_log().bind(batch_id=job.batch_id, part=job.part)
        if _superseded(self.exchange, job):
            log.warning("dropped", why="an earlier leader of its stream sent it", stream=job.stream, epoch=job.epoch)
            self.exchange.drop(job.rows_key)
            return
        with self.exchange.claim(job.rows_key) as mine:
            if mine:
                self._run(job, log)
                return
        # Whoever holds the rows may die with them: this message stays until they are settled.
        log.info("held_by_another")
        self.submitter.put_back(job, _CLAIMED_PAUSE)

    def _run(self, job: DeliveryJob, log: Any) -> None:
        waiting = self.exchange.get_rows(job.rows_key)
        if waiting is None:
            log.info("already_settled")
            return
        if waiting.attempt > job.attempt and waiting.due > time.time() - _OVERDUE:
            log.info("another_run_is_due")
            return
        rows, tally = read_rows(waiting.rows), waiting.tally
        job = replace(job, attempt=max(job.attempt, waiting.attempt))
        sink = self.sink_of(job)
        log = log.bind(sink=sink.name)
        try:
            result = self._deliver(job, rows, sink)
        except Exception as error:  # the soft time limit among them: the message is gone once this returns
            log.exception("delivery_failed", attempt=job.attempt)
            result = self._undelivered(job, rows, sink, error)
        tally = _added(tally, result.ack)
        if result.unsent:
            self._again(job, result, tally)
            log.warning("delivery_delayed", unsent=len(result.unsent), attempt=job.attempt, reason=result.reason)
            return
        self.exchange.settle_part(job, tally)
        self.exchange.drop(job.rows_key)
        log.info("delivered", written=tally.written, already=tally.already_there, dead=tally.dead, reason=result.reason)

    def _deliver(self, job: DeliveryJob, rows: ScoredRows, sink: Sink) -> DeliveryResult:
        # A sink without usable settings gets none by itself: the dead letters are where its rows can be seen.
        final = _is_last(job) or isinstance(sink, UnusableSink)
        if isinstance(sink, RecallingSink):
            repeated = self.exchange.begun(job.rows_key) or job.attempt > 0
            sink = sink.session(job.first_submitted, repeated)
        refusal_final = job.attempt + 1 >= MAX_REFUSED_RUNS
        return deliver(rows, sink, self.dead_letters, final, batch_id=job.batch_id, refusal_final=refusal_final)

    def _undelivered(self, job: DeliveryJob, rows: ScoredRows, sink: Sink, error: Exception) -> DeliveryResult:
        """Settle rows of a run that broke off: all come again, or join the dead; which were taken is not known."""
        reason = f"the delivery broke off: {type(error).__name__}"
        nothing = Acknowledgement(job.batch_id, 0)
        if not _is_last(job):
            return DeliveryResult(nothing, rows, reason=reason)
        broken = UnusableSink(sink.name, QScoreError(reason, "Look for the batch_id in the delivery log."))
        return deliver(rows, broken, self.dead_letters, final=True, batch_id=job.batch_id)

    def _again(self, job: DeliveryJob, result: DeliveryResult, tally: Acknowledgement) -> None:
        again, pause = replace(job, attempt=job.attempt + 1), _pause(job.attempt, result.retry_after)
        waiting = WaitingRows(stored(result.unsent), tally, again.attempt, time.time() + pause)
        self.submitter.put_again(again, waiting, pause)


def _superseded(exchange: Exchange, job: ScoreJob | DeliveryJob) -> bool:
    """Tell whether the job's stream has a later leader, which reads and sends anew what this one may hold."""
    return bool(job.stream) and job.epoch < exchange.epoch(job.stream)


def _is_last(job: DeliveryJob) -> bool:
    return job.attempt + 1 >= (MAX_STREAM_RUNS if job.stream else MAX_DELIVERY_RUNS)


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


def _pause(attempt: int, asked: float | None) -> float:
    """Compute the seconds before a delivery's next run: what the sink asked for, else longer each time."""
    if asked is not None:
        return min(_LONGEST_ASKED_PAUSE, asked)
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt, 10))


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


def _added(one: Acknowledgement, other: Acknowledgement) -> Acknowledgement:
    return Acknowledgement(
        one.batch_id,
        one.written + other.written,
        one.already_there + other.already_there,
        one.dead + other.dead,
    )


def _code(reply: WorkerReply) -> str:
    return "ok" if reply.problem is None else reply.problem.code
