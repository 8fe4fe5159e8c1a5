"""Scoring one chunk after another through the gateway, whatever the gateway does.

A request that fails never loses a row: its rows come back with a status. After a failure the next chunk is tried
again, but with less patience each time, so that a dead gateway costs a search seconds and not minutes.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient, ScoreReply
from scorer.wire.errors import NonsenseReply, QScoreError, QueueFull
from splunk_app.options import CommandOptions
from splunk_app.request import (
    RequestPart,
    Selection,
    batch_id,
    paste_rows,
    ranges,
    score_lines,
    select,
    split,
    unscored_line,
)
from splunk_app.table import ChunkTable

_REMEDY = "Run `qscore status` on the gateway's host."
_LEAST_PATIENCE = 1.0  # seconds
_LEAST_TIME = 0.1  # seconds; a request that starts at the deadline fails, and says why
_FULL_QUEUE_PAUSE = 0.25  # seconds, doubled with each try, where the gateway names none
_LATER = 1.25  # how many times the pause that the gateway names is taken at most

#: Checked lines of scores and counts of problems, or why there are none.
_Outcome = Union[Tuple[List[bytes], Mapping[str, int]], QScoreError]
_Pasted = Tuple[bytes, Mapping[str, int], Optional[QScoreError]]


@dataclass(frozen=True)
class ChunkScores:
    """A chunk's rows with their scores.

    ``pieces``: the chunk's rows with their scores, in order. ``failure``: why some rows have none, if any have none.

    ``problems``: status code -> rows, of rows that a worker saw.
    """

    pieces: Sequence[bytes]
    problems: Mapping[str, int] = field(default_factory=dict)
    failure: Optional[QScoreError] = None


@dataclass(frozen=True)
class _Chunk:
    """A chunk on its way to the gateway.

    ``deadline``: time.monotonic() by which every row of the chunk has a score or a status.
    """

    sid: str
    number: int
    table: ChunkTable
    selection: Selection
    deadline: float


class Patience:
    """Seconds that the next chunk may take: half as many after each failure in a row."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._failures = 0

    def allowed(self) -> float:
        return max(min(_LEAST_PATIENCE, self._timeout), self._timeout * 0.5**self._failures)

    def note(self, failed: bool) -> None:
        self._failures = min(self._failures + 1, 30) if failed else 0


class ScoringSession:
    """The gateway's side of one search: the model's card, pinned, and a connection per lane.

    ``connect`` makes a client; it may be asked for one per lane, and each client serves one thread at a time.
    """

    def __init__(
        self, options: CommandOptions, card: ModelCard, connect: Callable[[], GatewayClient], lanes: int
    ) -> None:
        self._options = options
        self._card = card
        # The alias was resolved once, when the card was read: a promotion in mid-search changes no row of this search.
        self._score_options = replace(options.score, version=card.version)
        self._asked = repr((card.name, self._score_options))
        self._connect = connect
        self._lanes = lanes
        self._clients: Dict[int, GatewayClient] = {}
        self._patience = Patience(options.timeout)
        self.skew = ""  # which side is of an older version, as the latest reply says

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def score(self, sid: str, chunk: int, table: ChunkTable) -> ChunkScores:
        """Score a chunk's rows, in order; never raises for what the gateway does."""
        columns = wanted_columns(self._card, self._options)
        selection = select(table.names, columns, self._card.required_fields, self._options.fields)
        deadline = time.monotonic() + self._patience.allowed()
        pasted = self._post_all(_Chunk(sid, chunk, table, selection, deadline))
        scores = _gathered(pasted)
        self._patience.note(scores.failure is not None)
        return scores

    def _post_all(self, chunk: _Chunk) -> List[_Pasted]:
        """Every part of a chunk with its scores, in order.

        Bodies are cut here one after another and each is posted as soon as it is cut: while workers score the first,
        the next is made, and scores are checked and pasted while later ones are still on their way.
        """
        wanted = ranges(len(chunk.table), self._lanes)
        found: List[List[_Pasted]] = [[] for _ in wanted]
        cut: SimpleQueue[Optional[Tuple[int, List[RequestPart]]]] = SimpleQueue()
        faults: List[Exception] = []

        def post(lane: int) -> None:
            try:
                for at, parts in iter(cut.get, None):
                    found[at] = [self._pasted(chunk, part, self._post(lane, chunk, part)) for part in parts]
            except Exception as fault:
                faults.append(fault)

        lanes = [threading.Thread(target=post, args=(lane,)) for lane in range(min(self._lanes, len(wanted)))]
        for thread in lanes:
            thread.start()
        try:
            for at, (start, stop) in enumerate(wanted):
                cut.put((at, split(chunk.table, chunk.selection, start, stop)))
        finally:
            for _ in lanes:
                cut.put(None)
            for thread in lanes:
                thread.join()
        if faults:
            # A thread's fault would else cost rows: what it did not post would be missing from the chunk.
            raise faults[0]
        return [pasted for parts in found for pasted in parts]

    def _pasted(self, chunk: _Chunk, part: RequestPart, outcome: _Outcome) -> _Pasted:
        if isinstance(outcome, QScoreError):
            lines = [not_scored(self._card.name, self._card.version, outcome)] * part.rows
            return paste_rows(chunk.table, part.start, part.stop, lines), {}, outcome
        return paste_rows(chunk.table, part.start, part.stop, outcome[0]), outcome[1], None

    def _post(self, lane: int, chunk: _Chunk, part: RequestPart) -> _Outcome:
        try:
            if lane not in self._clients:
                self._clients[lane] = self._connect()
            identity = batch_id(chunk.sid, self._asked, chunk.number, part)
            return self._checked(self._patiently(self._clients[lane], part, identity, chunk.deadline))
        except QScoreError as error:
            return error

    def _patiently(self, client: GatewayClient, part: RequestPart, identity: str, deadline: float) -> ScoreReply:
        """Ask again while the queue is full or the key is over a limit, and time is left; the batch id makes that safe.

        The gateway says when to come again; a little later is better than all at once.
        """
        guess = _FULL_QUEUE_PAUSE
        while True:
            left = max(_LEAST_TIME, round(deadline - time.monotonic(), 1))
            try:
                return client.score(self._card.name, part.body, part.rows, self._score_options, identity, left)
            except QueueFull as full:
                asked = full.retry_after
                pause = guess if asked is None else asked * random.uniform(1.0, _LATER)  # noqa: S311  # no secret
                if time.monotonic() + pause + (guess if asked is None else _LEAST_TIME) >= deadline:
                    raise
            time.sleep(pause)
            guess *= 2

    def _checked(self, reply: ScoreReply) -> Tuple[List[bytes], Mapping[str, int]]:
        if (reply.model, reply.version) != (self._card.name, self._card.version):
            raise NonsenseReply("scores of %s %s came back" % (reply.model[:40], reply.version[:40]), _REMEDY)
        self.skew = reply.skew
        try:
            return score_lines(reply.body), reply.problems
        except ValueError as error:
            raise NonsenseReply("the gateway's reply is damaged: %s" % error, _REMEDY) from None


def _gathered(parts: Sequence[_Pasted]) -> ChunkScores:
    problems: Dict[str, int] = {}
    failure: Optional[QScoreError] = None
    for _, counts, why in parts:
        failure = failure or why
        for code, rows in counts.items():
            problems[code] = problems.get(code, 0) + rows
    return ChunkScores([piece for piece, _, _ in parts], problems, failure)


def wanted_columns(card: ModelCard, options: CommandOptions) -> Tuple[str, ...]:
    """List the columns that a search must hand over: the model's inputs, and with write=true the rows' context."""
    return card.required_fields + (card.context_fields if options.score.write else ())


def not_scored(model: str, version: str, why: QScoreError) -> bytes:
    """Write the line of scores of a row that no worker saw."""
    return unscored_line(model, version, "not_scored: " + why.sentence()[:500])
