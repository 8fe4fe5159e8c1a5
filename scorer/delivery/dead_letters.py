"""Scores that no sink took, kept on disk until somebody replays or purges them. One store for all sinks.

SQLite in WAL mode: any number of processes add and read at once. A connection lives for one operation, so that
nothing is shared across forks.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import Refused
from scorer.delivery.stored_rows import letters_of, read_letter
from scorer.wire.errors import ConfigurationError, MalformedBody

_SCHEMA = """
CREATE TABLE IF NOT EXISTS dead_letters (
    id INTEGER PRIMARY KEY,
    sink TEXT NOT NULL,
    qscore_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    reason TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    UNIQUE (sink, qscore_id)
)
"""
_ADD = """
INSERT INTO dead_letters (sink, qscore_id, payload, reason, first_at, last_at, attempts) VALUES (?, ?, ?, ?, ?, ?, 1)
ON CONFLICT (sink, qscore_id) DO UPDATE SET
    payload = excluded.payload, reason = excluded.reason, last_at = excluded.last_at, attempts = attempts + 1
"""
#: ``elastic`` names that sink with any namespace, ``elastic:prod`` one of them.
_OF_SINK = "(:sink IS NULL OR sink = :sink OR substr(sink, 1, length(:sink) + 1) = :sink || ':')"
_LIST = f"""
SELECT id, sink, qscore_id, payload, reason, first_at, last_at, attempts FROM dead_letters
WHERE {_OF_SINK} AND id > :after ORDER BY id LIMIT :limit
"""  # noqa: S608  (constants alone)
_COUNT = f"SELECT sink, count(*) FROM dead_letters WHERE {_OF_SINK} GROUP BY sink ORDER BY sink"  # noqa: S608
_BUSY_SECONDS = 10.0  # how long one process waits for another's write
_DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class DeadLetter:
    """One undelivered score. Times are epoch seconds; ``attempts`` counts how often it died.

    ``rows``: the row, alone; None where it cannot be read, and then ``fault`` says why.
    """

    number: int
    sink: str
    qscore_id: str
    rows: ScoredRows | None
    reason: str
    first_at: float
    last_at: float
    attempts: int
    fault: str = ""


class DeadLetters:
    """The store at ``path``, made on first use with mode 0600. Raises ConfigurationError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, sink: str, refused: Iterable[Refused]) -> int:
        """Keep rows; a row that is here already keeps its place and counts one attempt more. Returns rows given."""
        now = time.time()
        values = [
            (sink, identity, payload, some.reason[:2000], now, now)
            for some in refused
            for identity, payload in zip(some.rows.ids, letters_of(some.rows), strict=True)
        ]
        if values:
            with self._connection() as db:
                db.executemany(_ADD, values)
        return len(values)

    def list(self, sink: str | None = None, limit: int = 100, after: int = 0) -> Sequence[DeadLetter]:
        """List at most ``limit`` letters with a number above ``after``, oldest first."""
        if not self.path.exists():
            return ()
        with self._connection() as db:
            rows = db.execute(_LIST, {"sink": sink, "limit": limit, "after": after}).fetchall()
        return [_letter(row) for row in rows]

    def counts(self, sink: str | None = None) -> Mapping[str, int]:
        """Count letters of ``sink`` (None: all), by sink in order of name."""
        if not self.path.exists():
            return {}
        with self._connection() as db:
            return dict(db.execute(_COUNT, {"sink": sink}).fetchall())

    def remove(self, letters: Iterable[DeadLetter]) -> None:
        """Forget letters that a sink has confirmed. One that died again in the meantime stays."""
        with self._connection() as db:
            db.executemany(
                "DELETE FROM dead_letters WHERE id = ? AND attempts = ?",
                [(letter.number, letter.attempts) for letter in letters],
            )

    def purge(self, sink: str | None = None, days: float | None = None) -> int:
        """Delete letters of ``sink`` (None: all) last dead more than ``days`` ago (None: any age); returns how many."""
        if not self.path.exists():
            return 0
        before = None if days is None else time.time() - days * _DAY
        with self._connection() as db:
            cursor = db.execute(
                f"DELETE FROM dead_letters WHERE {_OF_SINK} AND (:before IS NULL OR last_at < :before)",  # noqa: S608
                {"sink": sink, "before": before},
            )
            return cursor.rowcount

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            self._make()
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS)) as db, db:
                db.execute(_SCHEMA)
                yield db
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"the dead letters in {self.path} cannot be used: {error}",
                "Check the folder's permissions and free space; if the file is damaged, move it away.",
            ) from error

    def _make(self) -> None:
        """Make the file aside and put it in place whole.

        Two processes that turn one database to WAL at once lock each other out. SQLite gives the journal files the mode
        of the database, so the database is made with the right one.
        """
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self.path.with_name(f"{self.path.name}.lock"), mode=0o600):
            if self.path.exists():
                return
            handle, aside = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")  # mode 0600
            os.close(handle)
            with closing(sqlite3.connect(aside)) as db, db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute(_SCHEMA)
            Path(aside).replace(self.path)


def _letter(row: tuple[int, str, str, str, str, float, float, int]) -> DeadLetter:
    number, sink, qscore_id, payload, reason, first_at, last_at, attempts = row
    scored, fault = None, ""
    try:
        scored = read_letter(payload)
    except MalformedBody as error:
        fault = f"it cannot be read: {error}"  # the others can: one damaged letter must not hide them
    return DeadLetter(number, sink, qscore_id, scored, reason, first_at, last_at, attempts, fault)
