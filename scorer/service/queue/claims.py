"""Claims: work that one process at a time may do. A claim is renewed while its holder lives and free soon after."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

from scorer.service.queue.full_server import FirmLock
from scorer.wire.errors import Unavailable

#: Seconds after which what a dead process held is free again.
CLAIM_LIFE = 15.0


@contextmanager
def claimed(client: redis.Redis, key: str) -> Iterator[bool]:
    """Claim a key for the time of the block; yields whether it is ours. Raises Unavailable when no server answers."""
    lock = FirmLock(client, key, timeout=CLAIM_LIFE, thread_local=False)
    with reached():
        mine = lock.acquire(blocking=False)
    if not mine:
        yield False
        return
    ended = threading.Event()
    keeper = threading.Thread(target=_keep, args=(lock, ended), daemon=True)
    keeper.start()
    try:
        yield True
    finally:
        ended.set()
        keeper.join()
        with suppress(redis.exceptions.RedisError):  # its life ends it
            lock.release()


def _keep(lock: FirmLock, ended: threading.Event) -> None:
    """Renew a claim until its holder is done; one that was lost, or a server that is away, is not fought for."""
    while not ended.wait(CLAIM_LIFE / 3):
        try:
            lock.reacquire()
        except redis.exceptions.LockError:
            return
        except redis.exceptions.RedisError:
            continue


@contextmanager
def reached() -> Iterator[None]:
    """Translate errors of the queue's server: raises Unavailable in their place."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise Unavailable(
            "the queue's server is full (OutOfMemoryError)",
            "It empties as rows reach their sink: run `qscore status`; raise its maxmemory where it is yours.",
        ) from error
    except redis.exceptions.RedisError as error:
        raise Unavailable(
            f"the queue's server did not do its work ({type(error).__name__})",
            "Run `qscore status`; start it with `qscore up`, or check broker_url.",
        ) from error
