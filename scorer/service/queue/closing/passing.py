"""What operators have closed, as senders of batches see it; and the rows of a disabled model, which come back as they
are, with a status that says so."""

from __future__ import annotations

import json
from dataclasses import dataclass

from scorer.service.queue.closing.draining import DrainMark
from scorer.service.queue.closing.switches import SwitchBoard, Switches
from scorer.service.queue.jobs import WorkerReply
from scorer.wire.client import REPLY_HEADER
from scorer.wire.names import HEADER_PROBLEMS, HEADER_SCORED, OUTPUT_COLUMNS

DISABLED = "disabled"


@dataclass(frozen=True)
class Openings:
    """What may go onto the queue from this home: nothing while it is drained, and nothing for a disabled model."""

    mark: DrainMark
    board: SwitchBoard

    def check(self, model: str) -> None:
        """Raise Draining or Disabled where no batch of ``model`` may go."""
        self.mark.check()
        self.board.now().check(model)


def passed_reply(model: str, version: str, rows: int, switches: Switches, code: str = DISABLED) -> WorkerReply:
    """Write the reply for ``rows`` rows that nobody scores, each with the status ``code``.

    Names and versions hold nothing that CSV would quote, and the sentence holds no comma.
    """
    status = f"{code}: model {model} was switched off by its operators; `qscore enable {switches.word(model)}` ends it"
    told = {"qscore_model": model, "qscore_version": version, "qscore_status": status}
    line = ",".join(told.get(column, "") for column in OUTPUT_COLUMNS).encode() + b"\n"
    counts = json.dumps({code: rows} if rows else {})
    return WorkerReply(REPLY_HEADER + line * rows, {HEADER_SCORED: "0", HEADER_PROBLEMS: counts})
