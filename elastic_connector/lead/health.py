"""The connector for those who watch it: /healthz, /readyz and /metrics on an address of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from elastic_connector.lead.status import LEADING, Board, SourceStatus
from scorer.elastic_client.moments import iso, seconds
from scorer.wire.errors import ConfigurationError

#: Closed indices that are named; the metric counts all.
_SHOWN = 20
_Value = Callable[[SourceStatus], float | None]

_GAUGES: dict[str, tuple[str, _Value]] = {
    "leading": ("1 where this process leads the source", lambda s: float(s.state == LEADING)),
    "degraded": ("1 where something keeps the source from being scored", lambda s: float(bool(s.reason))),
    "epoch": ("How often the lease changed hands", lambda s: s.epoch),
    "lag_seconds": ("Age of the oldest document that waits", lambda s: s.lag_seconds),
    "lag_documents": ("Documents that wait, counted once a minute", lambda s: s.lag_documents),
    "checkpoint_seconds": (
        "Time up to which all documents are scored, epoch seconds",
        lambda s: None if s.checkpoint is None else seconds(s.checkpoint),
    ),
    "in_flight_rows": ("Rows sent and not yet acknowledged", lambda s: s.in_flight_rows),
    "closed_indices": ("Indices of the source that are closed and so not read", lambda s: len(s.closed_indices)),
    "in_flight_bytes": ("Bytes of those rows", lambda s: s.in_flight_bytes),
}
_COUNTERS: dict[str, tuple[str, _Value]] = {
    "documents": ("Documents read", lambda s: s.documents),
    "bytes": ("Bytes of documents read", lambda s: s.bytes),
    "batches": ("Batches sent", lambda s: s.totals.batches),
    "written": ("Scores written", lambda s: s.totals.written),
    "conflicts": ("Scores that were there already (409)", lambda s: s.totals.already_there),
    "dead_letters": ("Rows that went to the dead letters", lambda s: s.totals.dead),
    "retries": ("Batches sent again because they were late", lambda s: s.totals.retries),
    "busy": ("Times that Elasticsearch (429, 503) or the queue said: later", lambda s: s.busy),
    "batch_problems": ("Batches that workers refused", lambda s: s.totals.refused),
    "snapshots_reopened": ("Points in time that were lost and opened again", lambda s: s.reopened),
    "takeovers": ("Leases taken over from another process", lambda s: s.takeovers),
}


@dataclass(frozen=True)
class _Sources(Collector):
    board: Board

    def collect(self) -> Iterable[Metric]:
        statuses = list(self.board)
        labels = ["source", "model"]
        for name, (meaning, value) in _GAUGES.items():
            yield _filled(GaugeMetricFamily(f"qscore_elastic_{name}", meaning, labels=labels), statuses, value)
        for name, (meaning, value) in _COUNTERS.items():
            yield _filled(CounterMetricFamily(f"qscore_elastic_{name}", meaning, labels=labels), statuses, value)

    def describe(self) -> Iterable[Metric]:
        return []


def _filled(family: Any, statuses: Iterable[SourceStatus], value: _Value) -> Metric:
    for status in statuses:
        number = value(status)
        if number is not None:
            family.add_metric([status.source, status.model], number)
    filled: Metric = family
    return filled


def metrics_text(board: Board) -> bytes:
    """Prometheus exposition format."""
    registry = CollectorRegistry()
    registry.register(_Sources(board))
    return generate_latest(registry)


def state_json(board: Board) -> bytes:
    """Each source's state, and what is wrong with it, for people."""
    listed = [
        {
            "source": s.source,
            "model": s.model,
            "version": s.version,
            "state": s.state,
            "reason": s.reason,
            "checkpoint": None if s.checkpoint is None else iso(s.checkpoint),
            "lag_seconds": round(s.lag_seconds, 3),
            "closed_indices": s.closed_indices[:_SHOWN],
        }
        for s in board
    ]
    return orjson.dumps({"status": "ready" if board.ready else "degraded", "sources": listed})


@contextlib.contextmanager
def health_server(board: Board, host: str, port: int) -> Iterator[int]:
    """Serves for the body of a ``with``; yields the port. Raises ConfigurationError when it is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0
        server_version, sys_version = "qscore", ""

        def do_GET(self) -> None:  # http.server's name
            path = self.path.partition("?")[0]
            if path == "/healthz":
                self._answer(200, b'{"status":"up"}', "application/json")
            elif path == "/readyz":
                self._answer(200 if board.ready else 503, state_json(board), "application/json")
            elif path == "/metrics":
                self._answer(200, metrics_text(board), "text/plain; version=0.0.4; charset=utf-8")
            else:
                self._answer(404, b'{"status":"unknown path"}', "application/json")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
            """Probes come every few seconds; nothing is logged."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"the health endpoint cannot listen on {host}:{port}: {error.strerror}", "Choose another health_port."
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
