"""The gateway's gate: key, scope, options, declared rows and length are checked before a byte of the body is read."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.service.access.api_keys import ApiKey, KeyFile
from scorer.service.gateway.front.gate import OpenPermit, Permit, RequestHead
from scorer.service.gateway.journal import Journal, Line
from scorer.service.gateway.request_checks import ScoreRequest, score_request
from scorer.service.queue.lanes import Lanes
from scorer.wire.errors import BadInput, QScoreError

if TYPE_CHECKING:
    from scorer.registry.cards import CardStore
    from scorer.service.settings import Settings

_SCORE = re.compile(r"/v1/models/([^/]+)/score\Z")


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
    keys: KeyFile
    cards: CardStore
    lanes: Lanes

    def score(self, head: RequestHead, name: str) -> ScorePermit:
        """Check who asks for what, and pin it to one exact version. Raises QScoreError's kinds."""
        key = self.keys.identify(head.header("authorization"))
        key.allows("score")
        asked = score_request(name, head, self.settings)
        if asked.options.write:
            key.allows("write")
        card = self.cards.card(asked.model, asked.options.version)
        return ScorePermit(key, asked.pinned(card.version, self.lanes.queue_of(card, asked.queue), key.namespace))


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
        if head.length:
            raise BadInput(f"{head.method} {head.path[:200]} takes no body", "Send it without one.")
        return OpenPermit()

    def refused(self, head: RequestHead, error: QScoreError, seconds: float) -> None:
        """Count and log a request that the application never saw."""
        endpoint = "score" if _SCORE.match(head.path) else None
        self.journal.note(Line(endpoint, error.status, error.code, seconds))
