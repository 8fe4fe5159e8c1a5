"""The whole play: feed, kill at random moments, roll over, wait, judge."""

from __future__ import annotations

import itertools
import random
import time

from elasticsearch import Elasticsearch

from tests.elastic.chaos.feeder import GONE, SOURCE, Feeder
from tests.elastic.chaos.stage import theatre
from tests.elastic.chaos.theatre import Say, Theatre
from tests.elastic.chaos.verdict import Verdict, judge, tell
from tests.integration.stack_tools import eventually

TARGETS = ("connector-a", "connector-b", "worker", "delivery", "broker", "elasticsearch")


def schedule(kills: int, rng: random.Random) -> list[str]:
    """Each target about as often as the others, in random order."""
    rounds = [rng.sample(TARGETS, len(TARGETS)) for _ in range(-(-kills // len(TARGETS)))]
    return list(itertools.chain.from_iterable(rounds))[:kills]


def run(kills: int, seed: int, say: Say, targets: list[str] | None = None) -> tuple[Verdict, Theatre]:
    """The whole play."""
    rng = random.Random(seed)  # noqa: S311  # moments and targets, no secrets
    with theatre("chaos", rng, say) as play:
        feeding = Elasticsearch(play.server.url, basic_auth=(play.server.user, play.server.password), max_retries=0)
        feeder = Feeder(feeding, random.Random(seed + 1))  # noqa: S311  # its own: kills must not depend on its pace
        feeder.start()
        try:
            if not eventually(lambda: _scored(play) > 0, 180.0):
                raise SystemExit(f"nothing was scored before the first kill; logs are in {play.folder}")
            for number, target in enumerate(targets or schedule(kills, rng)):
                wait(play, rng.uniform(0.5, 3.0))
                play.kill(target)
                wait(play, rng.uniform(0.2, 1.0))
                play.roll_over(SOURCE if number % 2 else play.scores)
            wait(play, 2.0)
        finally:
            feeder.finish()
            feeding.close()
        verdict = judge(play, feeder, 120.0)
        tell(play, feeder, verdict, seed)
        return verdict, play


def wait(play: Theatre, seconds: float) -> None:
    """Pass time, starting again what has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        play.tend()
        time.sleep(0.1)


def _scored(play: Theatre) -> int:
    try:
        return play.scored()
    except GONE:
        return 0
