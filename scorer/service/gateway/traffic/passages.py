"""What keeps one caller from stopping the others: limits of each key, and turns between keys on the way to a lane."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scorer.service.gateway.traffic.limits import KeyLimits, Load, Permit
from scorer.service.gateway.traffic.turns import Batch, Turn, Turns
from scorer.wire.errors import QueueFull, Unavailable

if TYPE_CHECKING:
    from scorer.service.queue.exchange import Exchange
    from scorer.service.queue.exchanges import Exchanges
    from scorer.service.queue.lanes import Lane
    from scorer.service.settings import GatewaySettings

#: Seconds for which a count of processes holds; workers beat as often.
_FRESH = 2.0


@dataclass(frozen=True, eq=False)
class Traffic:
    """The limits and turns of one gateway; made once per process, safe for many threads. ``processes``: by lane."""

    limits: KeyLimits
    turns: Mapping[str, Turns]
    processes: Mapping[str, LivingProcesses]

    @classmethod
    def of(cls, settings: GatewaySettings, queue: Exchanges) -> Traffic:
        """Make them for a gateway with these settings. Half of its connections may bring a batch, half of its threads
        wait for each lane."""
        lanes = [lane for lane in queue.lanes if lane.scores]
        processes = {lane.name: LivingProcesses(queue.serving(lane), lane) for lane in lanes}
        places = max(1, settings.threads // 2)
        turns = {name: Turns(lambda living=living: living.count, places) for name, living in processes.items()}  # type: ignore[misc]
        return cls(KeyLimits(settings.limits, max(1, settings.connections // 2)), turns, processes)

    def passage(self, key_id: str, size: int, rows: int, timeout: float, lane: Lane) -> Passage:
        """Reserve what a batch needs, by its announced ``size`` in bytes and rows. ``timeout``: seconds its caller
        waits. Raises OverLimit, and BodyTooLarge for a batch that is more than its key may have."""
        return Passage(self.limits.reserve(key_id, Load(size, rows)), self.turns[lane.name], key_id, timeout)


class Passage:
    """One batch's way through the gateway: what it has reserved, and its place on the queue."""

    def __init__(self, permit: Permit, turns: Turns, key_id: str, timeout: float) -> None:
        self._permit = permit
        self._turns = turns
        self._key_id = key_id
        self._timeout = timeout
        self._turn: Turn | None = None

    async def turn(self) -> None:
        """Wait until the batch may go onto the queue. Raises ScoringTimeout where that is too late to be of use."""
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        batch = Batch(self._key_id, self._permit.load.rows, time.monotonic() + self._timeout)
        self._turns.check_time(batch)
        self._turn = self._turns.join(batch, lambda: _safely(loop, came.set))
        if self._turn.came is None:
            try:
                async with asyncio.timeout(self._turns.left(batch)):
                    await came.wait()
            except TimeoutError:
                self._turn.end()
                raise self._turns.too_late(batch) from None
        self._turns.check_time(batch)

    @property
    def left(self) -> float:
        """Give the seconds that the caller still waits."""
        return self._timeout if self._turn is None else self._turns.left(self._turn.batch)

    def answered(self) -> None:
        """Free the place on the queue: a worker has answered. What is reserved stays until ``release``."""
        if self._turn is not None:
            self._turn.end(served=True)

    def refused(self, full: QueueFull) -> None:
        """Say in the error of a full queue when to come again."""
        full.retry_after = self._turns.pause()

    def release(self) -> None:
        """Give everything back; safe to call twice."""
        if self._turn is not None:
            self._turn.end()
        self._permit.release()


def _safely(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call something in the loop, from whichever thread; nobody waits any more where the loop has ended."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        return


@dataclass(frozen=True, eq=False)
class TrafficMetrics(Collector):
    """Gauges of one gateway's traffic, read at every scrape."""

    traffic: Traffic

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read the gauges."""
        under_way = "Batches that this gateway has, from their headers to their answers"
        waiting = GaugeMetricFamily("qscore_turns_waiting", "Batches that wait for their key's turn", labels=["lane"])
        for lane, turns in self.traffic.turns.items():
            waiting.add_metric([lane], turns.waiting)
        return [GaugeMetricFamily("qscore_batches_under_way", under_way, self.traffic.limits.batches), waiting]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Describe nothing, so that registering reads nothing."""
        return []


class LivingProcesses:
    """Counts a lane's living processes, at most every two seconds; in between the last count holds.

    One caller asks the queue's server, the others need not wait for its answer.
    """

    def __init__(self, exchange: Exchange, lane: Lane, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange = exchange
        self._lane = lane
        self._clock = clock
        self._asking = threading.Lock()
        self._asked = -_FRESH
        self.count = 1

    def refresh(self) -> None:
        """Count again where the last count is old; it stays while the server does not answer. For a thread."""
        if self._clock() - self._asked >= _FRESH and self._asking.acquire(blocking=False):
            try:
                self.count = self._exchange.processes(self._lane.name)
            except Unavailable:
                return  # whoever puts a batch there now hears of it
            finally:
                self._asked = self._clock()
                self._asking.release()
