"""The connector for those who watch it: /healthz, /readyz and /metrics on an address of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from elastic_connector.lead.status import LEADING, SourceStatus, StatusBoard
from scorer.elastic_client.moments import iso, seconds
from scorer.wire.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
    board: StatusBoard

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


def state_json(board: StatusBoard) -> bytes:
    """Write each source's state, and what is wrong with it, for people."""
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


class _Handler(WSGIRequestHandler):
    timeout = 10.0  # seconds that a client may be silent
    server_version, sys_version = "qscore", ""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        """Log nothing: probes come every few seconds."""


def health_app(board: StatusBoard) -> WSGIApplication:
    """Make the WSGI application that answers for ``board``."""
    registry = CollectorRegistry()
    registry.register(_Sources(board))
    metrics = make_wsgi_app(registry)

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            exposed: Iterable[bytes] = metrics(environ, start)
            return exposed
        status, body = "404 Not Found", b'{"status":"unknown path"}'
        if path == "/healthz":
            status, body = "200 OK", b'{"status":"up"}'
        elif path == "/readyz":
            status, body = "200 OK" if board.ready else "503 Service Unavailable", state_json(board)
        start(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [body]

    return answer


@contextlib.contextmanager
def health_server(board: StatusBoard, host: str, port: int) -> Iterator[int]:
    """Serve for the body of a ``with``; yields the port. Raises ConfigurationError when it is taken."""
    try:
        server = make_server(host, port, health_app(board), ThreadingWSGIServer, _Handler)
    except OSError as error:
        raise ConfigurationError(
            f"the health endpoint cannot listen on {host}:{port}: {error.strerror}", "Choose another health_port."
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
