"""Callers that write scores all the time, and repeat what was not answered: what they got, and what was written."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError
from scorer.wire.options import ScoreOptions
from tests.v010 import API_KEY

ROWS = 40
OPTIONS = ScoreOptions(version="1-starter", explain="none", write=True)
_INPUTS = (
    "events,logons,failures,network_logons,remote_logons,explicit_logons,privileged_logons"
    ",share_events,ticket_requests,ntlm_logons,signatures,dests_of_source"
)
_COUNTS = "5,1,2,1,0,1,1,1,1,3,2"
_LAST_TRIES = 100  # of a batch that is under way when the play is over
#: Rows differ in their counts by this many kinds; equal kinds have equal scores.
KINDS = 5


def body_of(caller: int, batch: int) -> bytes:
    """Rows of one batch, each with a user of its own."""
    lines = [
        f"{1_700_000_000 + 600 * batch},u{caller}-{batch}-{k},src,dest,{9 + k % KINDS},{_COUNTS}" for k in range(ROWS)
    ]
    return ("\n".join(["_time,user,src,dest," + _INPUTS, *lines]) + "\n").encode()


@dataclass
class Load:
    """``urls``: of the gateways, which callers take in turns. ``answered``: user -> its line of scores."""

    urls: list[str]
    ca_file: Path
    answered: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    skews: set[str] = field(default_factory=set)
    stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _broken: list[BaseException] = field(default_factory=list)

    def begin(self, callers: int) -> None:
        self._threads = [threading.Thread(target=self._guarded, args=(number,)) for number in range(callers)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop asking; what is under way is answered first. Raises what broke a caller."""
        self.stop.set()
        for thread in self._threads:
            thread.join(90)
        if self._broken:
            raise self._broken[0]

    def ask(self, number: int, batch: int) -> None:
        """Have one batch scored, however often it must be sent."""
        identity, tries = f"upgrade-{number}-{batch}", 0
        while True:
            url = self.urls[(number + tries) % len(self.urls)]
            try:
                with GatewayClient(url, API_KEY, str(self.ca_file), timeout=15.0) as client:
                    reply = client.score("lateral", body_of(number, batch), ROWS, OPTIONS, identity)
                break
            except QScoreError as error:
                self.faults[error.code] += 1
                tries += 1
                if self.stop.is_set() and tries > _LAST_TRIES:
                    return
                time.sleep(0.2)
        self.repeated += tries > 0
        if reply.skew:
            self.skews.add(reply.skew)
        for k, line in enumerate(reply.body.decode().splitlines()[1:]):
            self.answered[f"u{number}-{batch}-{k}"] = line

    def _guarded(self, number: int) -> None:
        try:
            batch = 0
            while not self.stop.is_set():
                self.ask(number, batch)
                batch += 1
        except BaseException as broken:
            self._broken.append(broken)
            raise


@dataclass(frozen=True)
class Written:
    """What the sink holds. ``ids``: user -> its ids; ``scores``: user -> its scores; ``events``: how many in all."""

    ids: dict[str, set[str]]
    scores: dict[str, set[str]]
    events: int

    @classmethod
    def of(cls, file: Path) -> Written:
        ids, scores, events = defaultdict(set), defaultdict(set), 0
        for line in file.read_text().splitlines() if file.exists() else ():
            fields = json.loads(line)["fields"]
            ids[fields["user"]].add(fields["qscore_id"])
            scores[fields["user"]].add(fields["qscore"])
            events += 1
        return cls(ids, scores, events)


def await_written(load: Load, file: Path, until: Callable[[Callable[[], bool], str], None]) -> Written:
    """Wait until every row that was answered is written."""
    until(lambda: not load.answered.keys() - Written.of(file).ids.keys(), "every answered row was written")
    return Written.of(file)
