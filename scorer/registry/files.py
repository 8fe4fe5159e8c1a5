"""Small file operations that must not leave half a file or read a huge one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from scorer.wire.errors import ArtifactRejected


def read_bounded(path: Path, cap: int) -> bytes:
    """Read a file's bytes; raises ArtifactRejected when it is missing or larger than ``cap`` bytes."""
    try:
        with path.open("rb") as stream:
            content = stream.read(cap + 1)
    except OSError as error:
        raise ArtifactRejected(f"{path} cannot be read: {error.strerror}", "Restore the file.") from None
    if len(content) > cap:
        raise ArtifactRejected(f"{path} is larger than {cap} bytes", "It is not a file that qscore wrote; restore it.")
    return content


def write_atomic(path: Path, content: bytes, mode: int) -> None:
    """Write beside the target, flush to disk, rename: a reader sees the old file or the new one. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
