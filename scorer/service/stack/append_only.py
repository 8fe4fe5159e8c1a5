"""Holes in an append-only file of Valkey or Redis, taken out before the server reads it.

After a rewrite the server's file is not opened for appending, so that a write that a full disk cut short is taken back
by shortening the file, and the next one is put behind where it ended: between two commands stand as many zero bytes as
had been written. The server goes on, and refuses the whole file when it starts again (seen with Valkey 9.1.2);
`valkey-check-aof --fix` would drop everything behind the hole, which are rows that were accepted.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MANIFEST = "appendonly.aof.manifest"
_PIECES = re.compile(r"file (\S+) seq \d+ type i")
_ZEROS = re.compile(rb"\x00+")
_COPIED = 1024 * 1024  # bytes at a time


@dataclass(frozen=True)
class Mended:
    """A file from which holes were taken. ``zeros``: bytes of them."""

    path: Path
    holes: int
    zeros: int


class _Strange(ValueError):
    """Bytes that are neither a command nor a hole."""


def mend(data: Path) -> list[Mended]:
    """Take holes out of the append-only files in a stopped server's folder; files without any are not touched.

    A file with any other damage stays as it is, and the server says what it thinks of it. Raises OSError where a file
    cannot be read or written.
    """
    folder = data / "appendonlydir"
    try:
        manifest = (folder / _MANIFEST).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    paths = [folder / name for name in _PIECES.findall(manifest) if "/" not in name]
    return [found for path in paths if path.is_file() and (found := _mended(path)) is not None]


def _mended(path: Path) -> Mended | None:
    if not path.stat().st_size:
        return None
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            holes = list(_holes(content))
        except _Strange:
            return None
        if holes:
            _replace(path, content, holes)
    return Mended(path, len(holes), sum(end - start for start, end in holes)) if holes else None


def _holes(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Find zero bytes between commands. A command that the file's end cuts off is the server's to drop."""
    at = 0
    while at < len(content):
        zeros = _ZEROS.match(content, at)
        if zeros is not None:
            yield zeros.span()
            at = zeros.end()
        elif content[at : at + 1] == b"#":  # a remark: the time
            at = _line_end(content, at)
        else:
            at = _command_end(content, at)


def _command_end(content: mmap.mmap, at: int) -> int:
    """Skip one command: the count of its words, and each with its length."""
    words, at = _number(content, at, b"*")
    for _ in range(words):
        if at >= len(content):
            break
        length, at = _number(content, at, b"$")
        at += length + 2
        if at <= len(content) and content[at - 2 : at] != b"\r\n":
            raise _Strange
    return at


def _number(content: mmap.mmap, at: int, kind: bytes) -> tuple[int, int]:
    end = _line_end(content, at)
    digits = content[at + 1 : end].rstrip(b"\r\n")
    if content[at : at + 1] != kind or not (digits.isdigit() or end == len(content)) or len(digits) > 12:
        raise _Strange
    return int(digits or b"0"), end


def _line_end(content: mmap.mmap, at: int) -> int:
    found = content.find(b"\n", at, at + 64)
    if found < 0 and at + 64 <= len(content):
        raise _Strange
    return found + 1 or len(content)


def _replace(path: Path, content: mmap.mmap, holes: list[tuple[int, int]]) -> None:
    """Write the file anew without its holes, beside it first: a crash leaves one of the two."""
    beside = path.with_name(f"{path.name}.mending")
    starts = [0, *(end for _, end in holes)]
    ends = [*(start for start, _ in holes), len(content)]
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            for start, end in zip(starts, ends, strict=True):
                for piece in range(start, end, _COPIED):
                    stream.write(content[piece : min(piece + _COPIED, end)])
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
