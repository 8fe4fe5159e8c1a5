"""What keeps one caller from stopping the others: limits of each key, and turns between keys on the way to a lane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scorer.service.gateway.limits import KeyLimits, Load, Permit
from scorer.service.gateway.turns import Batch, Turns
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import Lane
from scorer.service.settings import GatewaySettings
from scorer.wire.errors import QueueFull, Unavailable

#: Seconds for which a count of processes holds; workers beat as often.
_FRESH = 2.0


class Traffic:
    """The limits and turns of one gateway; made once per process, safe for many threads."""

    def __init__(self, settings: GatewaySettings, queue: Exchanges) -> None:
        self.limits = KeyLimits(settings.limits, settings.threads)
        self.turns: Mapping[str, Turns] = {
            lane.name: Turns(LivingProcesses(queue.serving(lane), lane), settings.max_waiting)
            for lane in queue.lanes
            if lane.scores
        }

    def count_request(self, key_id: str) -> None:
        """Count a request of a key. Raises OverLimit where it makes too many a minute."""
        self.limits.count_request(key_id)

    def reserve(self, key_id: str, size: int, rows: int) -> Permit:
        """Reserve a batch's place, by the body's announced ``size`` in bytes; the permit is released at its end.

        Raises OverLimit, and BodyTooLarge for a batch that is more than its key may have.
        """
        return self.limits.reserve(key_id, Load(size, rows))

    @contextmanager
    def turn(self, lane: Lane, batch: Batch) -> Iterator[None]:
        """Hold a place on the lane's queue for the block. Raises QueueFull and ScoringTimeout; see ``Turns.turn``."""
        turns = self.turns[lane.name]
        try:
            with turns.turn(batch):
                yield
        except QueueFull as full:
            if full.retry_after is None:
                full.retry_after = turns.pause(1)
            raise


@dataclass(frozen=True)
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
        self._count = 1

    def __call__(self) -> int:
        """Give the count; the last one while the server does not answer."""
        if self._clock() - self._asked >= _FRESH and self._asking.acquire(blocking=False):
            try:
                self._count = self._exchange.processes(self._lane.name)
            except Unavailable:
                pass  # whoever puts a batch there now hears of it
            finally:
                self._asked = self._clock()
                self._asking.release()
        return self._count
