"""A backup: one archive, mode 0600, of what a home holds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import pyarrow as pa

from scorer.service.backup.copying import NotCopied, Withheld, copy, resting_queue
from scorer.service.backup.home_files import Source, home_files, is_secret, moved, outside, secret_files
from scorer.service.backup.manifest import MANIFEST, Manifest, Member, is_member_name
from scorer.service.settings import Settings
from scorer.wire.errors import BadOption, ConfigurationError

#: End of an archive's name -> how it is packed.
CODECS = {".tar.gz": "gzip", ".tgz": "gzip", ".tar.zst": "zstd"}


@dataclass(frozen=True)
class Skipped:
    """A file that is not in a backup, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Saved:
    """A finished backup. ``size`` of the archive in bytes, ``sha256`` of the archive.

    ``keys``: private keys that were left out on purpose. ``outside``: files that settings name elsewhere.
    """

    files: int
    size: int
    sha256: str
    keys: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    outside: tuple[Path, ...]


def back_up(settings: Settings, archive: Path, private_keys: bool) -> Saved:
    """Copy the home, running or not, into a new archive. ``private_keys``: whether keys and tokens go along.

    Raises BadOption for a name that cannot be the archive's, ConfigurationError where it cannot be written,
    Unavailable where the queue's server does not rest.
    """
    codec = _codec(archive, settings)
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{archive.name}.") as folder:
            copies = Path(folder)
            with resting_queue(settings):
                members, keys, skipped = _copied(settings, copies, private_keys)
            manifest = Manifest(_version(), round(time.time(), 3), private_keys, moved(settings), tuple(members))
            with _new_file(archive) as stream:
                _pack(stream, codec, manifest, copies)
    except OSError as error:
        raise ConfigurationError(
            f"{archive} cannot be written: {error.strerror}", "Name a folder with space that you may write to."
        ) from error
    with archive.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    return Saved(len(members), archive.stat().st_size, digest, tuple(keys), tuple(skipped), outside(settings))


def _codec(archive: Path, settings: Settings) -> str:
    codec = next((codec for end, codec in CODECS.items() if archive.name.endswith(end)), None)
    if codec is None:
        raise BadOption(f"{archive.name} does not say how to pack", f"End it in {', '.join(CODECS)}.")
    if not settings.home.is_dir():
        raise ConfigurationError(f"there is no home at {settings.home}", "Name it in QSCORE_HOME.")
    if archive.absolute().parent.resolve().is_relative_to(settings.home.resolve()):
        raise BadOption(f"{archive} lies in the home that it is a backup of", "Name a file elsewhere.")
    if archive.exists() or archive.is_symlink():
        raise BadOption(f"{archive} is there already", "Name a new file; a backup replaces none.")
    return codec


def _copied(settings: Settings, copies: Path, private_keys: bool) -> tuple[list[Member], list[str], list[Skipped]]:
    members, keys, skipped = [], [], []
    named = frozenset[Path]() if private_keys else secret_files(settings)

    def withheld(source: Source, start: bytes) -> bool:
        return not private_keys and is_secret(source, start, named)

    for source in home_files(settings):
        target = copies / source.name
        if not is_member_name(source.name):
            skipped.append(Skipped(source.name, "a name that no backup may hold"))
            continue
        try:
            members.append(copy(source, target, withheld))
        except NotCopied as reason:
            skipped.append(Skipped(source.name, str(reason)))
        except Withheld:
            keys.append(source.name)
    return members, keys, skipped


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600 that was not there; it is taken away again where the block fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(os.dup(handle), "wb") as stream:
            yield stream  # pyarrow closes what it wrote to
        os.fsync(handle)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(handle)


def _pack(stream: IO[bytes], codec: str, manifest: Manifest, copies: Path) -> None:
    with pa.CompressedOutputStream(stream, codec) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
        listed = manifest.pack()
        archive.addfile(_entry(MANIFEST, len(listed), 0o600, manifest.made), BytesIO(listed))
        _add_files(archive, manifest.files, manifest.made, copies)


def _add_files(archive: tarfile.TarFile, members: Sequence[Member], made: float, copies: Path) -> None:
    for member in members:
        with (copies / member.name).open("rb") as content:
            archive.addfile(_entry(member.name, member.size, member.mode, made), content)


def _entry(name: str, size: int, mode: int, made: float) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, mode, int(made)
    return entry


def _version() -> str:
    return importlib.metadata.version("qscore")
