"""When each key was last used, and from where: noted in memory, written beside the keys at most once a minute.

It is for people who look which keys may go. A request never waits for it, and a file that cannot be written costs
nothing but the knowledge.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from scorer.files import write_atomic

EVERY = 60.0
_FILE_CAP = 4 * 1024 * 1024


class Use(NamedTuple):
    """The last use of a key: epoch seconds, and the caller's address."""

    at: float
    address: str


@dataclass(frozen=True)
class UseFile:
    """The file of last uses beside ``api_keys.json``, mode 0600."""

    path: Path

    @classmethod
    def beside(cls, keys: Path) -> UseFile:
        return cls(keys.with_name(keys.stem + "_used.json"))

    def read(self) -> dict[str, Use]:
        """Read key id -> last use; empty where there is no file or a damaged one: it only informs."""
        try:
            with self.path.open("rb") as stream:
                raw = json.loads(stream.read(_FILE_CAP))
            return {str(key): Use(float(at), str(address)) for key, (at, address) in raw["used"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}

    def merge(self, uses: Mapping[str, Use], known: Iterable[str]) -> None:
        """Add newer uses and leave out those of keys that are gone. Raises OSError."""
        found = self.read()
        for key, use in uses.items():
            found[key] = max(use, found.get(key, use))
        kept = {key: found[key] for key in sorted(set(known) & set(found))}
        write_atomic(self.path, json.dumps({"used": kept}, indent=1).encode(), mode=0o600)


class LastUses:
    """Notes uses, and writes them from a thread of its own, which starts with the first one.

    ``known``: asked for the ids of the keys that there are. ``every``: seconds between two writings.
    """

    def __init__(self, file: UseFile, known: Callable[[], Iterable[str]], every: float = EVERY) -> None:
        self._file = file
        self._known = known
        self._every = every
        self._noted: dict[str, Use] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def note(self, key_id: str, use: Use) -> None:
        """Keep a use in memory; returns at once."""
        with self._lock:
            self._noted[key_id] = use
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_on, name="last-uses", daemon=True)
                self._thread.start()
                atexit.register(self.end)

    def flush(self) -> None:
        """Write what was noted since the last time; a file that cannot be written is tried again at the next."""
        with self._lock:
            noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            self._file.merge(noted, self._known())
        except Exception:  # a full disk, a damaged key file: the requests themselves say so
            with self._lock:
                self._noted = noted | self._noted

    def end(self) -> None:
        """Write for the last time and end the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
        atexit.unregister(self.end)

    def _write_on(self) -> None:
        while not self._ended.wait(self._every):
            with contextlib.suppress(Exception):  # the thread outlives whatever one writing does
                self.flush()
