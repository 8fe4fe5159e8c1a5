"""The connector process: a thread for each source, heartbeats, the health endpoint. Everything is composed here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from elastic_connector.lead.batches import Queues
from elastic_connector.lead.health import health_server
from elastic_connector.lead.heartbeat import Heartbeats
from elastic_connector.lead.shared import Cards, Setting
from elastic_connector.lead.source import SourceRunner
from elastic_connector.lead.status import SourceStatus, StatusBoard
from elastic_connector.lead.term import GRACE
from scorer.elastic_client.client import connect, server_info
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.moments import BEGINNING, GivenTime
from scorer.elastic_client.settings import ElasticSource
from scorer.logs import get_log
from scorer.service.queue.exchanges import durable_exchange
from scorer.service.queue.sealing.exposure import warn_of_exposures
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError, Unavailable

_TICK = 0.2


def run_connector(
    settings: Settings,
    cards: Cards,
    stop: threading.Event,
    *,
    once: bool = False,
    since: GivenTime = BEGINNING,
    only: tuple[str, ...] = (),
    ready: Callable[[StatusBoard, int], None] = lambda _board, _port: None,
) -> list[SourceStatus]:
    """Run until ``stop``, or with ``once`` until all documents that are there are scored; what became of each source.

    ``since``: where a source that was never read begins. ``only``: names of sources; none: all. ``ready`` is called
    once everything has started, with the port of the health endpoint (0: none).
    Raises ConfigurationError; with ``once`` also what ended a source.
    """
    chosen = _chosen(settings, only)
    warn_of_exposures(settings)
    elastic = settings.elastic
    client = connect(elastic)
    # Each source blocks one connection while it waits for acknowledgements, and its lease uses another.
    exchange = durable_exchange(settings, connections=2 * len(chosen) + 2, longest_wait=1.0)
    board = StatusBoard([SourceStatus(s.name, s.model, elastic.namespace_of(s)) for s in chosen])
    clock = ServerClock(client)
    setting = Setting(client, Queues.of(settings, exchange), cards, elastic, clock, board, since, once)
    runners = [SourceRunner(source, setting, stop) for source in chosen]
    try:
        with _health(settings, board) as port:
            _check_server(setting)
            _run_all(runners, setting, lambda: ready(board, port))
    finally:
        client.close()
        exchange.client.close()
    failures = [runner.failure for runner in runners if runner.failure is not None]
    if failures:
        raise failures[0]
    return list(board)


def _chosen(settings: Settings, only: tuple[str, ...]) -> list[ElasticSource]:
    sources = {source.name: source for source in settings.elastic.sources}
    unknown = [name for name in only if name not in sources]
    if unknown or not sources:
        what = f"there is no source {unknown[0][:64]!r}" if unknown else "no source is configured"
        known = ", ".join(sources) or "none; add an [[elastic.sources]] table to qscore.toml"
        raise ConfigurationError(what, f"Sources: {known}.")
    return [source for name, source in sources.items() if not only or name in only]


def _health(settings: Settings, board: StatusBoard) -> contextlib.AbstractContextManager[int]:
    elastic = settings.elastic
    if not elastic.health_port:
        return contextlib.nullcontext(0)
    return health_server(board, elastic.health_host, elastic.health_port)


def _check_server(setting: Setting) -> None:
    """Ask what server it is: what no waiting mends ends the process; a server that is away is waited for."""
    try:
        info = server_info(setting.client)
    except Unavailable as error:
        if setting.once:
            raise
        get_log().warning("elasticsearch_away", reason=error.sentence())
        return
    get_log().info("elasticsearch", cluster=info.name, version=info.number, flavor=info.flavor)


def _run_all(runners: list[SourceRunner], setting: Setting, started: Callable[[], None]) -> None:
    """Start the sources' threads and beat until they have ended; a stop is waited for, but not without end."""
    threads = [threading.Thread(target=r.run, name=f"source-{r.name}", daemon=True) for r in runners]
    for thread in threads:
        thread.start()
    started()
    stop = runners[0].stop
    beats = Heartbeats(setting.client, setting.board, setting.clock.millis, stop)
    while any(thread.is_alive() for thread in threads) and not stop.is_set():
        stop.wait(_TICK)
        beats.send_due()
    deadline = time.monotonic() + GRACE + 2 * setting.elastic.timeout
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
