"""The hands that kill, stop and fill: which processes a target has, and which moment hurts it most."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from scorer.service.queue.exchanges import Exchanges
from scorer.wire.errors import QScoreError
from tests.chaos.callers import Book
from tests.chaos.ledger import Blow
from tests.chaos.stage import Stage
from tests.integration.stack_tools import children, processes

#: What is killed, and the words of its command line.
TARGETS = {
    "worker": "scorer.service.worker score",
    "bulk worker": "scorer.service.worker bulk",
    "delivery": "scorer.service.worker deliver",
    "gateway": "scorer.service.gateway",
    "fast queue": "valkey-fast.sock",
    "durable queue": "valkey.sock",
    "sink": "demo.standins.hec_endpoint",
}
#: Of a target with a pool, only the process at work is killed, but each fourth time the whole of it.
_POOLS = ("worker", "bulk worker", "delivery")
_LONGEST_WAIT = 30.0  # seconds for the right moment
_DELIVERIES = "qscore:d:unacked"


@dataclass
class Hands:
    """Does things to a stage, and writes each down."""

    stage: Stage
    book: Book
    blows: list[Blow]
    kills: int = 0
    unwritten: frozenset[str] = frozenset()

    def kill(self, target: str) -> Blow:
        """SIGKILL at a moment at which the target holds rows; what is no service of its own is started again."""
        self.kills += 1
        in_flight = self._moment(target)
        pids = self._pids(target, whole=self.kills % 4 == 0)
        blow = self._note("kill", target, in_flight)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return blow

    def stall(self, target: str, seconds: float) -> Blow:
        """Stop all of a target's processes for some seconds."""
        pids, blow = self._pids(target, whole=True), self._note("stall", target, 0)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(seconds)
        return blow

    def fill_disk(self, seconds: float) -> Blow:
        """Leave the durable server's file system without a byte for some seconds."""
        filler = Path(str(self.stage.disk)) / "filler"
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 20))
            blow = self._note("full disk", "durable queue", 0)
            time.sleep(seconds)
        finally:
            filler.unlink()
        return blow

    def unwritten_now(self) -> frozenset[str]:
        """Ids of batches with rows on the durable server; none while it does not answer."""
        queue = Exchanges.of(self.stage.settings)
        try:
            return _unwritten(queue.durable.client)
        except redis.RedisError:
            return frozenset()
        finally:
            queue.close()

    def _note(self, what: str, target: str, in_flight: int) -> Blow:
        batches = frozenset(self.book.in_flight("")) | self.unwritten
        blow = Blow(what, target, time.time(), self.stage.recorded_bytes(), in_flight, batches)
        self.blows.append(blow)
        return blow

    def _pids(self, target: str, whole: bool) -> list[int]:
        """A target's processes; one that was killed before may still be starting again."""
        deadline = time.monotonic() + 60.0
        while time.monotonic() < deadline:
            self.stage.tend()
            found = self._running(target)
            if found and target in _POOLS and not whole:
                pool = [pid for parent in found for pid in _children(parent) if pid in found]
                found = pool[:1]
            if found:
                return found
            time.sleep(0.05)
        raise SystemExit(f"{target} did not come back within a minute; logs are in {self.stage.folder}")

    def _running(self, target: str) -> list[int]:
        if target == "sink":
            return [self.stage.collector.pid] if self.stage.collector is not None else []
        return processes(self.stage.home, TARGETS[target])

    def _moment(self, target: str) -> int:
        """Wait for a moment at which something is in flight at the target; how much is, 0 where none came."""
        queue = Exchanges.of(self.stage.settings)
        looks: dict[str, Callable[[], int]] = {
            "gateway": lambda: self._answering(queue.durable.client),
            "worker": lambda: self._half_done(queue.durable.client, "api"),
            "fast queue": lambda: self._half_done(queue.durable.client, "api"),
            "bulk worker": lambda: self._half_done(queue.durable.client, "file"),
            "durable queue": lambda: self._delivering(queue.durable.client),
            "delivery": lambda: self._posting(queue.durable.client),
            "sink": lambda: self._posting(queue.durable.client),
        }
        deadline, found = time.monotonic() + _LONGEST_WAIT, 0
        try:
            while not found and time.monotonic() < deadline:
                self.stage.tend()
                with contextlib.suppress(redis.RedisError, QScoreError):
                    found = looks[target]()
                time.sleep(0.002)
        finally:
            queue.close()
        return found

    def _half_done(self, client: redis.Redis, kind: str) -> int:
        """Batches that are not answered and have rows on their way to the sink already."""
        self.unwritten = _unwritten(client)
        return len(self.unwritten & set(self.book.in_flight(kind)))

    def _posting(self, client: redis.Redis) -> int:
        """Deliveries under way, just after the collector took something."""
        record = self.stage.record
        fresh = record.exists() and time.time() - record.stat().st_mtime < 0.04
        return self._delivering(client) if fresh else 0

    def _delivering(self, client: redis.Redis) -> int:
        """Deliveries under way."""
        self.unwritten = _unwritten(client)
        return int(str(client.hlen(_DELIVERIES)))

    def _answering(self, client: redis.Redis) -> int:
        """Batches of programs that the gateway has not answered, with rows on their way already where that comes."""
        return self._half_done(client, "api")


def _unwritten(client: redis.Redis) -> frozenset[str]:
    """Ids of batches with rows on their way to the sink."""
    found: list[bytes] = client.keys("qscore:rows:*")  # type: ignore[assignment]
    return frozenset(key.split(b":")[2].decode() for key in found)


def _children(pid: int) -> list[int]:
    try:
        return children(pid)
    except OSError:
        return []
