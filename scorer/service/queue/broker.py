"""Where the queue is: the embedded Valkey's socket, or the server that ``broker_url`` names."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import redis

from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError

#: Bytes that fit into ``sockaddr_un.sun_path`` on Linux, less the final NUL.
_SOCKET_PATH_LIMIT = 107
_SCHEMES = ("redis", "rediss", "redis+socket")


def embedded(settings: Settings) -> bool:
    """Tell whether `qscore up` runs the queue's server itself."""
    return not settings.broker_url


def socket_path(settings: Settings) -> Path:
    """Place the embedded server's unix socket: in the run folder, or where that is too long in a short private one."""
    path = settings.run_dir / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(settings.home)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"qscore-{os.getuid()}-{digest}" / "valkey.sock"


def private_dir(path: Path) -> Path:
    """Make ``path`` with mode 0700, or check that it is ours alone; raises ConfigurationError when it is not."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigurationError(f"{path} belongs to somebody else", "Remove it, or name another home in QSCORE_HOME.")
    path.chmod(0o700)
    return path


def broker_url(settings: Settings) -> str:
    """Write the queue's URL as Celery takes it. Raises ConfigurationError for a scheme that does not serve."""
    if embedded(settings):
        return "redis+socket://" + quote(str(socket_path(settings)))
    if urlsplit(settings.broker_url).scheme not in _SCHEMES:
        raise ConfigurationError(
            f"broker_url = {shown_url(settings)!r} is none of redis://, rediss://, redis+socket://",
            "Memory, file and SQL brokers lose tasks or poll once a second; use a Redis or Valkey server.",
        )
    return settings.broker_url


def shown_url(settings: Settings) -> str:
    """Write the queue's URL without its password, for people."""
    if embedded(settings):
        return f"embedded Valkey at {socket_path(settings)}"
    parts = urlsplit(settings.broker_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def tls_options(settings: Settings) -> dict[str, Any]:
    """Choose the arguments by which redis-py and kombu verify a rediss:// server; none for the other schemes.

    Raises ConfigurationError where the authority's file is missing.
    """
    if urlsplit(settings.broker_url).scheme != "rediss":
        return {}
    options: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if settings.broker_ca is not None:
        if not settings.broker_ca.is_file():
            raise ConfigurationError(f"broker_ca = {settings.broker_ca} is not a file", "Name the CA's PEM file.")
        options["ssl_ca_certs"] = str(settings.broker_ca)
    return options


def redis_client(settings: Settings, connections: int = 8, longest_wait: float = 0.0) -> redis.Redis:
    """Make a thread-safe client of the queue's server, with a pool of its own.

    ``longest_wait``: seconds that a blocking call (BLPOP) may last; a silent server is given up a little later.
    """
    url = broker_url(settings)
    common: dict[str, Any] = {
        "max_connections": connections,
        "timeout": 5,
        "socket_timeout": longest_wait + 5.0,
        "socket_connect_timeout": 3.0,
        "health_check_interval": 30,
    }
    if url.startswith("redis+socket://"):
        parts = urlsplit(url)
        return redis.Redis(
            connection_pool=redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
                connection_class=redis.UnixDomainSocketConnection, path=unquote(parts.netloc + parts.path), **common
            )
        )
    common |= {"socket_keepalive": True, **tls_options(settings)}
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, **common))
