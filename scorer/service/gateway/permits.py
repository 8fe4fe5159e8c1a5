"""The gateway's gate: key, scope, options, declared rows and length are checked before a byte of the body is read."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.service.access.api_keys import ApiKey
from scorer.service.access.disclosure import disclosed, roots_of
from scorer.service.access.door.door import Door
from scorer.service.access.door.tokens import MOST_BODY
from scorer.service.access.rights import write_target
from scorer.service.gateway.doors import Doors
from scorer.service.gateway.entrance.enter import card_for, enter
from scorer.service.gateway.front.gate import OpenPermit, Permit, RequestHead
from scorer.service.gateway.journal import Journal
from scorer.service.gateway.record.request_log import Line
from scorer.service.gateway.request_checks import ScoreRequest, score_request
from scorer.service.queue.lanes import Lane, Lanes
from scorer.wire.errors import BadInput, BodyTooLarge, QScoreError

if TYPE_CHECKING:
    from scorer.registry.cards import CardStore
    from scorer.service.gateway.traffic.passages import Passage, Traffic
    from scorer.service.settings import Settings

_SCORE = re.compile(r"/v1/models/([^/]+)/score\Z")
TOKEN_PATH = "/v1/token"  # noqa: S105  # a path


@dataclass(frozen=True)
class ScorePermit:
    """The right of one key to have one batch scored. ``passage``: what it has reserved for that."""

    key: ApiKey
    asked: ScoreRequest
    passage: Passage
    waits: bool = True
    known: bool = True

    async def turn(self) -> None:
        """Wait for the key's turn. Raises ScoringTimeout where it does not come in time."""
        await self.passage.turn()

    def release(self) -> None:
        """Give back what the batch has reserved."""
        self.passage.release()


@dataclass(frozen=True)
class Checked:
    """A request that may be served, if its key may have one batch more."""

    key: ApiKey
    asked: ScoreRequest
    size: int
    lane: Lane


@dataclass(frozen=True)
class RequestChecks:
    """What can be said of a request by its head; blocks on the disk a little, so it is for a thread."""

    settings: Settings
    door: Door
    cards: CardStore
    lanes: Lanes
    traffic: Traffic
    doors: Doors

    def score(self, head: RequestHead, name: str) -> Checked:
        """Check who asks for what, and pin it to one exact version.

        Raises QScoreError's kinds, as their caller may see them.
        """
        try:
            return self._score(head, name)
        except QScoreError as error:
            raise disclosed(error, roots_of(self.settings)) from None

    def _score(self, head: RequestHead, name: str) -> Checked:
        caller = enter(self.door, head, "score", name, self.traffic.limits.count_request)
        self.doors.check()
        asked = score_request(name, head, self.settings)
        caller.check_submitter(asked.submitter)
        if asked.options.write:
            head.noted.scope = "write"
            caller.check_write(write_target(self.settings))
        card = card_for(caller, self.cards, asked.model, asked.options.version)
        pinned = asked.pinned(card.version, self.lanes.queue_of(card, asked.queue), caller.key.namespace)
        head.noted.about = pinned.about()
        lane = self.lanes.serving(pinned.queue)
        self.traffic.processes[lane.name].refresh()
        return Checked(caller.key, pinned, head.length or 0, lane)

    def reserved(self, request: Checked) -> ScorePermit:
        """Reserve what a batch needs while it is under way; waits for nothing. Raises OverLimit, BodyTooLarge."""
        asked = request.asked
        passage = self.traffic.passage(request.key.id, request.size, asked.rows, asked.timeout, request.lane)
        return ScorePermit(request.key, asked, passage)


@dataclass(frozen=True)
class GatewayGate:
    """Decides about every request of the gateway. ``threads``: where checks run."""

    checks: RequestChecks
    journal: Journal
    threads: Executor

    async def admit(self, head: RequestHead) -> Permit:
        """Give a permit. Raises QScoreError's kinds; of other requests, only for one that brings a body."""
        found = _SCORE.match(head.path) if head.method == "POST" else None
        if found is not None:
            checked = await asyncio.get_running_loop().run_in_executor(self.threads, self.checks.score, head, found[1])
            # In the loop, after the last wait: what is reserved in a thread would stay where the caller left meanwhile.
            return self.checks.reserved(checked)
        if head.path == TOKEN_PATH or _SCORE.match(head.path):
            return _small_permit(head)
        if head.length:
            raise BadInput(f"{head.method} {head.path[:200]} takes no body", "Send it without one.")
        return OpenPermit()

    async def refused(self, head: RequestHead, error: QScoreError, seconds: float) -> None:
        """Count and log a request that the application never saw."""
        endpoint = "score" if _SCORE.match(head.path) else "token" if head.path == TOKEN_PATH else None
        line = Line(endpoint, error.status, error.code, seconds)
        # An ended key gets an entry in the audit record, which waits for a lock and for the disk.
        await asyncio.get_running_loop().run_in_executor(self.threads, self.journal.note, head, line)


def _small_permit(head: RequestHead) -> Permit:
    """Let a small body in, read before its sender is known: for a token, or for another method's 405.

    An identity provider may have to be waited for.
    """
    if head.length is not None and head.length > MOST_BODY:
        raise BodyTooLarge(f"the body has {head.length} bytes", f"Send at most {MOST_BODY}.")
    return OpenPermit(waits=True)
