"""Callers of the gateway while things are killed: searches through the command, requests of programs, files in bulk."""

from __future__ import annotations

import csv
import io
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from demo.standins.search_process import CommandEnded, run_search
from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError, Unavailable
from scorer.wire.options import ScoreOptions

_COUNTS = "events,logons,failures,network_logons,remote_logons,explicit_logons,privileged_logons"
_MORE = "share_events,ticket_requests,ntlm_logons,signatures,dests_of_source"
_WRITE = ScoreOptions(write=True)
#: Seconds that a caller waits for one batch, and for which it repeats it.
_PATIENCE = 8.0
_GIVES_UP = 90.0


def rows_of(users: list[str], start: int) -> bytes:
    """CSV with every input of `lateral`; a row for each user, each with a window of its own."""
    lines = [
        f"{1_700_000_000 + 600 * (start + k)},{user},src{k % 7},dest{k % 5},{9 + k % 5},5,1,2,1,0,1,1,1,1,3,2"
        for k, user in enumerate(users)
    ]
    return "\n".join([f"_time,user,src,dest,{_COUNTS},{_MORE}", *lines, ""]).encode()


@dataclass
class Book:
    """What all callers sent and heard. Moments are epoch seconds."""

    sent: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    retries: list[tuple[float, str]] = field(default_factory=list)
    #: When a scored batch was asked for, and when its answer came.
    scored: list[tuple[float, float]] = field(default_factory=list)
    #: Batches of programs and of files under way, by their caller's kind.
    under_way: dict[str, tuple[str, float]] = field(default_factory=dict)
    given_up: int = 0
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def in_flight(self, kind: str) -> list[str]:
        """Batch ids under way of one kind of caller."""
        with self.lock:
            return [batch for name, (batch, _) in self.under_way.items() if name.startswith(kind)]

    def recovered(self, after: float) -> float | None:
        """Seconds until the first success among scores asked for after a moment."""
        ends = [end for start, end in list(self.scored) if start >= after]
        return min(ends) - after if ends else None


@dataclass
class Caller(threading.Thread):
    """One caller that goes on until it is told to stop; the batch under way is still repeated until it is scored."""

    name_: str
    book: Book
    stop: threading.Event
    rows: int
    pause: float

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name=self.name_)
        self.number = 0

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        while not self.stop.is_set():
            users = [f"{self.name_}-{self.number + k}" for k in range(self.rows)]
            body = rows_of(users, self.number)
            self.number += self.rows
            self.book.sent.update(users)
            try:
                self.send(users, body)
            except Exception as fault:  # a caller that ends would make the play easier
                self.book.faults.append(f"{self.name_}: {type(fault).__name__}: {fault}")
            self.stop.wait(self.pause)

    def send(self, users: list[str], body: bytes) -> None:
        """Have the rows scored and written; to be defined."""
        raise NotImplementedError


@dataclass
class Program(Caller):
    """A program that repeats a batch under its id until it is scored, over the API; in bulk or not."""

    connect: Callable[[], GatewayClient]
    bulk: bool = False

    def __hash__(self) -> int:
        return id(self)

    def send(self, users: list[str], body: bytes) -> None:
        batch, until = uuid.uuid4().hex, time.monotonic() + _GIVES_UP
        self.book.under_way[self.name_] = batch, time.time()
        try:
            while time.monotonic() < until:
                if self._asked(users, body, batch):
                    return
                self.book.retries.append((time.time(), batch))
                time.sleep(0.2)
            self.book.given_up += 1
        finally:
            with self.book.lock:
                del self.book.under_way[self.name_]

    def _asked(self, users: list[str], body: bytes, batch: str) -> bool:
        asked = time.time()
        try:
            with self.connect() as client:
                reply = client.score("lateral", body, len(users), _WRITE, batch, _PATIENCE, bulk=self.bulk)
        except Unavailable:
            return False
        except QScoreError as error:
            self.book.faults.append(f"{self.name_}: {error.sentence()}")
            return False
        if reply.scored != len(users):
            self.book.faults.append(f"{self.name_}: {reply.problems}")
        self.book.scored.append((asked, time.time()))
        self.book.accepted.update(users)
        return True


@dataclass
class Searcher(Caller):
    """Searches through the command, one after the other; rows that come back without a score are not asked again."""

    command: list[str]
    searchinfo: dict[str, Any]

    def __hash__(self) -> int:
        return id(self)

    def send(self, users: list[str], body: bytes) -> None:
        asked = time.time()
        told = self.searchinfo | {"sid": f"{asked:.3f}"}
        self.book.under_way[self.name_] = "search", asked
        try:
            outcome = run_search(self.command, ["model=lateral", "write=true", "timeout=8"], [body], **told)
        except CommandEnded:
            return
        finally:
            with self.book.lock:
                del self.book.under_way[self.name_]
        rows = [row for answer in outcome.answers for row in csv.DictReader(io.StringIO(answer.body.decode()))]
        if len(rows) != len(users) or outcome.exit_status:
            self.book.faults.append(f"{self.name_}: {len(rows)} rows of {len(users)} came back, {outcome.stderr[:200]}")
        scored = [row["user"] for row in rows if row["qscore_status"] == "ok"]
        self.book.accepted.update(scored)
        if len(scored) == len(users):
            self.book.scored.append((asked, time.time()))
