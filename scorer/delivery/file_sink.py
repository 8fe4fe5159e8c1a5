"""A file as a sink: the events that HEC would get, one JSON object a line. For dry runs and for looking at them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from scorer.delivery.hec.event import event_lines
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome, SinkBusy

_LOCK_SECONDS = 10.0
_BLOCK = 64 * 1024
_EVENT = b'{"time":'  # how each line begins


class FileSink:
    """Appends whole batches to ``path`` (mode 0600); a lock keeps workers from writing into each other's lines."""

    name = "file"

    def __init__(self, path: Path, index: str) -> None:
        self._path = path
        self._index = index

    def send(self, rows: ScoredRows) -> SendOutcome:
        try:
            self._append(event_lines(rows, self._index).body())
        except OSError as error:  # filelock's Timeout is one of them
            fault = SinkBusy(
                f"{self._path} cannot be written: {error}", "Check the folder's permissions and free space."
            )
            return SendOutcome(0, unsent=rows, fault=fault)
        return SendOutcome(len(rows))

    def _append(self, text: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._path}.lock", timeout=_LOCK_SECONDS):
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a+b") as file:
                _end_last_line(file)
                before = file.seek(0, os.SEEK_END)
                try:
                    file.write(text)
                    file.flush()
                except OSError:
                    os.ftruncate(file.fileno(), before)  # half a line would spoil the file for every reader
                    raise


def _end_last_line(file: BinaryIO) -> None:
    """Make the file end with a whole line: a worker that was killed while it wrote left half of one.

    Half an event is taken away, for its rows come again. Anything else is somebody's, and gets its line end.
    """
    position, tail = file.seek(0, os.SEEK_END), b""
    while position and b"\n" not in tail:
        start = max(0, position - _BLOCK)
        file.seek(start)
        tail = file.read(position - start) + tail
        position = start
    half = tail.rpartition(b"\n")[2]
    if half.startswith(_EVENT):
        file.truncate(file.seek(0, os.SEEK_END) - len(half))
    elif half:
        file.write(b"\n")
