"""A registry's files: read bounded, and only as they were put into its folders."""

from __future__ import annotations

from pathlib import Path

from scorer.files import read_file, write_atomic
from scorer.wire.errors import ArtifactRejected

__all__ = ["read_bounded", "write_atomic"]


def read_bounded(path: Path, cap: int, inside: Path | None = None) -> bytes:
    """Read a regular file's bytes that nobody but its owner may write.

    ``inside``: the folder in which it has to lie, links followed; its own where none is named. Raises ArtifactRejected
    when it is missing, something else, larger than ``cap`` bytes, elsewhere, or writable by others.
    """
    return read_file(path, cap, ArtifactRejected, inside=inside or path.parent)
