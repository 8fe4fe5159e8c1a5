"""The tasks as Celery runs them: their names, and what becomes of a message whose run fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery.exceptions import Reject

from scorer.logs import get_log
from scorer.service.queue.lanes import TASK_DELIVER, TASK_SCORE
from scorer.service.worker.tasks import MAX_DELIVERY_RUNS, MAX_RUNS, DeliveryWorker, ScoringWorker
from scorer.wire.errors import MalformedBody, Unavailable

#: Seconds before a message goes back whose run failed for want of the queue's server.
_UNAVAILABLE_PAUSE = 1.0


def register_scoring(app: Celery, make_worker: Callable[[], ScoringWorker]) -> None:
    """Define qscore.score on ``app``. ``make_worker`` runs in each pool process when its first task arrives."""

    # A lost process: again at once. MAX_RUNS of the attempt counter is the bound that also covers a lost worker.
    @app.task(name=TASK_SCORE, typing=False, shared=False, max_retries=MAX_RUNS, default_retry_delay=0)  # type: ignore[untyped-decorator]
    def score_task(**message: Any) -> None:
        _logged(make_worker().run, message)


def register_delivery(app: Celery, make_worker: Callable[[], DeliveryWorker]) -> None:
    """Define qscore.deliver on ``app``."""

    @app.task(name=TASK_DELIVER, typing=False, shared=False, max_retries=MAX_DELIVERY_RUNS, default_retry_delay=5)  # type: ignore[untyped-decorator]
    def deliver_task(**message: Any) -> None:
        try:
            _logged(make_worker().run, message)
        except Unavailable as error:
            # Celery would acknowledge a failed task, and its rows would lie for a day and be gone. A server that stores
            # nothing for want of memory still hands messages out: not at once again.
            get_log().warning("delivery_put_back", reason=error.detail)
            time.sleep(_UNAVAILABLE_PAUSE)
            raise Reject(error.detail, requeue=True) from error


def _logged(run: Callable[[dict[str, Any]], None], message: dict[str, Any]) -> None:
    """Run a message. One that is no job cannot be answered: say so once and forget it."""
    try:
        run(message)
    except MalformedBody as error:
        get_log().error("message_refused", reason=error.sentence())
