"""The gateway's gate: key, scope, options, declared rows and length are checked before a byte of the body is read."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.service.access.api_keys import ApiKey
from scorer.service.access.door import Door
from scorer.service.access.rights import write_target
from scorer.service.access.tokens import MOST_BODY
from scorer.service.gateway.entrance import enter
from scorer.service.gateway.front.gate import OpenPermit, Permit, RequestHead
from scorer.service.gateway.journal import Journal
from scorer.service.gateway.record.request_log import Line
from scorer.service.gateway.request_checks import ScoreRequest, score_request
from scorer.service.queue.lanes import Lanes
from scorer.wire.errors import BadInput, BodyTooLarge, QScoreError

if TYPE_CHECKING:
    from scorer.registry.cards import CardStore
    from scorer.service.settings import Settings

_SCORE = re.compile(r"/v1/models/([^/]+)/score\Z")
TOKEN_PATH = "/v1/token"  # noqa: S105  # a path


@dataclass(frozen=True)
class ScorePermit:
    """The right of one key to have one batch scored."""

    key: ApiKey
    asked: ScoreRequest
    waits: bool = True

    async def turn(self) -> None:
        """Wait for nobody: request threads are given in the order in which bodies are complete."""

    def release(self) -> None:
        """Hold nothing that could be given back."""


@dataclass(frozen=True)
class RequestChecks:
    """What can be said of a request by its head; blocks on the disk a little, so it is for a thread."""

    settings: Settings
    door: Door
    cards: CardStore
    lanes: Lanes

    def score(self, head: RequestHead, name: str) -> ScorePermit:
        """Check who asks for what, and pin it to one exact version. Raises QScoreError's kinds."""
        caller = enter(self.door, head, "score", name)
        asked = score_request(name, head, self.settings)
        caller.check_submitter(asked.submitter)
        if asked.options.write:
            head.noted.scope = "write"
            caller.check_write(write_target(self.settings))
        card = self.cards.card(asked.model, asked.options.version)
        queue = self.lanes.queue_of(card, asked.queue)
        permit = ScorePermit(caller.key, asked.pinned(card.version, queue, caller.key.namespace))
        head.noted.about = permit.asked.about()
        return permit


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
            return await asyncio.get_running_loop().run_in_executor(self.threads, self.checks.score, head, found[1])
        if head.method == "POST" and head.path == TOKEN_PATH:
            return _token_permit(head)
        if head.length:
            raise BadInput(f"{head.method} {head.path[:200]} takes no body", "Send it without one.")
        return OpenPermit()

    def refused(self, head: RequestHead, error: QScoreError, seconds: float) -> None:
        """Count and log a request that the application never saw."""
        endpoint = "score" if _SCORE.match(head.path) else "token" if head.path == TOKEN_PATH else None
        self.journal.note(head, Line(endpoint, error.status, error.code, seconds))


def _token_permit(head: RequestHead) -> Permit:
    """Let a small body in; it is read before its sender is known. An identity provider may have to be waited for."""
    if head.length is not None and head.length > MOST_BODY:
        raise BodyTooLarge(f"the body has {head.length} bytes", f"Send at most {MOST_BODY}.")
    return OpenPermit(waits=True)
