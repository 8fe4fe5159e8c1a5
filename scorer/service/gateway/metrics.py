"""Prometheus metrics of the gateway.

The gateway is one process (server.py says why), so that one registry in memory holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from scorer.service.queue.exchange import QueueState
from scorer.wire.errors import Unavailable

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True)
class GatewayMetrics:
    """Counters of one gateway; labels hold codes and model names that exist, never what a caller made up."""

    registry: CollectorRegistry
    requests: Counter
    rows: Counter
    seconds: Histogram
    ended: Counter

    def text(self) -> bytes:
        """Write the metrics in Prometheus's exposition format."""
        return bytes(generate_latest(self.registry))


def new_metrics(state: Callable[[], QueueState], backlog: Callable[[], Mapping[str, float]] = dict) -> GatewayMetrics:
    """Make metrics in a registry of their own; ``state`` and ``backlog`` are asked at every scrape."""
    registry = CollectorRegistry()
    registry.register(_Queue(state, backlog))
    return GatewayMetrics(
        registry,
        Counter("qscore_requests", "Requests by endpoint and outcome", ["endpoint", "code"], registry=registry),
        Counter("qscore_rows", "Rows sent to be scored", ["model"], registry=registry),
        Histogram("qscore_score_seconds", "A batch, from headers read to reply", buckets=_SECONDS, registry=registry),
        Counter("qscore_connections_ended", "Connections and requests cut off, by cause", ["end"], registry=registry),
    )


@dataclass(frozen=True)
class _Queue(Collector):
    state: Callable[[], QueueState]
    backlog: Callable[[], Mapping[str, float]]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        waiting = GaugeMetricFamily("qscore_queue_waiting", "Messages that no worker has taken", labels=["queue"])
        workers = GaugeMetricFamily("qscore_workers_alive", "Workers with a recent heartbeat", labels=["lane"])
        up = GaugeMetricFamily("qscore_queue_up", "1 when the queue's server answers")
        seconds = GaugeMetricFamily(
            "qscore_backlog_seconds", "Work that waits or runs, in seconds of one scoring process", labels=["queue"]
        )
        try:
            state, backlog = self.state(), self.backlog()
        except Unavailable:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        for queue, count in state.waiting.items():
            waiting.add_metric([queue], count)
        for lane, count in state.workers.items():
            workers.add_metric([lane], count)
        for queue, work in backlog.items():
            seconds.add_metric([queue], work)
        return [up, waiting, workers, seconds]

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # so that registering asks nothing of the queue
