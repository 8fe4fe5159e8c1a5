"""The file of keys as a running process sees it: read anew when it changes, so that a new key needs no restart."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from scorer.logs import get_log
from scorer.service.queue.sealing.keys import QueueKeys, read_keys
from scorer.wire.errors import ConfigurationError

#: Seconds between two looks at the file.
LOOK_EVERY = 5.0


class QueueKeyFile:
    """One file of keys, for every seal of a process. Safe for many threads without a lock, and so across a fork: two
    that look at once read the same. ``look_every``: seconds between two looks at it."""

    def __init__(self, path: Path, look_every: float = LOOK_EVERY) -> None:
        self._path = path
        self._look_every = look_every
        self._keys: QueueKeys | None = None
        self._seen: tuple[int, ...] = ()
        self._next_look = 0.0

    def read(self) -> QueueKeys:
        """Read the file now. Raises ConfigurationError where it does not serve."""
        self._seen, self._next_look = _state(self._path), time.monotonic() + self._look_every
        self._keys = read_keys(self._path)
        return self._keys

    def serving(self) -> tuple[bytes, ...]:
        """List the secrets that open values now, first of them the one that makes seals.

        A file that was damaged or removed leaves the keys as they were, and a line in the log. Raises
        ConfigurationError where it never could be read.
        """
        keys = self._keys or self.read()
        if time.monotonic() >= self._next_look:
            keys = self._looked(keys)
        return keys.serving(time.time())

    def _looked(self, keys: QueueKeys) -> QueueKeys:
        self._next_look = time.monotonic() + self._look_every
        if _state(self._path) == self._seen:
            return keys
        try:
            changed = self.read()
        except ConfigurationError as error:  # said once, and looked at again when it has changed
            get_log().error("queue_keys_unreadable", reason=error.sentence())
            return keys
        get_log().info("queue_keys", seals=changed.sealing(time.time()).name, keys=[key.name for key in changed.keys])
        return changed


@functools.cache
def key_file(path: Path) -> QueueKeyFile:
    """Give this process's view of a file; one for each path."""
    return QueueKeyFile(path)


def _state(path: Path) -> tuple[int, ...]:
    """Say which state of a file this is; nothing where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
