"""Copies of files that a running stack may be writing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis
from filelock import Timeout

from scorer.service.backup.home_files import Source
from scorer.service.backup.manifest import Member
from scorer.service.queue.broker import append_only_lock, embedded, redis_client, socket_path
from scorer.service.queue.claims import reached
from scorer.service.settings import Settings
from scorer.wire.errors import Unavailable

_PIECE = 1024 * 1024
_START = 64 * 1024
_SQLITE = b"SQLite format 3\0"
_REWRITE = "auto-aof-rewrite-percentage"
_REWRITE_SECONDS = 60.0


class NotCopied(Exception):
    """A file that cannot be part of a backup, with the reason in words."""


class Withheld(Exception):
    """A file that is not to be part of a backup."""


def copy(source: Source, target: Path, withheld: Callable[[Source, bytes], bool]) -> Member:
    """Copy one file as it is at this moment. Raises NotCopied for what is no regular file of the source's folder.

    A database is copied by SQLite itself, every other file up to the length that it has when it is opened.
    ``withheld``: tells from a file and its first bytes whether it is to stay where it is. Raises Withheld for such a
    file before a byte of it lies elsewhere: the target may be a disk that others keep.
    """
    with _opened(source) as reader:
        status, start = os.fstat(reader), os.pread(reader, _START, 0)
        if withheld(source, start):
            raise Withheld
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if start.startswith(_SQLITE):
            _copy_database(source.path, target)
        else:
            _copy_bytes(reader, target, status.st_size)
    return described(target, source.name, stat.S_IMODE(status.st_mode) & 0o755)


def described(path: Path, name: str, mode: int) -> Member:
    """Measure a file for the list."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Member(name, path.stat().st_size, mode, digest)


@contextmanager
def resting_queue(settings: Settings) -> Iterator[None]:
    """Keep the embedded Valkey, where one runs, from rewriting its append-only file during the block.

    Between two rewrites it only appends. Neither does `qscore up`, which waits for the lock. Raises Unavailable where a
    rewrite does not end, or another backup.
    """
    if not embedded(settings) or not socket_path(settings).exists():
        yield
        return
    with _alone(settings), redis_client(settings, connections=1) as client:
        try:
            before = client.config_get(_REWRITE)[_REWRITE]
        except redis.exceptions.ConnectionError:  # a killed stack left its socket
            yield
            return
        with reached():
            client.config_set(_REWRITE, 0)
        try:
            _until_rewritten(client)
            yield
        finally:
            with reached():
                client.config_set(_REWRITE, before)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    lock = append_only_lock(settings)
    try:
        lock.acquire(timeout=_REWRITE_SECONDS)
    except Timeout:
        raise Unavailable("another backup copies the queue", "Try again when it has ended.") from None
    try:
        yield
    finally:
        lock.release()


def _until_rewritten(client: redis.Redis) -> None:
    deadline = time.monotonic() + _REWRITE_SECONDS
    while True:
        with reached():
            state = client.info("persistence")
        if not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]:
            return
        if time.monotonic() > deadline:
            raise Unavailable("the queue's server is still rewriting its append-only file", "Try again later.")
        time.sleep(0.1)


@contextmanager
def _opened(source: Source) -> Iterator[int]:
    # Mounted Secrets and ConfigMaps are links inside their own folder; others may lead anywhere. A FIFO never blocks.
    try:
        real = source.path.resolve(strict=True)
        if not real.is_relative_to(source.root.resolve()):
            raise NotCopied("a link that leads out of its folder")
        reader = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise NotCopied(getattr(error, "strerror", None) or "it cannot be opened") from None
    try:
        if not stat.S_ISREG(os.fstat(reader).st_mode):
            raise NotCopied("no regular file")
        yield reader
    finally:
        os.close(reader)


def _copy_bytes(reader: int, target: Path, size: int) -> None:
    with target.open("xb") as writer:
        while piece := os.read(reader, min(_PIECE, size - writer.tell())):
            writer.write(piece)


def _copy_database(source: Path, target: Path) -> None:
    try:
        with closing(sqlite3.connect(source, timeout=10.0)) as live, closing(sqlite3.connect(target)) as copy_of:
            live.backup(copy_of)
            found = copy_of.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise NotCopied(f"a damaged database ({error})") from None
    if found != "ok":
        raise NotCopied("a damaged database")
