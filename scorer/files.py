"""Files that somebody else may have put where they are read, and files that must never be half written.

A file is opened without waiting for whoever would write into a pipe, and used only where it is regular, writable by
its owner alone and, where a folder is named, inside it. A link inside the folder serves: Kubernetes mounts Secrets and
ConfigMaps as links to links. On a file system that is mounted read-only nobody writes, whatever the mode says.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from scorer.wire.errors import QScoreError

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OTHERS_WRITE = 0o022
#: Looks at a link that is being exchanged, as a mounted ConfigMap's is at each update.
_LOOKS = 3


def read_file(
    path: Path, cap: int, error: type[QScoreError], *, inside: Path | None = None, secret: bool = False, name: str = ""
) -> bytes:
    """Read a regular file of at most ``cap`` bytes that its owner alone may write.

    ``inside``: the folder that the file has to lie in, links followed. ``secret``: nobody else may read it either; of
    a file that belongs to root its group may. ``name``: what a message calls it, in place of the path.

    Raises ``error``, of the kind that the caller names, with what is wrong and how to mend it.
    """
    called = name or str(path)
    try:
        descriptor = _opened(path, inside, secret, error, called)
        with os.fdopen(descriptor, "rb") as stream:
            content = stream.read(cap + 1)
    except OSError as fault:
        raise error(f"{called} cannot be read: {fault.strerror}", "Restore the file.") from None
    if len(content) > cap:
        raise error(f"{called} is larger than {cap} bytes", "It is not a file that qscore wrote; restore it.")
    return content


def check_folder(path: Path, error: type[QScoreError], parent: bool = False) -> None:
    """Check that others cannot place, exchange or remove what lies in a folder. One that is missing passes.

    ``parent``: nor exchange the folder itself in the one above it; a sticky one (/tmp) keeps its entries safe.
    Raises ``error``.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & _OTHERS_WRITE and not _read_only(path):
        raise error(_writable(f"the folder {path}", mode), f"Run: chmod go-w {path}")
    above = path.resolve().parent
    mode = above.stat().st_mode
    if parent and mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not _read_only(above):
        raise error(_writable(f"the folder {above}, above {path},", mode), f"Run: chmod o-w {above}")


def write_atomic(path: Path, content: bytes, mode: int, owner: os.stat_result | None = None) -> None:
    """Write beside the target, flush to disk, rename: a reader sees the old file or the new one.

    ``owner``: whose it is to be, where that is not the caller. Raises OSError.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, owner.st_uid, owner.st_gid)
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _opened(path: Path, inside: Path | None, secret: bool, error: type[QScoreError], called: str) -> int:
    """Open the file, and make sure that what was opened is what lies inside the folder, and as it has to be."""
    for _ in range(_LOOKS):
        descriptor = os.open(path, _FLAGS)
        try:
            if inside is None or _same(descriptor, _resolved(path, inside, error, called)):
                _check(path, os.fstat(descriptor), secret, error, called)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise error(f"{called} was exchanged while it was read", "Try again.")


def _resolved(path: Path, inside: Path, error: type[QScoreError], called: str) -> Path:
    real = path.resolve()
    if not real.is_relative_to(inside.resolve()):
        raise error(f"{called} is a link that leads out of its folder", f"Put the file itself into {inside}.")
    return real


def _same(descriptor: int, real: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), real.stat())
    except FileNotFoundError:  # exchanged in this moment
        return False


def _check(path: Path, status: os.stat_result, secret: bool, error: type[QScoreError], called: str) -> None:
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        raise error(f"{called} is not a regular file", "Put the file itself there; pipes and devices are not read.")
    if secret and mode & _forbidden(status):
        raise error(f"{called} can be read by others (mode {stat.S_IMODE(mode):o})", f"Run: chmod 600 {path}")
    if mode & _OTHERS_WRITE and not _read_only(path):
        raise error(_writable(called, mode), f"Run: chmod go-w {path}")


def _forbidden(status: os.stat_result) -> int:
    """Say which bits a secret must not have; whoever reads a file of root's does so by its group."""
    return 0o027 if status.st_uid == 0 and os.geteuid() != 0 else 0o077


def _writable(called: str, mode: int) -> str:
    return f"{called} can be written by others (mode {stat.S_IMODE(mode):o})"


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
