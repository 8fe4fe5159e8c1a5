"""The whole play: callers, blows at random, a quiet end, and the ledger."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from scorer.delivery.dead_letters import DeadLetters
from scorer.service.access.api_keys import KeyFile
from tests.chaos.callers import Book, Caller, Program, Searcher
from tests.chaos.hands import TARGETS, Hands
from tests.chaos.ledger import Blow, Evidence, Verdict, gather, judge, recorded
from tests.chaos.stage import Stage, searching, staged
from tests.integration.stack_tools import eventually

Say = Callable[[str], None]
#: Seconds: several times what a lost delivery worker's message takes to come again.
_LONGEST_SETTLING = 900.0

#: Log records of workers that tell of something tried again, and of a repetition that was found to be one.
_RETRIED = {"delivery_delayed", "delivery_put_back", "delivery_failed"}
_REPEATED = {"already_settled", "another_run_is_due", "held_by_another"}


@dataclass(frozen=True)
class Plan:
    """What is done, in order: (what, target, seconds). Every round kills each target once, and stalls two."""

    steps: tuple[tuple[str, str, float], ...]

    @classmethod
    def of(cls, rounds: int, rng: random.Random, targets: tuple[str, ...] = tuple(TARGETS)) -> Plan:
        """Draw the order of the blows."""
        steps: list[tuple[str, str, float]] = []
        for number in range(rounds):
            steps += [("kill", target, 0.0) for target in rng.sample(targets, len(targets))]
            if len(targets) == len(TARGETS):
                steps += [("stall", target, rng.uniform(1.0, 4.0)) for target in rng.sample(targets, 2)]
                steps += [("full disk", "durable queue", 6.0)] if number % 2 == 0 else []
        return cls(tuple(steps))


@dataclass
class Play:
    """Everything that runs, with what was done and heard."""

    stage: Stage
    book: Book
    hands: Hands
    say: Say
    blows: list[Blow] = field(default_factory=list)


def run(seconds: float, seed: int, say: Say, targets: tuple[str, ...] = tuple(TARGETS)) -> Verdict:
    """Play until ``seconds`` have passed and the round is whole; then wait for what is on its way, and judge."""
    rng = random.Random(seed)  # noqa: S311  # moments and targets, no secrets
    with staged() as stage:
        book, blows = Book(), list[Blow]()
        play = Play(stage, book, Hands(stage, book, blows), say, blows)
        stage.state()
        key = KeyFile(stage.settings.api_keys).add(["read", "score", "write"], "chaos")[1]
        with searching(stage, key) as (command, searchinfo):
            stop = threading.Event()
            callers = _callers(play, key, command, searchinfo, stop)
            for caller in callers:
                caller.start()
            if not eventually(lambda: len(book.scored) >= 3 and stage.recorded_bytes() > 0, 60.0):
                raise SystemExit(f"nothing was scored before the first blow: {book.faults[:3]}; logs: {stage.folder}")
            _strike(play, seconds, rng, targets)
            stop.set()
            for caller in callers:
                _tended(play, lambda caller=caller: not caller.is_alive(), 150.0)  # type: ignore[misc]
        verdict = _settled(play)
        tell(verdict, blows, seed, stage.disk is not None, say)
        for fault in book.faults[:10]:
            say(f"a caller heard: {fault}")
        return verdict


def _callers(
    play: Play, key: str, command: list[str], searchinfo: dict[str, str], stop: threading.Event
) -> list[Caller]:
    def connect() -> Any:
        return play.stage.client(key)

    return [
        # Batches of two parts and three: one part may be on its way while the batch is still scored. In all no more
        # than the collector, a Python program on the same machine, takes.
        Program("api-a", play.book, stop, 2_100, 2.0, connect),
        Program("api-b", play.book, stop, 2_100, 3.0, connect),
        Program("file-a", play.book, stop, 4_100, 5.0, connect, bulk=True),
        Searcher("search-a", play.book, stop, 200, 2.0, command, searchinfo),
    ]


def _strike(play: Play, seconds: float, rng: random.Random, targets: tuple[str, ...]) -> None:
    """Round after round until the time is over."""
    until = time.monotonic() + seconds
    while True:
        for what, target, lasts in Plan.of(1, rng, targets).steps:
            if time.monotonic() > until and _each_was_killed(play, targets):
                return
            if what == "full disk" and play.stage.disk is None:
                continue
            blow = _blow(play, what, target, lasts)
            _tended(play, lambda blow=blow: play.book.recovered(blow.at) is not None, 60.0)  # type: ignore[misc]
            blow.recovered = play.book.recovered(blow.at)
            after = "never" if blow.recovered is None else f"after {blow.recovered:.1f} s"
            play.say(f"  {len(play.blows):3d} {what} {target}, {blow.in_flight} in flight; next score {after}")
            _tended(play, lambda: False, rng.uniform(0.5, 3.0))


def _each_was_killed(play: Play, targets: tuple[str, ...]) -> bool:
    return {blow.target for blow in play.blows if blow.what == "kill"} >= set(targets)


def _blow(play: Play, what: str, target: str, seconds: float) -> Blow:
    if what == "kill":
        return play.hands.kill(target)
    if what == "stall":
        return play.hands.stall(target, seconds)
    return play.hands.fill_disk(seconds)


def _tended(play: Play, done: Callable[[], bool], seconds: float) -> bool:
    """Wait for ``done``, starting again meanwhile what has ended."""

    def look() -> bool:
        play.stage.tend()
        return done()

    return eventually(look, seconds)


def _settled(play: Play) -> Verdict:
    """Wait until every accepted row has arrived, as long as more do or rows lie on the queue, and judge."""
    until, most, verdict = time.monotonic() + _LONGEST_SETTLING, -1, _judged(play)
    while verdict.lost and time.monotonic() < until:
        waiting, recorded_by_now = len(play.hands.unwritten_now()), play.stage.recorded_bytes()
        play.say(f"  {verdict.lost} accepted rows are on their way; {waiting} batches have rows on the queue")
        if recorded_by_now <= most and not waiting:
            break
        most = recorded_by_now
        _tended(play, lambda most=most: play.stage.recorded_bytes() > most, 60.0)  # type: ignore[misc]
        _tended(play, lambda: False, 3.0)
        verdict = _judged(play)
    return verdict


def _judged(play: Play) -> Verdict:
    with play.stage.record.open("rb") as lines:
        found = gather(recorded(lines), play.book.sent)
    letters = DeadLetters(play.stage.settings.dead_letters).list(limit=1_000_000)
    dead = {str(user) for letter in letters if letter.rows for user in letter.rows.blocks[0].column("user").to_pylist()}
    retried, repeated = (
        log_moments(play.stage.home / "logs", _RETRIED),
        log_moments(play.stage.home / "logs", _REPEATED),
    )
    evidence = Evidence([*play.book.retries, *retried], list(repeated))
    return judge(play.book.accepted, dead, found, play.blows, evidence)


def log_moments(folder: Path, names: set[str]) -> Iterator[tuple[float, str]]:
    """Moments and batch ids of log records of these names, in all logs of a folder."""
    for path in sorted(folder.glob("*.log*")):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("event") in names:
                yield datetime.fromisoformat(record["timestamp"]).timestamp(), str(record.get("batch_id", ""))


def tell(verdict: Verdict, blows: list[Blow], seed: int, disk: bool, say: Say) -> None:
    """Say what was done and what came of it."""
    say(
        f"\nseed {seed}: {sum(blow.what == 'kill' for blow in blows)} kills,"
        f" {sum(blow.what == 'stall' for blow in blows)} stalls,"
        f" {sum(blow.what == 'full disk' for blow in blows)} times a full disk"
        + ("" if disk else " (a tmpfs could not be mounted here)")
    )
    say("killed          kills  in flight  retries  deduplications")
    for target, done in sorted(verdict.work.items()):
        flying = done.kills - done.idle
        say(f"{target:14s} {done.kills:6d} {flying:10d} {done.retries:8d} {done.deduplications:15d}")
    say(
        f"rows accepted {verdict.accepted}, with a result {verdict.results}, dead letters {verdict.dead},"
        f" written twice and dropped {verdict.repeated}"
    )
    say(f"slowest recovery {verdict.slowest:.1f} s")
    for fault in verdict.faults:
        say(f"FAULT: {fault}")
