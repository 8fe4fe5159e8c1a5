"""A message as it comes off the queue, before it is known to be a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scorer.logs import get_log
from scorer.wire.errors import MalformedBody, Unavailable


def run_job(run: Callable[[dict[str, Any]], None], message: dict[str, Any]) -> None:
    """Run a message. One that is no job cannot be answered: say so once and forget it.

    Raises Unavailable where this process has no memory left beside its job: Celery must not see MemoryError, on which
    its main process ends.
    """
    try:
        run(message)
    except MalformedBody as error:
        get_log().error("message_refused", reason=error.sentence())
    except MemoryError:
        raise Unavailable("a worker's process ran out of memory", "Raise worker.memory_limit_mb.") from None
