"""A file as a sink: the events that HEC would get, one JSON object a line. For dry runs and for looking at them."""

from __future__ import annotations

import os
from pathlib import Path

from filelock import FileLock

from scorer.delivery.hec.event import event_lines
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome, SinkBusy

_LOCK_SECONDS = 10.0


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
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                before = file.tell()
                try:
                    file.write(text)
                    file.flush()
                except OSError:
                    os.ftruncate(file.fileno(), before)  # half a line would spoil the file for every reader
                    raise
