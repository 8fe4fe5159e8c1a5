"""What the embedded queue has on disk: sockets, and an append-only file that is written anew when it says too much."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from filelock import Timeout

from scorer.logs import get_log
from scorer.service.queue.broker import (
    DURABLE,
    append_only_lock,
    embedded,
    make_socket_folder,
    own_servers,
    redis_client,
    remove_socket_folder,
    socket_path,
)
from scorer.service.settings import Settings
from scorer.service.stack.append_only import mend
from scorer.wire.errors import ConfigurationError

#: Seconds after which the file no longer says what has left the queue.
REWRITTEN_EVERY = 600.0
#: Seconds between two looks at whether it could be written.
LOOKED_EVERY = 2.0
#: Bytes beyond what the file held when it was written last, from which on it is written anew.
_GROWN = 4096
_REWRITE_SECONDS = 10.0


def prepare_queue(settings: Settings) -> None:
    """Make ready for the embedded servers. Raises ConfigurationError where one that is not ours has their socket."""
    if not own_servers(settings):
        return
    folder = make_socket_folder(settings)
    for server in own_servers(settings):
        _clear_stale_socket(folder / server.socket_name)
    _closed(settings.home / "queue")


def clear_queue(settings: Settings) -> None:
    """Remove the sockets of servers that have ended."""
    for server in own_servers(settings):
        socket_path(settings, server).unlink(missing_ok=True)
    remove_socket_folder(settings)


def mend_file(data: Path, log: Path) -> None:
    """Take what a full disk left in the append-only file of a server that is about to start; tell of it in its log."""
    try:
        told = [f"{one.zeros} zero bytes of a full disk were taken out of {one.path}" for one in mend(data)]
    except OSError as error:
        told = [f"the append-only file in {data} was not looked through: {error.strerror}"]
    if told:
        with log.open("a", encoding="utf-8") as stream:
            stream.writelines(f"qscore up: {line}\n" for line in told)


@dataclass
class AppendOnlyFile:
    """The durable server's file: what left the queue is in it until it is written anew.

    It is written anew too when the disk has room again, for what a full disk leaves in it (see ``append_only``) keeps
    the server from starting.
    """

    settings: Settings
    _due: float = 0.0
    _looked: float = 0.0
    _full: bool = False

    @property
    def written(self) -> bool:
        return embedded(self.settings, DURABLE) and self.settings.delivers

    def tend(self) -> None:
        """Have it written anew where that is due: after the start, and every ten minutes in which it grew.

        A backup that copies it is let end first: two halves of two times are no file.
        """
        now = time.monotonic()
        if not self.written or now < self._looked + LOOKED_EVERY:
            return
        self._looked = now
        with (
            contextlib.suppress(redis.exceptions.RedisError, Timeout),
            append_only_lock(self.settings).acquire(timeout=0),
        ):
            self._look(now)

    def _look(self, now: float) -> None:
        was_full, self._full = self._full, True
        with redis_client(self.settings, connections=1) as client:
            # A server that cannot write refuses the ping that goes before: that is an error too.
            state: Any = client.info("persistence")
            self._full = state.get("aof_last_write_status", "ok") != "ok"
            if (now >= self._due and _grown(state)) or (was_full and not self._full):
                client.bgrewriteaof()
        self._due = now + REWRITTEN_EVERY if now >= self._due else self._due

    def settle(self) -> None:
        """Have it written anew and wait for that, once nobody works any more: it then says what still waits alone."""
        if not self.written:
            return
        try:
            with (
                append_only_lock(self.settings).acquire(timeout=_REWRITE_SECONDS),
                redis_client(self.settings, connections=1) as client,
            ):
                _rewritten(client)
        except (redis.exceptions.RedisError, Timeout) as error:
            get_log().warning("append_only_file_not_rewritten", reason=type(error).__name__)


def _grown(state: Mapping[str, Any]) -> bool:
    return int(state.get("aof_current_size", 0)) > int(state.get("aof_base_size", 0)) + _GROWN


def _rewritten(client: redis.Redis) -> None:
    deadline = time.monotonic() + _REWRITE_SECONDS
    asked = False
    while time.monotonic() < deadline:
        state: Any = client.info("persistence")
        busy = state.get("aof_rewrite_in_progress") or state.get("aof_rewrite_scheduled")
        if not busy and asked:
            return
        if not busy:
            client.bgrewriteaof()
            asked = True
        time.sleep(0.02)


def _closed(folder: Path) -> None:
    """Take from others what earlier versions let them read."""
    if folder.is_dir():
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)


def _clear_stale_socket(path: Path) -> None:
    """We hold the lock: a socket here is left from a stack that was killed, and a server behind it is not ours."""
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise ConfigurationError(
        f"a server that this stack did not start answers at {path}", "Stop that process, then start again."
    )
