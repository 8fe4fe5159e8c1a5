"""A record that only grows: JSON lines, each with the hash of the one before it, so that no change goes unseen.

    <folder>/000000000001.jsonl     entries 1 and up; a file is named by the number of its first entry
    <folder>/000000004711.jsonl     goes on where the one before it ended
    <folder>/.lock                  held while an entry is added

An entry is canonical JSON (sorted keys, no spaces) with ``number``, ``time``, ``previous``, ``content`` and ``hash``:
the SHA-256 of the entry without it. ``previous`` is the hash of the entry before, sixty-four zeros for the first.

The chain shows that entries were changed, removed, exchanged or inserted. That its end was cut off, or the whole
written anew, shows only who kept a `Head` elsewhere.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from scorer.files import check_folder
from scorer.wire.errors import BadOption, ConfigurationError, QScoreError

T = TypeVar("T")

NOTHING = "0" * 64
#: Bytes of one line, of what it may hold, and of a file before the next one is begun.
LINE_BYTES = 64 * 1024
CONTENT_BYTES = LINE_BYTES - 1024
FILE_BYTES = 16 * 1024 * 1024
#: Seconds to wait for whoever else adds an entry, which takes milliseconds.
PATIENCE = 10.0
#: The content of an entry that says that a line of a crash was taken away.
TORN = "torn_line_removed"
_FIELDS = frozenset(("number", "time", "previous", "content", "hash"))


class ChainBroken(QScoreError):
    """A record that is not what was written. ``number``: of the first entry that is wrong or missing."""

    code = "chain_broken"

    def __init__(self, number: int, detail: str, remedy: str = "") -> None:
        super().__init__(detail, remedy or "Compare it with a copy of the record; move it away to begin a new one.")
        self.number = number


@dataclass(frozen=True)
class Head:
    """The last entry of a chain: its number (0: none) and hash. Kept elsewhere, it proves all that came before."""

    number: int = 0
    hash: str = NOTHING

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read ``number:hash``. Raises BadOption."""
        number, _, digest = text.strip().partition(":")
        hexadecimal = len(digest) == len(NOTHING) and set(digest) <= set("0123456789abcdef")
        if not (number.isascii() and number.isdigit() and len(number) <= 15 and hexadecimal):
            raise BadOption(f"{text[:100]!r} is no head of a record", "Give number:hash, as it was printed.")
        return cls(int(number), digest)


@dataclass(frozen=True)
class Entry:
    """One entry. ``time``: ISO 8601, UTC. ``previous``: hash of the entry before it."""

    number: int
    time: str
    previous: str
    content: Mapping[str, Any]
    hash: str

    @property
    def head(self) -> Head:
        return Head(self.number, self.hash)


@dataclass(frozen=True)
class Verified:
    """What was verified: entries ``first`` to ``head.number``. ``torn``: bytes of an unfinished line after them, as a
    crash in the middle of writing leaves it."""

    first: int
    head: Head
    torn: int = 0


@dataclass(frozen=True)
class Chain:
    """The record in one folder, made with mode 0700 by its first entry. Processes and threads may share it.

    ``file_bytes``: size from which the next entry begins a new file. ``patience``: seconds to wait for others.
    """

    folder: Path
    file_bytes: int = FILE_BYTES
    patience: float = PATIENCE

    def append(self, content: Mapping[str, Any]) -> Head:
        """Add an entry and flush it to disk; returns the new head.

        What a crash left of an unfinished line is taken away first, and an entry says so. Raises ChainBroken where the
        last entry is not whole, ConfigurationError where the record cannot be written, ValueError for content that is
        not JSON or longer than a line may be.
        """
        size = len(canonical(content))
        if size > CONTENT_BYTES:
            raise ValueError(f"an entry of {size} bytes is longer than {CONTENT_BYTES}")
        return self._locked(lambda: self._append(content))

    def check(self) -> None:
        """Make sure that an entry could be added now. Raises what `append` does."""
        self._locked(self._end)

    def head(self) -> Head:
        """Read the last whole entry's head, without verifying those before it. Raises ChainBroken."""
        return self._end()[0]

    def entries(self) -> Iterator[Entry | ChainBroken]:
        """Read the entries, oldest first, each by itself; what is none comes as the error that says so.

        An unfinished last line is left out.
        """
        expected = 0
        for path, line in self._lines():
            if self._torn(path, line):
                return
            found = _entry_or_fault(line, expected)
            expected = found.number + 1
            yield found

    def verify(self, known: Head | None = None, after: Head | None = None) -> Verified:
        """Read the whole record and find the first entry that is not as it was written.

        ``known``: a head that was kept elsewhere and has to be part of it. ``after``: the head at which older files,
        moved elsewhere, ended; without it the record has to begin with entry 1. Raises ChainBroken naming the entry,
        BadOption where ``known`` lies in files that were moved elsewhere.
        """
        begun = head = after or Head()
        known = known or begun
        if known.number < begun.number:
            raise BadOption(f"entry {known.number} lies before the part that is here", "Verify the older files too.")
        torn = 0
        _compare(head, known)
        for path, line in self._lines():
            if self._torn(path, line):
                torn = len(line)
                break
            head = _following(line, head)
            _compare(head, known)
        if known.number > head.number:
            raise ChainBroken(
                head.number + 1, f"the record ends with entry {head.number}: the end up to {known.number} was cut off"
            )
        return Verified(begun.number + 1, head, torn)

    def _locked(self, work: Callable[[], T]) -> T:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_folder(self.folder, ConfigurationError)
            with FileLock(self.folder / ".lock", self.patience, mode=0o600):
                return work()
        except Timeout:
            raise ConfigurationError(
                f"the record in {self.folder} has been held by another process for {self.patience:g} s",
                "Look which process of qscore stands still, and end it.",
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"the record in {self.folder} cannot be written: {error.strerror or error}",
                "Check the folder's owner, its mode (700) and free space.",
            ) from None

    def _append(self, content: Mapping[str, Any]) -> Head:
        head, path, torn = self._end()
        if torn:
            note = {"event": TORN, "bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
            os.truncate(path, path.stat().st_size - len(torn))
            head = self._write(path, _next(head, note))
        return self._write(path, _next(head, content))

    def _write(self, path: Path, entry: Entry) -> Head:
        if path.exists() and path.stat().st_size >= self.file_bytes:
            path = self._named(entry.number)
        fresh = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_whole(descriptor, _line(entry))
        finally:
            os.close(descriptor)
        if fresh:
            _flush_folder(self.folder)
        return entry.head

    def _end(self) -> tuple[Head, Path, bytes]:
        """Find the head, the file that is written to, and what stands behind the head's line there."""
        files = self._files()
        torn = b""
        for path in reversed(files):
            whole, _, rest = _tail(path).rpartition(b"\n")
            if len(rest) > LINE_BYTES or (rest and path != files[-1]):
                raise _changed(0)
            torn = torn or rest
            if whole:
                return _entry(whole.rpartition(b"\n")[2] + b"\n", 0).head, files[-1], torn
        return Head(), files[-1] if files else self._named(1), torn

    def _lines(self) -> Iterator[tuple[Path, bytes]]:
        """Read lines file by file, none longer than an entry may be."""
        for path in self._files():
            with path.open("rb") as stream:
                while line := stream.readline(LINE_BYTES + 1):
                    yield path, line

    def _files(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.glob("*.jsonl") if path.stem.isdigit() and path.is_file())

    def _torn(self, path: Path, line: bytes) -> bool:
        """Tell whether a line is the unfinished one behind the record's end."""
        return not line.endswith(b"\n") and len(line) <= LINE_BYTES and path == self._files()[-1]

    def _named(self, number: int) -> Path:
        return self.folder / f"{number:012d}.jsonl"


def canonical(document: Mapping[str, Any]) -> bytes:
    """Encode as canonical JSON: sorted keys, no spaces, ASCII, no NaN. Raises ValueError for what is not JSON."""
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    return text.encode()


def _next(head: Head, content: Mapping[str, Any]) -> Entry:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    unhashed = {"number": head.number + 1, "time": now, "previous": head.hash, "content": dict(content)}
    return Entry(hash=hashlib.sha256(canonical(unhashed)).hexdigest(), **unhashed)  # type: ignore[arg-type]


def _line(entry: Entry) -> bytes:
    return canonical(vars(entry) | {"content": dict(entry.content)}) + b"\n"


def _entry(line: bytes, expected: int) -> Entry:
    """Read one line. Raises ChainBroken, naming the entry by its own number where it has one, else by ``expected``."""
    try:
        raw = json.loads(line)
        fields = raw if isinstance(raw, dict) and set(raw) == _FIELDS else {}
        entry = Entry(**fields)
        whole = type(entry.number) is int and isinstance(entry.content, dict) and _line(entry) == line
    except (ValueError, TypeError, RecursionError):
        raise _changed(expected) from None
    unhashed = {name: value for name, value in fields.items() if name != "hash"}
    if not whole or hashlib.sha256(canonical(unhashed)).hexdigest() != entry.hash:
        raise _changed(expected or entry.number)
    return entry


def _entry_or_fault(line: bytes, expected: int) -> Entry | ChainBroken:
    try:
        return _entry(line, expected)
    except ChainBroken as fault:
        return fault


def _compare(head: Head, known: Head) -> None:
    if known.number == head.number and known != head:
        raise ChainBroken(head.number, f"entry {head.number} is not the one whose hash was kept")


def _following(line: bytes, head: Head) -> Head:
    expected = head.number + 1
    entry = _entry(line, expected)
    if entry.number != expected:
        raise ChainBroken(
            expected, f"entry {entry.number} stands where entry {expected} belongs: entries were removed or exchanged"
        )
    if entry.previous != head.hash:
        raise ChainBroken(expected, f"entry {expected} does not follow on entry {head.number}: one was replaced")
    return entry.head


def _changed(number: int) -> ChainBroken:
    return ChainBroken(number, f"entry {number} was changed" if number else "the last entry was changed")


def _tail(path: Path) -> bytes:
    """Read enough of a file's end to hold its last whole line and an unfinished one."""
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - 3 * LINE_BYTES))
        return stream.read()


def _write_whole(descriptor: int, line: bytes) -> None:
    """Write and flush a line, or leave the file as it was. Raises OSError."""
    before = os.fstat(descriptor).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
