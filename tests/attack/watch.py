"""What another caller sees during an attack, and what the gateway takes and writes meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError
from tests.integration.stack_tools import body

#: Seconds after which a caller counts as not answered.
PATIENCE = 10.0


@dataclass
class Seen:
    """Seconds of each answer; ``faults``: what came in place of answers."""

    seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def p99(self) -> float:
        """The second largest of 200 and the like; unanswered probes count as the longest wait."""
        known = sorted([*self.seconds, *(PATIENCE for _ in self.faults)])
        return known[max(0, -(-99 * len(known) // 100) - 1)] if known else PATIENCE

    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else PATIENCE


def ask(seen: Seen, question: Callable[[], object]) -> None:
    """Ask once, on a connection of its own, and note what came of it."""
    started = time.perf_counter()
    try:
        question()
    except QScoreError as error:
        seen.faults.append(f"{error.code}: {error.detail}"[:120])
    else:
        seen.seconds.append(time.perf_counter() - started)


def score_three(client: GatewayClient) -> None:
    """Score three rows over a new connection."""
    client.close()
    assert client.score("lateral", body(3), 3).scored == 3


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


@dataclass
class Peak:
    """The most memory that a process was seen with."""

    bytes: int = 0


@contextmanager
def peak_of(pid: int) -> Iterator[Peak]:
    """Look at a process's memory every 50 ms."""
    peak, over = Peak(), Event()

    def look() -> None:
        while not over.wait(0.05):
            peak.bytes = max(peak.bytes, resident(pid))

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
