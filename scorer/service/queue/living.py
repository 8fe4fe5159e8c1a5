"""Who works on the queue: living workers say their release beside their name."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from scorer.service.queue.claims import reached
from scorer.service.queue.exchange import WORKERS
from scorer.service.queue.exchanges import Exchanges
from scorer.wire.release import RELEASE, stated


def member(worker: str) -> str:
    """Name a worker as it beats, with its release; those before 0.2.0 said their name alone."""
    return f"{worker} {RELEASE}"


def releases(queue: Exchanges) -> dict[str, Counter[str]]:
    """Count the living workers by release, lane by lane. Raises Unavailable."""
    found: dict[str, Counter[str]] = {}
    for lane in queue.lanes:
        with reached():
            members: Any = queue.serving(lane).client.zrangebyscore(WORKERS + lane.name, time.time(), "+inf")
        found[lane.name] = Counter(stated(_release(known)) for known in members)
    return found


def _release(known: bytes) -> str | None:
    return known.decode("utf-8", "replace").partition(" ")[2] or None
