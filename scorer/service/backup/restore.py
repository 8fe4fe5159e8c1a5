"""The way back: an archive, which nobody need trust, into a home that was not there.

Files are unpacked aside and put in place whole, after each was found on the archive's own list with its size and its
SHA-256. Regular files alone are taken; what decides about trust afterwards is what always does: signed models.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO

import pyarrow as pa

from scorer.service.backup.manifest import MANIFEST, MANIFEST_CAP, Manifest, Member, read_manifest
from scorer.wire.errors import BadInput, BadOption, ConfigurationError

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PIECE = 1024 * 1024
#: Bytes that an archive may spend between two files, on headers and padding.
_BETWEEN = 1024 * 1024
_OTHER_COPY = "Take another copy of the backup."


def restore(archive: Path, home: Path, sha256: str = "") -> Manifest:
    """Unpack a backup into a new home; returns its list. ``sha256``: of the archive, where it is to be compared.

    Raises BadOption for a home that holds something, BadInput for an archive that is damaged or hostile,
    ConfigurationError where a file cannot be read or written. In each case nothing is left behind.
    """
    _check_clean(home)
    with _reading(archive) as stream:
        _check_digest(stream, archive, sha256)
        with _aside(home) as folder, _unpacking(stream, archive) as unpacked:
            manifest = _unpack(unpacked, folder)
            folder.rename(home)  # an empty folder in its place is replaced
    return manifest


@dataclass
class _Budget:
    """Decompressed bytes, of which ``left`` may still be read: a small archive must not become a huge one."""

    stream: pa.CompressedInputStream
    left: int = 0

    def read(self, size: int) -> bytes:
        try:
            piece = bytes(self.stream.read(min(size, self.left + 1)))
        except (OSError, pa.ArrowException):
            raise BadInput("it cannot be unpacked") from None
        self.left -= len(piece)
        if self.left < 0:
            raise BadInput("it holds more than its list says")
        return piece


def _check_clean(home: Path) -> None:
    if home.is_symlink() or (home.exists() and not home.is_dir()):
        raise BadOption(f"{home} is no folder", "Name a new one with --home.")
    if home.is_dir() and any(home.iterdir()):
        raise BadOption(f"{home} holds files", "Name a new or an empty folder with --home; a restore replaces nothing.")


@contextmanager
def _reading(archive: Path) -> Iterator[BufferedReader]:
    try:
        handle = os.open(archive, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(
            f"{archive} cannot be read: {error.strerror}", "Name a file of `qscore backup`."
        ) from None
    with os.fdopen(handle, "rb") as stream:
        yield stream


def _check_digest(stream: BufferedReader, archive: Path, sha256: str) -> None:
    if not sha256:
        return
    found = hashlib.file_digest(stream, "sha256").hexdigest()
    stream.seek(0)
    if found != sha256.strip().lower():
        raise BadInput(f"{archive} has the SHA-256 {found}, not the one given", _OTHER_COPY)


@contextmanager
def _aside(home: Path) -> Iterator[Path]:
    """A folder beside the home, mode 0700, gone afterwards unless it became the home."""
    try:
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
    except OSError as error:
        raise ConfigurationError(f"{home} cannot be made: {error.strerror}", "Name another folder.") from None
    try:
        yield folder
    except OSError as error:
        raise ConfigurationError(f"{home} cannot be written: {error.strerror}", "Make room, then try again.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unpacking(stream: IO[bytes], archive: Path) -> Iterator[_Budget]:
    """Translate what is wrong inside into one error that names the archive."""
    try:
        yield _Budget(pa.CompressedInputStream(stream, _codec(stream)))
    except BadInput as error:
        raise BadInput(f"{archive} is no sound backup: {error.detail}", _OTHER_COPY) from None
    except (tarfile.TarError, EOFError, ValueError):
        raise BadInput(f"{archive} is no sound backup: it is damaged", _OTHER_COPY) from None


def _codec(stream: IO[bytes]) -> str:
    start = stream.read(4)
    stream.seek(0)
    for magic, codec in _MAGIC.items():
        if start.startswith(magic):
            return codec
    raise BadInput("it is packed neither with gzip nor with zstd")


def _unpack(stream: _Budget, folder: Path) -> Manifest:
    stream.left = MANIFEST_CAP + _BETWEEN
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        manifest = _listed(archive)
        _check_space(manifest, folder)
        waiting = {member.name: member for member in manifest.files}
        while waiting:
            stream.left = _BETWEEN
            entry = archive.next()
            if entry is None:
                raise BadInput(f"{len(waiting)} files of its list are missing, {next(iter(waiting))!r} first")
            member = _expected(entry, waiting)
            stream.left = member.size + _BETWEEN
            _write(archive, entry, member, folder)
        stream.left = _BETWEEN
        if (more := archive.next()) is not None:
            raise BadInput(f"{more.name[:80]!r} is not on its list")
    return manifest


def _listed(archive: tarfile.TarFile) -> Manifest:
    first = archive.next()
    if first is None or first.name != MANIFEST or not _regular(first) or first.size > MANIFEST_CAP:
        raise BadInput(f"it does not begin with {MANIFEST}")
    return read_manifest(_content(archive, first).read())


def _check_space(manifest: Manifest, folder: Path) -> None:
    needed, free = sum(member.size for member in manifest.files), shutil.disk_usage(folder).free
    if needed > free:
        raise BadInput(f"its files take {needed} bytes, and {free} are free here")


def _expected(entry: tarfile.TarInfo, waiting: dict[str, Member]) -> Member:
    member = waiting.pop(entry.name, None)
    if member is None:
        raise BadInput(f"{entry.name[:80]!r} is not on its list")
    if not _regular(entry) or entry.size != member.size:
        raise BadInput(f"{entry.name[:80]!r} is not the file that its list describes")
    return member


def _regular(entry: tarfile.TarInfo) -> bool:
    """Links, devices, folders and sparse files are none: a backup has regular files alone."""
    return entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(entry)
    if content is None:
        raise BadInput(f"{entry.name[:80]!r} has no content")
    return content


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, member: Member, folder: Path) -> None:
    target = folder / member.name
    for above in reversed(target.relative_to(folder).parents):  # `parents=True` would leave them to the umask
        (folder / above).mkdir(mode=0o700, exist_ok=True)
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
        content = _content(archive, entry)
        while piece := content.read(_PIECE):
            digest.update(piece)
            writer.write(piece)
        os.fchmod(writer.fileno(), member.mode & 0o755 | 0o600)
        writer.flush()
        os.fsync(writer.fileno())
    if digest.hexdigest() != member.sha256:
        raise BadInput(f"{member.name!r} does not have the SHA-256 of its list")
