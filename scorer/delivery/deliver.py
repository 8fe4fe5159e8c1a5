"""Rows into a sink, every one accounted for: taken, in the dead letters, or handed back to be tried again."""

from __future__ import annotations

from dataclasses import dataclass

import stamina

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import NO_ROWS, ScoredRows, joined
from scorer.delivery.sink import Refused, SendOutcome, Sink, SinkBusy, SinkRefused
from scorer.rows.acknowledgement import Acknowledgement
from scorer.wire.errors import ConfigurationError

#: Seconds of waiting inside one call; longer pauses are the queue's, so that a worker is not held by a slow sink.
RETRY_BUDGET = 6.0
ATTEMPTS = 4


@dataclass(frozen=True)
class DeliveryResult:
    """``ack`` counts what is settled; ``unsent`` rows are the caller's to try again, after ``retry_after`` seconds.

    ``reason``: why rows are unsent or dead, in one sentence for a log; empty when all were taken.
    """

    ack: Acknowledgement
    unsent: ScoredRows
    retry_after: float | None = None
    reason: str = ""


class _Ledger:
    """Adds up the outcomes of several attempts."""

    def __init__(self, rows: ScoredRows) -> None:
        self.pending = rows
        self.taken = 0
        self.already_there = 0
        self.refused: list[Refused] = []
        self.last: SendOutcome | None = None

    def attempt(self, sink: Sink) -> None:
        """Send once what is pending; raises SinkBusy when trying again soon may help."""
        outcome = sink.send(self.pending)
        self.taken += outcome.taken
        self.already_there += outcome.already_there
        self.refused.extend(outcome.refused)
        self.pending = outcome.unsent
        self.last = outcome
        if self.pending and isinstance(outcome.fault, SinkBusy):
            raise outcome.fault

    @property
    def refuses(self) -> bool:
        """True where a person has to change something before the rest is taken."""
        return self.last is not None and isinstance(self.last.fault, SinkRefused)

    @property
    def fault_sentence(self) -> str:
        fault = self.last.fault if self.last else None
        if fault is not None:
            return fault.sentence()
        return (self.refused[0].logged or self.refused[0].reason) if self.refused else ""

    @property
    def retry_after(self) -> float | None:
        fault = self.last.fault if self.last else None
        return fault.retry_after if isinstance(fault, SinkBusy) else None


def deliver(
    rows: ScoredRows,
    sink: Sink,
    dead_letters: DeadLetters,
    final: bool,
    batch_id: str = "",
    retry_budget: float = RETRY_BUDGET,
    refusal_final: bool = False,
) -> DeliveryResult:
    """Send ``rows``, retrying for at most ``retry_budget`` seconds.

    Rows that the sink refuses for good go to ``dead_letters`` at once. Rows still unsent come back, or, with
    ``final``, join them there; with ``refusal_final`` also where the sink refuses all until somebody changes
    something. Where the dead letters cannot be written, all of these come back.
    ``batch_id`` names the acknowledgement; default: that of the first row.
    Sending a row twice is harmless: its id is the same.
    """
    ledger = _Ledger(rows)
    if ledger.pending:
        _attempts(ledger, sink, retry_budget)
    dead, unsent, reason = list(ledger.refused), ledger.pending, ledger.fault_sentence
    if unsent and (final or (refusal_final and ledger.refuses)):
        dead.append(Refused(unsent, reason))
        unsent = NO_ROWS
    try:
        died = dead_letters.add(sink.name, dead)
    except ConfigurationError as error:  # a full disk: nothing may be forgotten before it lies somewhere
        unsent, died, reason = joined([unsent, *(refused.rows for refused in dead)]), 0, error.sentence()
    batch_id = batch_id or next((block.header.batch_id for block in rows.blocks), "")
    return DeliveryResult(
        ack=Acknowledgement(batch_id, ledger.taken, ledger.already_there, died),
        unsent=unsent,
        retry_after=ledger.retry_after,
        reason=reason,
    )


def _attempts(ledger: _Ledger, sink: Sink, budget: float) -> None:
    def worth_waiting(error: Exception) -> bool:
        # A sink that names a pause gets it: the queue waits, not the worker.
        return isinstance(error, SinkBusy) and error.retry_after is None

    try:
        for attempt in stamina.retry_context(
            on=worth_waiting, attempts=ATTEMPTS, timeout=budget, wait_initial=0.2, wait_max=2.0
        ):
            with attempt:
                ledger.attempt(sink)
    except SinkBusy:
        return  # the ledger knows what is left and why
