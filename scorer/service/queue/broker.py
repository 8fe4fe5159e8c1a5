"""Where the queue is: two servers, one of which keeps nothing on disk, each embedded or named by a setting.

What belongs to searches lives on ``FAST``, the rest on ``DURABLE``. With ``broker_url`` and no
``interactive_broker_url`` they are one and the same server of yours.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from filelock import FileLock

from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError

#: Bytes that fit into ``sockaddr_un.sun_path`` on Linux, less the final NUL.
_SOCKET_PATH_LIMIT = 107
_SCHEMES = ("redis", "rediss", "redis+socket")
#: Options behind a URL's question mark that say whether the server is verified, with what they may say.
_VERIFIED = {"ssl_cert_reqs": ("required", "cert_required"), "ssl_check_hostname": ("true", "yes", "1")}


@dataclass(frozen=True)
class Server:
    """One of the queue's servers. ``name``: of the embedded one's process, socket and log."""

    name: str

    @property
    def socket_name(self) -> str:
        return f"{self.name}.sock"


#: Holds what must survive a restart: bulk batches, rows on their way to a sink, acknowledgements.
DURABLE = Server("valkey")
#: Holds what ends with its caller: searches' batches and replies. Embedded, it writes nothing to disk.
FAST = Server("valkey-fast")


def servers(settings: Settings) -> tuple[Server, ...]:
    """List the servers that the queue has: both, or one where both lie at the same address."""
    return (DURABLE,) if shared(settings) else (DURABLE, FAST)


def shared(settings: Settings) -> bool:
    """Tell whether one server holds all lanes."""
    return bool(settings.broker_url) and given_url(settings, FAST) == settings.broker_url


def given_url(settings: Settings, server: Server) -> str:
    """Find the URL that the settings give a server; empty where it is embedded."""
    return (settings.interactive_broker_url if server == FAST else "") or settings.broker_url


def embedded(settings: Settings, server: Server = DURABLE) -> bool:
    """Tell whether `qscore up` runs this server of the queue itself."""
    return not given_url(settings, server)


def own_servers(settings: Settings) -> tuple[Server, ...]:
    """List the servers of the queue that `qscore up` runs itself."""
    return tuple(server for server in servers(settings) if embedded(settings, server))


def socket_path(settings: Settings, server: Server = DURABLE) -> Path:
    """Place an embedded server's unix socket: in the run folder, or where that is too long in the recorded one."""
    path = settings.run_dir / server.socket_name
    if _fits(settings.run_dir):
        return path
    try:
        return _socket_record(settings).readlink() / server.socket_name
    except OSError:
        return path  # no stack runs; whoever connects there is told so


def make_socket_folder(settings: Settings) -> Path:
    """Make the folder of the embedded servers' sockets: the run folder, or a short one with a name nobody can guess.

    A name that can be guessed could be taken by any user of the machine, and no stack would start. The folder is
    recorded in the run folder. Raises ConfigurationError where no folder for it is short enough.
    """
    if _fits(settings.run_dir):
        return private_dir(settings.run_dir)
    record = _socket_record(settings)
    with contextlib.suppress(OSError):
        left = record.readlink()  # of a stack that was killed
        if _private(left):
            return left
    folder = Path(tempfile.mkdtemp(prefix="qscore-", dir=_short_parent()))
    record.unlink(missing_ok=True)
    record.symlink_to(folder)
    return folder


def remove_socket_folder(settings: Settings) -> None:
    """Remove what ``make_socket_folder`` made outside the home, with what is left in it."""
    record = _socket_record(settings)
    if record.is_symlink():
        shutil.rmtree(record.readlink(), ignore_errors=True)
        record.unlink()


def _socket_record(settings: Settings) -> Path:
    return settings.run_dir / "sockets"


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / FAST.socket_name)) <= _SOCKET_PATH_LIMIT


def _short_parent() -> str:
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108  # a random name in it
        if parent and _fits(Path(parent) / "qscore-12345678") and os.access(parent, os.W_OK | os.X_OK):
            return parent
    raise ConfigurationError("no folder is short enough for a unix socket", "Name a shorter home in QSCORE_HOME.")


def _private(folder: Path) -> bool:
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def append_only_lock(settings: Settings) -> FileLock:
    """Make the lock of whoever has the embedded server's append-only file written anew, or copies it meanwhile not."""
    return FileLock(settings.run_dir / "append_only.lock", mode=0o600)


def private_dir(path: Path) -> Path:
    """Make ``path`` with mode 0700, or check that it is ours alone; raises ConfigurationError when it is not."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigurationError(f"{path} belongs to somebody else", "Remove it, or name another home in QSCORE_HOME.")
    path.chmod(0o700)
    return path


def broker_url(settings: Settings, server: Server = DURABLE) -> str:
    """Write a server's URL as Celery takes it. Raises ConfigurationError for a scheme that does not serve."""
    if embedded(settings, server):
        return "redis+socket://" + quote(str(socket_path(settings, server)))
    url = given_url(settings, server)
    if urlsplit(url).scheme not in _SCHEMES:
        raise ConfigurationError(
            f"{_setting(settings, server)} = {shown_url(settings, server)!r} is none of redis://, rediss://,"
            " redis+socket://",
            "Memory, file and SQL brokers lose tasks or poll once a second; use a Redis or Valkey server.",
        )
    if ";" in url:
        raise ConfigurationError(f"{_setting(settings, server)} names several servers", "Name one.")
    _refuse_plain(settings, server)
    _refuse_unverified(settings, server)
    return url


def _refuse_plain(settings: Settings, server: Server) -> None:
    """Refuse to send feature values in the clear to a host that is not this one and was not named as an exception."""
    parts = urlsplit(given_url(settings, server))
    host = parts.hostname or "localhost"
    if parts.scheme == "redis" and not is_loopback(host) and host not in settings.broker_plain_hosts:
        raise ConfigurationError(
            f"{_setting(settings, server)} = {shown_url(settings, server)!r} is neither encrypted nor on this machine",
            f"Use rediss://, or allow it by broker_plain_hosts = [{host!r}] where the network between is trusted.",
        )


def _refuse_unverified(settings: Settings, server: Server) -> None:
    """Refuse a URL whose own options would end the verification of the server's certificate."""
    for name, said in parse_qsl(urlsplit(given_url(settings, server)).query, keep_blank_values=True):
        if name in _VERIFIED and said.lower() not in _VERIFIED[name]:
            raise ConfigurationError(
                f"{_setting(settings, server)} says {name}={said[:40]}, and the server must be verified",
                "Leave that out; name the PEM file of its authority in broker_ca.",
            )


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _setting(settings: Settings, server: Server) -> str:
    return "interactive_broker_url" if server == FAST and settings.interactive_broker_url else "broker_url"


def shown_url(settings: Settings, server: Server = DURABLE) -> str:
    """Write a server's URL without its password, for people."""
    if embedded(settings, server):
        return f"embedded Valkey at {socket_path(settings, server)}"
    parts = urlsplit(given_url(settings, server))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()  # options may hold a password too


def shown_urls(settings: Settings) -> str:
    """Write the URLs of all servers, without passwords."""
    return " and ".join(shown_url(settings, server) for server in servers(settings))


def tls_options(settings: Settings, server: Server = DURABLE) -> dict[str, Any]:
    """Choose the arguments by which redis-py and kombu verify a rediss:// server; none for the other schemes.

    Raises ConfigurationError where the authority's file is missing.
    """
    if urlsplit(given_url(settings, server)).scheme != "rediss":
        return {}
    options: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if settings.broker_ca is not None:
        if not settings.broker_ca.is_file():
            raise ConfigurationError(f"broker_ca = {settings.broker_ca} is not a file", "Name the CA's PEM file.")
        options["ssl_ca_certs"] = str(settings.broker_ca)
    return options


def redis_client(
    settings: Settings, connections: int = 8, longest_wait: float = 0.0, server: Server = DURABLE
) -> redis.Redis:
    """Make a thread-safe client of one of the queue's servers, with a pool of its own.

    ``longest_wait``: seconds that a blocking call (BLPOP) may last; a silent server is given up a little later.
    """
    url = broker_url(settings, server)
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
    common |= {"socket_keepalive": True, **tls_options(settings, server)}
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, **common))
