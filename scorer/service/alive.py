"""Does the process of this container or machine live? For health checks of Docker, compose, Kubernetes and systemd.

    python -m scorer.service.alive gateway               answers /healthz
    python -m scorer.service.alive worker score          beats; also where the queue's server is away
    python -m scorer.service.alive worker score --ready  beats
    python -m scorer.service.alive connector             answers /healthz on elastic.health_port

Exit code 0 or 1, with a sentence. A worker outlives outages of its queue: while the server is away nobody can see it
beat, and that alone must not have it started anew.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from scorer.service.queue.broker import redis_client
from scorer.service.queue.claims import reached
from scorer.service.queue.lanes import LANES
from scorer.service.queue.living import WORKERS
from scorer.service.settings import Settings, load_settings
from scorer.wire.client import GATEWAY
from scorer.wire.errors import QScoreError, Unavailable, Untrusted
from scorer.wire.transport import TlsConnection, Trust

_SECONDS = 5.0
_ANSWER_CAP = 64 * 1024  # bytes
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound
_USAGE = f"usage: python -m scorer.service.alive gateway | worker {'|'.join(LANES.by_name)} [--ready] | connector"


def gateway(settings: Settings) -> str:
    """Ask the gateway on this host. Returns what is wrong, empty where nothing is."""
    host = _EVERYWHERE.get(settings.gateway.host, settings.gateway.host)
    url = f"https://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"
    ca = settings.tls_dir / "ca.pem"
    trust = Trust(str(ca) if settings.gateway.certificate is None else None, any_name=True)
    connection = TlsConnection(url, GATEWAY, trust)
    try:
        status = connection.exchange("GET", "/healthz", None, {}, _SECONDS, _ANSWER_CAP).status
    except Untrusted:  # it showed the certificate of an authority that callers know and this host need not
        return ""
    except Unavailable as error:
        return error.sentence()
    finally:
        connection.close()
    return "" if status == 200 else f"the gateway answers {status}"


def worker(settings: Settings, lane: str, ready: bool = False) -> str:
    """Look for a beat of this host's worker. ``ready``: a queue that does not answer is wrong too."""
    client = redis_client(settings, connections=1, server=LANES.by_name[lane].server)
    try:
        with reached():
            names: Any = client.zrangebyscore(WORKERS + lane, time.time(), "+inf")
    except Unavailable as error:
        return error.sentence() if ready else ""
    here = f"{socket.gethostname()}:".encode()
    return "" if any(name.startswith(here) for name in names) else f"no worker of the lane {lane} beats on this host"


def connector(settings: Settings) -> str:
    """Ask the connector on this host."""
    where = (settings.elastic.health_host, settings.elastic.health_port)
    if not settings.elastic.health_port:
        return "elastic.health_port is not set"
    try:
        with socket.create_connection(where, _SECONDS) as connection:
            connection.settimeout(_SECONDS)
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return f"the connector does not answer on port {where[1]}: {error}"
    return "" if answer.split(b" ", 2)[1:2] == [b"200"] else f"the connector answers {answer[:32]!r}"


def main(arguments: Sequence[str]) -> None:
    """Look at the process that ``arguments`` name. Raises SystemExit: 0 where it lives, 1 where not, 2 for others."""
    look = _look(arguments)
    if look is None:
        sys.stderr.write(_USAGE + "\n")
        raise SystemExit(2)
    try:
        wrong = look(load_settings())
    except QScoreError as error:
        wrong = error.sentence()
    sys.stderr.write(f"{wrong or 'alive'}\n")
    raise SystemExit(1 if wrong else 0)


def _look(arguments: Sequence[str]) -> Callable[[Settings], str] | None:
    match arguments:
        case ["gateway"]:
            return gateway
        case ["connector"]:
            return connector
        case ["worker", lane] if lane in LANES.by_name:
            return lambda settings: worker(settings, lane)
        case ["worker", lane, "--ready"] if lane in LANES.by_name:
            return lambda settings: worker(settings, lane, ready=True)
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
