"""What a sink is: it takes rows, and accounts for every one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.wire.errors import DeliveryFailed


class SinkBusy(DeliveryFailed):
    """The sink may take the same rows later: overloaded, unreachable, failing on its side."""

    code = "sink_busy"
    retry_after: float | None = None  # seconds that the sink asked for


class SinkRefused(DeliveryFailed):
    """The sink will refuse every row until a person changes something: token, index, address, certificate."""

    code = "sink_refused"
    retryable = False


@dataclass(frozen=True)
class Refused:
    """Rows that the sink will never take, and why.

    ``logged``: the reason as it may stand in a log, where ``reason`` may quote what a row holds; empty: the same.
    """

    rows: ScoredRows
    reason: str
    logged: str = ""


@dataclass(frozen=True)
class SendOutcome:
    """Every row that went in is counted once: ``taken``, ``refused`` or ``unsent``.

    ``already_there``: rows that the sink had before (not in ``taken``). ``fault`` says why rows are unsent.
    """

    taken: int
    refused: tuple[Refused, ...] = ()
    unsent: ScoredRows = NO_ROWS
    already_there: int = 0
    fault: DeliveryFailed | None = None


class Sink(Protocol):
    """A place that scores are written to."""

    @property
    def name(self) -> str:
        """The sink's name in settings, dead letters and logs."""

    def send(self, rows: ScoredRows) -> SendOutcome:
        """Hand over rows once. Never raises for what the other side does: that is in the outcome."""


@runtime_checkable
class RecallingSink(Protocol):
    """A sink that can look up what it has, so that what was perhaps written before is not written twice."""

    def session(self, since: float, repeated: bool, compared: bool = True) -> Sink:
        """Make a sink for one run of one delivery.

        ``since``: epoch seconds before which none of its rows was sent, 0 where that is not known. ``repeated``: an
        earlier run may have written some of them. ``compared``: rows that are there are compared with what is sent, for
        whoever sends them might send another score under the same id.
        """
