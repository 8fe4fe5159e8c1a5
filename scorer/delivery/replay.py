"""Dead letters back through their sink, in bounded batches; a letter goes only when the sink has confirmed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from filelock import FileLock, Timeout

from scorer.delivery.dead_letters import DeadLetter, DeadLetters
from scorer.delivery.rows import joined
from scorer.delivery.sink import SendOutcome, Sink
from scorer.elastic_client.names import ELASTIC
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


def written_to(sink: str, elastic: bool) -> tuple[str, ...]:
    """Name the configured ``sink``, and Elasticsearch where it is set: the connector's scores go there in any case."""
    if not elastic or sink == ELASTIC:
        return (sink,)
    return (ELASTIC,) if sink == "none" else (sink, ELASTIC)


def waiting(dead_letters: DeadLetters, names: Sequence[str]) -> Mapping[str, int]:
    """Count letters by sink, in order of name, of the sinks so named; ``elastic`` is that sink with every namespace."""
    return dict(sorted(found for name in names for found in dead_letters.counts(name).items()))


def summed(results: Sequence[ReplayResult]) -> ReplayResult:
    """Add up what became of several sinks' letters; the reason is that of the first sink which did not take all."""
    sent, refused, left = (sum(getattr(one, part) for one in results) for part in ("sent", "refused", "left"))
    return ReplayResult(sent, refused, left, next((one.reason for one in results if one.left or one.refused), ""))


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
    total = dead_letters.counts().get(sink.name, 0)
    sent = refused = unreadable = after = 0
    reason = ""
    while letters := dead_letters.list(sink.name, BATCH_ROWS, after):
        outcome = sink.send(joined(letter.rows for letter in letters if letter.rows is not None))
        confirmed = _confirmed(letters, outcome)
        dead_letters.remove(confirmed)
        refused += dead_letters.add(sink.name, outcome.refused)
        sent += len(confirmed)
        progress(sent + refused)
        reason = _reason(letters, outcome) or reason
        if outcome.fault is not None:
            return ReplayResult(sent, refused, max(0, total - sent - refused), reason)
        unreadable += sum(letter.rows is None for letter in letters)
        after = letters[-1].number
    return ReplayResult(sent, refused, unreadable, reason)


def _confirmed(letters: Sequence[DeadLetter], outcome: SendOutcome) -> list[DeadLetter]:
    """List the letters whose rows the sink has now."""
    held = {*outcome.unsent.ids, *(identity for refused in outcome.refused for identity in refused.rows.ids)}
    return [letter for letter in letters if letter.rows is not None and letter.qscore_id not in held]


def _reason(letters: Sequence[DeadLetter], outcome: SendOutcome) -> str:
    """Say why some of the letters stay; empty where none does."""
    if outcome.fault is not None:
        return outcome.fault.sentence()
    if outcome.refused:
        return outcome.refused[0].reason
    return next((letter.fault for letter in letters if letter.rows is None), "")
