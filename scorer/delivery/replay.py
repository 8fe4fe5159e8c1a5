"""Dead letters back through their sink, in bounded batches; a letter goes only when the sink has confirmed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from filelock import FileLock, Timeout

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.sink import Sink
from scorer.wire.errors import BadOption

BATCH_ROWS = 500


@dataclass(frozen=True)
class ReplayResult:
    """Letters that the sink took, refused again, and that were not tried because it stopped taking any.

    ``reason``: why the sink stopped or refused, empty when it took all.
    """

    sent: int
    refused: int
    left: int
    reason: str = ""


def replay(dead_letters: DeadLetters, sink: Sink, progress: Callable[[int], None] = lambda _done: None) -> ReplayResult:
    """Send all letters of ``sink`` that are there now; ``progress`` gets the number settled so far.

    Raises BadOption while another replay of the same store runs.
    """
    try:
        with FileLock(f"{dead_letters.path}.replay.lock", timeout=0):
            return _replay(dead_letters, sink, progress)
    except Timeout:
        raise BadOption("another replay is running", "Wait until it has ended.") from None


def _replay(dead_letters: DeadLetters, sink: Sink, progress: Callable[[int], None]) -> ReplayResult:
    sent = refused = unreadable = after = 0
    total = dead_letters.counts().get(sink.name, 0)
    reason = ""
    while letters := dead_letters.list(sink.name, BATCH_ROWS, after):
        readable = [letter for letter in letters if letter.row is not None]
        outcome = sink.send([letter.row for letter in readable if letter.row is not None])
        held = {row["id"] for row in outcome.unsent} | {r.row["id"] for r in outcome.refused}
        dead_letters.remove(letter for letter in readable if letter.qscore_id not in held)
        dead_letters.add(sink.name, outcome.refused)
        unreadable += len(letters) - len(readable)
        sent += len(readable) - len(held)
        refused += len(outcome.refused)
        progress(sent + refused)
        if outcome.refused:
            reason = outcome.refused[0].reason
        elif len(readable) < len(letters):
            reason = reason or next(letter.fault for letter in letters if letter.row is None)
        if outcome.fault is not None:
            return ReplayResult(sent, refused, max(0, total - sent - refused), outcome.fault.sentence())
        after = letters[-1].number
    return ReplayResult(sent, refused, unreadable, reason)
