"""Answers for batches whose process was killed: given by the worker's main process, which outlives it.

A process that does not come to serve its soft limit, because one call into a library lasts longer, is killed at the
hard one; the kernel kills what takes too much memory. Nobody else then knows for whom the batch was.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.exceptions import WorkerLostError
from celery.worker.request import Request

from scorer.logs import get_log
from scorer.service.queue.exchange import BatchOutcome, Exchange
from scorer.service.queue.jobs import ScoreJob, WorkerReply
from scorer.wire.errors import MalformedBody, Problem, QScoreError, ScoringTimeout, Unavailable

_LOOK_EVERY = 1.0  # seconds


def answer(exchange: Exchange, streams: Exchange, job: ScoreJob, reply: WorkerReply) -> None:
    """Answer a job: its caller on ``exchange``, and in case of a problem its submitter on ``streams``.

    Raises Unavailable.
    """
    if reply.problem is not None and job.stream and job.submitter:
        streams.report(job.submitter, BatchOutcome(job.batch_id, problem=reply.problem))
    exchange.finish(job, reply)


def answering(exchange: Exchange, streams: Exchange) -> type[Request]:
    """Make the class of a scoring lane's requests, which answers those that no process will.

    A batch killed at its hard limit is answered at once, for its message is gone. One whose process was lost for
    another reason comes again at once, and is answered here only when it has come too often.
    """

    class AnsweringRequest(Request):  # type: ignore[misc]  # Celery publishes no types
        def on_timeout(self, soft: bool, timeout: float) -> None:
            if not soft:
                _give_up(exchange, streams, self.kwargs, _too_slow(self.kwargs, timeout))
            super().on_timeout(soft, timeout)

        def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
            error = exc_info.exception
            lost = isinstance(getattr(error, "exc", error), WorkerLostError)  # Celery wraps what came with a traceback
            if lost and self._context.retries >= self.task.max_retries:
                _give_up(exchange, streams, self.kwargs, _killed(self.kwargs))
            super().on_failure(exc_info, send_failed_event, return_ok)

    return AnsweringRequest


class PoolWatch(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery publishes no types
    """Looks after lost pool processes every second: Celery itself does so every five, and a batch waits meanwhile."""

    requires = {"celery.worker.components:Timer", "celery.worker.components:Pool"}  # noqa: RUF012  # Celery's form

    def start(self, parent: Any) -> None:
        self.timer = parent.timer.call_repeatedly(_LOOK_EVERY, parent.pool.maintain_pool)

    def stop(self, _parent: Any) -> None:
        self.timer.cancel()


def _give_up(exchange: Exchange, streams: Exchange, message: dict[str, Any], error: QScoreError) -> None:
    """Answer a message that no process runs any more. Nothing is raised: Celery's own bookkeeping is to follow."""
    try:
        job = ScoreJob.from_kwargs(message)
        answer(exchange, streams, job, WorkerReply(problem=Problem.of(error)))
    except (MalformedBody, Unavailable) as fault:
        get_log().error("lost_and_unanswered", reason=fault.sentence())
        return
    get_log().error("answered_for_a_lost_process", batch_id=job.batch_id, model=job.model, code=error.code)


def _too_slow(message: dict[str, Any], seconds: float) -> QScoreError:
    return ScoringTimeout(
        f"batch {message.get('batch_id')} of {message.get('rows')} rows was ended after {seconds:g} s",
        "Send smaller batches, or raise worker.task_seconds.",
    )


def _killed(message: dict[str, Any]) -> QScoreError:
    return QScoreError(
        f"batch {message.get('batch_id')} of {message.get('rows')} rows ended its worker's process each time",
        "Send the rows in smaller batches; the worker's log and the kernel's say what ended it.",
    )
