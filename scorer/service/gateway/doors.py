"""What operators have closed: a stack that is drained takes no batch, a model that is disabled scores none."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.gateway.request_checks import ScoreRequest
from scorer.service.queue.closing.draining import DrainMark
from scorer.service.queue.closing.passing import DISABLED, passed_reply
from scorer.service.queue.closing.switches import SwitchBoard
from scorer.service.queue.exchange import BatchOutcome
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import WorkerReply
from scorer.service.settings import Settings
from scorer.wire.release import SILENT


@dataclass(frozen=True)
class Doors:
    """Asked before a body is read (`check`), and before it is queued (`closed`)."""

    mark: DrainMark
    board: SwitchBoard

    @classmethod
    def of(cls, settings: Settings, queue: Exchanges) -> Doors:
        return cls(DrainMark(settings.drain_mark), SwitchBoard(settings.switches, queue.durable.client))

    def check(self) -> None:
        """Raise Draining where no batch is taken."""
        self.mark.check()

    def close(self) -> None:
        """Look no more at what operators close."""
        self.board.close()

    def closed(self, asked: ScoreRequest, queue: Exchanges) -> WorkerReply | None:
        """Answer a batch of a disabled model, of which nothing is scored or written; None where it is to be scored."""
        switches = self.board.now()
        if not switches.stop(asked.model):
            return None
        if asked.options.write and asked.submitter:
            queue.durable.report(asked.submitter, BatchOutcome.of(Acknowledgement(asked.batch_id, 0)))
        # Callers of 0.1.0 take a code that they do not know for a damaged reply.
        code = "not_scored" if asked.release == SILENT else DISABLED
        return passed_reply(asked.model, asked.options.version, asked.rows, switches, code)
