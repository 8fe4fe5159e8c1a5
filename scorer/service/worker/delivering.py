"""The task that delivers: rows of a part go into their sink or the dead letters, or come again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from celery import Celery
from celery.exceptions import Reject

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.deliver import DeliveryResult, deliver
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import RecallingSink, Sink
from scorer.delivery.stored_rows import read_rows, stored
from scorer.logs import get_log
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.queue.lanes import TASK_DELIVER
from scorer.service.queue.submit import Submitter
from scorer.service.worker.messages import run_job
from scorer.service.worker.sinks import UnusableSink
from scorer.wire.errors import QScoreError

#: Runs of one delivery task before what is left goes to the dead letters; about a minute and a half in all.
MAX_DELIVERY_RUNS = 6
#: The same for a batch of a connector, which holds its checkpoint meanwhile: about an hour.
MAX_STREAM_RUNS = 360
#: Runs for which a sink may refuse everything; a wrong key or template seldom mends itself within a minute.
MAX_REFUSED_RUNS = 2
#: Runs in a row that may end without a word, with their process or worker, before the rows join the dead letters: it
#: may be they that end it.
MAX_BROKEN_RUNS = 10
#: Seconds after which rows that another worker holds are looked at again.
_CLAIMED_PAUSE = 5.0
#: Seconds by which a run may be overdue before its message counts as lost and another takes its place.
_OVERDUE = 30.0
_LONGEST_PAUSE = 10.0  # seconds between runs of a delivery
#: What a sink that names a pause (Retry-After) gets at most, in seconds.
_LONGEST_ASKED_PAUSE = 90.0
#: Seconds before a message goes back whose run failed, for want of the queue's server most often.
_FAILED_PAUSE = 1.0


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
        if self.exchange.superseded(job):
            log.warning("dropped", why="an earlier leader of its stream sent it", stream=job.stream, epoch=job.epoch)
            self.exchange.forget_rows(job.rows_key)
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
        broken = self.exchange.begun(job.rows_key)
        try:
            result = self._deliver(job, rows, sink, broken)
        except Exception as error:  # the soft time limit among them: the message is gone once this returns
            log.exception("delivery_failed", attempt=job.attempt)
            result = self._undelivered(job, rows, sink, error)
        tally = _added(tally, result.ack)
        if result.unsent:
            self._again(job, result, tally)
            log.warning("delivery_delayed", unsent=len(result.unsent), attempt=job.attempt, reason=result.reason)
            return
        self.exchange.settle_part(job, tally)
        self.exchange.forget_rows(job.rows_key)
        log.info("delivered", written=tally.written, already=tally.already_there, dead=tally.dead, reason=result.reason)

    def _deliver(self, job: DeliveryJob, rows: ScoredRows, sink: Sink, broken: int) -> DeliveryResult:
        """Send rows. ``broken``: runs of them before this one that came to no end."""
        if broken >= MAX_BROKEN_RUNS:
            sink = _broken_off(sink, f"{broken} runs of it ended with their process")
        # A sink without usable settings gets none by itself: the dead letters are where its rows can be seen.
        final = _is_last(job) or isinstance(sink, UnusableSink)
        if isinstance(sink, RecallingSink):
            repeated = broken > 0 or job.attempt > 0
            # What a connector sends twice says the same twice: nobody else can make its ids.
            sink = sink.session(job.first_submitted, repeated, compared=not job.stream)
        refusal_final = job.attempt + 1 >= MAX_REFUSED_RUNS
        return deliver(rows, sink, self.dead_letters, final, batch_id=job.batch_id, refusal_final=refusal_final)

    def _undelivered(self, job: DeliveryJob, rows: ScoredRows, sink: Sink, error: Exception) -> DeliveryResult:
        """Settle rows of a run that broke off: all come again, or join the dead; which were taken is not known."""
        broken = _broken_off(sink, type(error).__name__)
        if not _is_last(job):
            return DeliveryResult(Acknowledgement(job.batch_id, 0), rows, reason=broken.error.detail)
        return deliver(rows, broken, self.dead_letters, final=True, batch_id=job.batch_id)

    def _again(self, job: DeliveryJob, result: DeliveryResult, tally: Acknowledgement) -> None:
        again, pause = replace(job, attempt=job.attempt + 1), _pause(job.attempt, result.retry_after)
        waiting = WaitingRows(stored(result.unsent), tally, again.attempt, time.time() + pause)
        self.submitter.put_again(again, waiting, pause)


def register_delivery(app: Celery, make_worker: Callable[[], DeliveryWorker]) -> None:
    """Define qscore.deliver on ``app``. ``make_worker`` runs in each pool process when its first task arrives."""

    # Whatever ends a run, its message goes back: Celery would acknowledge it, and its rows would lie for a day and be
    # gone. MAX_BROKEN_RUNS is the bound, whether a process was lost, at its hard limit or before, or the whole worker.
    kept: dict[str, Any] = {"acks_on_timeout": False, "reject_on_worker_lost": True, "retry_on_worker_lost": False}

    @app.task(name=TASK_DELIVER, typing=False, shared=False, **kept)  # type: ignore[untyped-decorator]
    def deliver_task(**message: Any) -> None:
        try:
            _run_or_pause(make_worker().run, message)
        except Exception as error:
            raise Reject(type(error).__name__, requeue=True) from error


def _run_or_pause(run: Callable[[dict[str, Any]], None], message: dict[str, Any]) -> None:
    """Run a message. Where that fails, pause: a server without memory hands messages out, and not at once again."""
    try:
        run_job(run, message)
    except Exception as error:
        reason = error.detail if isinstance(error, QScoreError) else type(error).__name__
        get_log().warning("delivery_put_back", reason=reason, exc_info=not isinstance(error, QScoreError))
        time.sleep(_FAILED_PAUSE)
        raise


def _broken_off(sink: Sink, why: str) -> UnusableSink:
    reason = QScoreError(f"the delivery broke off: {why}", "Look for the batch_id in the delivery log.")
    return UnusableSink(sink.name, reason)


def _is_last(job: DeliveryJob) -> bool:
    return job.attempt + 1 >= (MAX_STREAM_RUNS if job.stream else MAX_DELIVERY_RUNS)


def _pause(attempt: int, asked: float | None) -> float:
    """Compute the seconds before a delivery's next run: what the sink asked for, else longer each time."""
    if asked is not None:
        return min(_LONGEST_ASKED_PAUSE, asked)
    return min(_LONGEST_PAUSE, 2.0 ** min(attempt, 10))


def _added(one: Acknowledgement, other: Acknowledgement) -> Acknowledgement:
    return Acknowledgement(
        one.batch_id,
        one.written + other.written,
        one.already_there + other.already_there,
        one.dead + other.dead,
    )
