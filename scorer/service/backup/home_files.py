"""The files of a home that a backup holds, in an order in which nothing is lost while the stack runs.

Rows wait on the queue before they are in the dead letters, so that the queue is copied first: what moves in between is
there twice, which is harmless, and never missing. A model's aliases are copied before its versions are listed, and the
registry before the keys that it needs, for each is written after what it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from scorer.service.settings import Settings, config_file

Moved = Literal["registry_dir", "trusted_keys_dir", "QSCORE_CONFIG"]

_REGISTRY, _TRUSTED, _SETTINGS = "registry", "trusted_keys", "qscore.toml"
#: Of a running stack alone: lock, state, sockets.
_RUNNING = "run"
#: SQLite's, beside a database that is copied whole.
_JOURNALS = ("-wal", "-shm", "-journal")
_SECRET_WORDS = ("key", "token", "secret", "password")
_PEM_PRIVATE = b"PRIVATE KEY-----"


@dataclass(frozen=True)
class Source:
    """A file to copy. ``root``: the folder that it must lie in; ``name``: its place in the restored home."""

    path: Path
    root: Path
    name: str


def moved(settings: Settings) -> tuple[Moved, ...]:
    """List the settings that name another place than the home for what a backup puts into it."""
    places: tuple[tuple[Moved, Path, Path], ...] = (
        ("registry_dir", settings.registry, settings.home / _REGISTRY),
        ("trusted_keys_dir", settings.trusted_keys, settings.home / _TRUSTED),
        ("QSCORE_CONFIG", config_file(), settings.home / _SETTINGS),
    )
    return tuple(name for name, place, usual in places if place.exists() and place.absolute() != usual)


def home_files(settings: Settings) -> Iterator[Source]:
    """List files one by one: each folder is read only after what was listed before has been copied."""
    scores = None if settings.sink_file is None else _real(settings.sink_file.expanduser())
    yield from (source for source in _all_files(settings) if _real(source.path) != scores)


def _all_files(settings: Settings) -> Iterator[Source]:
    home = settings.home
    for folder in _folders(home):
        if folder.name not in (_REGISTRY, _TRUSTED, _RUNNING):
            yield from _below(folder, home, home)
    yield from _below(settings.registry, settings.registry, settings.registry, _REGISTRY)
    yield from _below(settings.trusted_keys, settings.trusted_keys, settings.trusted_keys, _TRUSTED)
    for path in _files(home):
        if path.name != _SETTINGS:
            yield Source(path, home, path.name)
    if (config := config_file()).is_file():
        yield Source(config, config.parent, _SETTINGS)


def secret_files(settings: Settings) -> frozenset[Path]:
    """Find the files that settings name as keys, tokens or passwords, by their own names: links may lead to them."""
    return frozenset(_real(path.expanduser()) for name, path in _paths(settings) if _secret_name(name))


def is_secret(source: Source, start: bytes, named: frozenset[Path]) -> bool:
    """Tell whether a file holds a key or a token. ``start``: its first bytes; ``named``: of ``secret_files``."""
    return source.name.startswith("private/") or _real(source.path) in named or _PEM_PRIVATE in start


def outside(settings: Settings) -> tuple[Path, ...]:
    """List the files that settings name and that lie outside the home: a backup does not hold them."""
    inside = {settings.registry, settings.trusted_keys, settings.home, settings.sink_file}
    named = {path.expanduser().absolute() for _, path in _paths(settings) if path not in inside}
    return tuple(sorted(path for path in named if not path.is_relative_to(settings.home)))


def _below(folder: Path, root: Path, base: Path, prefix: str = "") -> Iterator[Source]:
    for path in _files(folder):
        yield Source(path, root, "/".join(filter(None, (prefix, path.relative_to(base).as_posix()))))
    for inner in _folders(folder):
        yield from _below(inner, root, base, prefix)


def _files(folder: Path) -> list[Path]:
    entries = [path for path in _visible(folder) if not path.is_dir()]
    names = {path.name for path in entries}
    return [path for path in entries if path.suffix != ".lock" and not _is_journal(path.name, names)]


def _is_journal(name: str, names: set[str]) -> bool:
    return any(name.endswith(end) and name.removesuffix(end) in names for end in _JOURNALS)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir() and not path.is_symlink()]


def _visible(folder: Path) -> list[Path]:
    """Entries in order of their names; hidden ones are locks and files that are only being written."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _real(path: Path) -> Path:
    """Follow links, as far as they lead: some lead in a circle."""
    return Path(os.path.realpath(path))


def _secret_name(name: str) -> bool:
    return name != "trusted_keys_dir" and any(word in name for word in _SECRET_WORDS)


def _paths(section: BaseModel) -> Iterator[tuple[str, Path]]:
    for name, value in _values(section):
        if isinstance(value, BaseModel):
            yield from _paths(value)
        elif isinstance(value, Path):
            yield name, value


def _values(section: BaseModel) -> list[tuple[str, Any]]:
    return [(name, getattr(section, name)) for name in type(section).model_fields]
