"""What a machine remembers of aliases: the newest counter that it saw of each model, so that old ones stay refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from scorer.files import read_file, write_atomic
from scorer.logs import get_log
from scorer.registry.aliases import REMEDY, Aliases
from scorer.wire.errors import ArtifactRejected, ConfigurationError

_FILE_CAP = 4 * 1024 * 1024
#: Seconds to wait for another process that writes; whoever asks for a model waits meanwhile.
_PATIENCE = 1.0


@dataclass(frozen=True)
class Seen:
    """The newest aliases of one model that were seen. ``counter``: 0 where they were unsigned."""

    counter: int = 0
    sha256: str = ""
    live: str = ""


@dataclass
class SeenAliases:
    """The memory in the file ``path``, shared by the processes of one machine; None: this process's own alone.

    ``writes``: whether news goes into the file, as from gateway and workers; commands only read it, for they may run
    as another user. A file that cannot be used is an error in the log: the process then remembers for itself.
    """

    path: Path | None = None
    writes: bool = False
    _own: dict[str, Seen] = field(default_factory=dict, repr=False)
    _failed: bool = field(default=False, repr=False)

    def of(self, root: Path, name: str) -> Seen:
        """Look up the newest of a model that this process or another of the machine has seen."""
        key = _key(root, name)
        stored, own = self._read().get(key, Seen()), self._own.get(key, Seen())
        return own if own.counter >= stored.counter and own != Seen() else stored

    def admit(self, root: Path, name: str, aliases: Aliases) -> Seen:
        """Compare aliases with the newest that were seen, and remember them; returns what was seen before.

        Raises ArtifactRejected where they are older, or unsigned after signed ones.
        """
        before = self.of(root, name)
        _check(name, aliases, before)
        now = Seen(aliases.counter, aliases.sha256, aliases.live)
        if now != Seen() or before != Seen():  # nothing is remembered of names that a caller made up
            self._own[_key(root, name)] = now
        if self.writes and now != before:
            self._write(_key(root, name), now)
        return before

    def _read(self) -> Mapping[str, Seen]:
        if self.path is None or not self.path.exists():
            return {}
        try:
            raw = json.loads(read_file(self.path, _FILE_CAP, ConfigurationError, secret=True))
            return {str(key): _seen(entry) for key, entry in raw.items()}
        except (ConfigurationError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            self._warn(error)
            return {}

    def _write(self, key: str, now: Seen) -> None:
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock"), _PATIENCE, mode=0o600):
                stored = dict(self._read())
                if stored.get(key, Seen()).counter <= now.counter:
                    stored[key] = now
                    content = json.dumps({name: asdict(seen) for name, seen in stored.items()}, sort_keys=True)
                    write_atomic(self.path, content.encode(), mode=0o600)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if self.writes and not self._failed:
            get_log().error("aliases_not_remembered", file=str(self.path), reason=str(error))
        self._failed = True


def _check(name: str, aliases: Aliases, before: Seen) -> None:
    if before.counter and not aliases.counter:
        raise ArtifactRejected(f"the aliases of {name} are unsigned, and signed ones were seen before", REMEDY)
    if aliases.counter < before.counter:
        raise ArtifactRejected(
            f"the aliases of {name} are older (counter {aliases.counter}) than those seen before ({before.counter})",
            REMEDY,
        )
    if aliases.late and 0 < before.counter < aliases.counter:
        raise ArtifactRejected(
            f"new aliases of {name} were signed by key {aliases.key_id}, whose end was before that", REMEDY
        )
    if aliases.counter and aliases.counter == before.counter and aliases.sha256 != before.sha256:
        raise ArtifactRejected(f"there are two signed aliases of {name} with the counter {aliases.counter}", REMEDY)


def _key(root: Path, name: str) -> str:
    return f"{os.path.abspath(root)}:{name}"  # noqa: PTH100  # links stay: a mounted folder moves behind them


def _seen(entry: Mapping[str, Any]) -> Seen:
    counter = entry["counter"]
    if type(counter) is not int:
        raise TypeError("a counter is a whole number")
    return Seen(counter, str(entry["sha256"]), str(entry["live"]))
