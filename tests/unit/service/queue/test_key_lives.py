"""Every key on the queue's servers has a life, or is one of few: a day of load leaves nothing behind that grows."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis

from scorer.delivery.stored_rows import stored
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.access.api_keys import ApiKey
from scorer.service.access.door.tokens import Tokens
from scorer.service.queue.closing.switches import SwitchBoard
from scorer.service.queue.exchange import MOST_ACKS, SETTLED_LIFE, BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.lanes import SCORE
from scorer.service.queue.pace import PaceNotes
from scorer.service.queue.submit import Admission
from scorer.wire.errors import Problem, Unavailable
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import make_rows
from tests.unit.service.noting import NotingSubmitter

NOW = time.time()
JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, NOW, "qscore:reply:1", submitter="me")
DELIVERY = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0:a", submitter="me", submission="a")
DONE = Acknowledgement("batch-0001", 3)
#: Lives as docs/wire.md writes them, in seconds.
UNITS = {"s": 1, "min": 60, "h": 3600}


@pytest.fixture
def table(repository: Path) -> dict[str, float | None]:
    """Pattern of keys -> seconds that one lives at most; None: until it is emptied, or for ever."""
    text = (repository / "docs" / "wire.md").read_text().partition("### Keys and their lives")[2]
    rows = re.findall(r"^\| (`qscore:.*?) \| .*? \| (.*?) \|$", text.partition("\n## ")[0], re.MULTILINE)
    lives = {}
    for names, life in rows:
        number, unit = re.fullmatch(r"(\d+) (s|min|h)\b.*|.*", life).groups()  # type: ignore[union-attr]
        for name in re.findall(r"`(.*?)`", names):
            lives[name] = float(number) * UNITS[unit] if number else None
    assert len(lives) > 15
    return lives


@dataclass
class Place:
    exchange: Exchange
    submitter: NotingSubmitter

    @property
    def client(self) -> redis.Redis:
        return self.exchange.client

    def life(self, key: str | bytes) -> float | None:
        """Seconds that a key has left; None: it has no life."""
        left = int(str(self.client.pttl(key)))
        return None if left < 0 else left / 1000

    def put(self, reply_key: str) -> ScoreJob:
        admission = Admission(SCORE.queues, 50)
        job = replace(JOB, reply_key=reply_key)
        return self.submitter.put(job, SCORE.queues[0], b"x" * 9000, 80.0, admission).job

    def put_rows(self, job: DeliveryJob) -> None:
        self.submitter.put_rows(job, WaitingRows(stored(make_rows(3)), DONE))
        self.exchange.begun(job.rows_key)


@pytest.fixture
def place(client: redis.Redis, tmp_path: Path) -> Place:
    return Place(Exchange(client), NotingSubmitter.on(client, tmp_path))


def exercise(place: Place, folder: Path) -> None:
    """Leave each kind of key there."""
    exchange = place.exchange
    exchange.beat("score", "worker:1")
    kept, done = place.put("qscore:reply:1"), place.put("qscore:reply:2")
    for job in (kept, done, replace(kept, batch_id="batch-0002")):
        exchange.begin(job)
    exchange.finish(done, WorkerReply(problem=Problem.of(Unavailable("a test"))))
    place.put_rows(DELIVERY)
    exchange.settle_part(replace(DELIVERY, parts=2), DONE)
    exchange.report("me", BatchOutcome.of(DONE))
    PaceNotes(place.client, "score").add(3, 0.1)
    exchange.prove_writable()
    exchange.raise_epoch("site", 3)
    SwitchBoard(folder / "switches.json", place.client).change(lambda now: now.with_off("lateral"))
    key = ApiKey("1a2b3c4d", "0" * 64, ("score",), NOW)
    Tokens(place.client, 5).issue(key, key.rights, 900)


def test_every_key_lives_as_long_as_the_page_says(place: Place, table: dict[str, float | None], tmp_path: Path) -> None:
    seen = {"qscore:<lane>:unacked", "qscore:<lane>:unacked_index", "qscore:q:bulk", "qscore:x:qpu"}  # as the first
    with place.exchange.claim(DELIVERY.rows_key):
        exercise(place, tmp_path)
        for key in sorted(place.client.scan_iter()):
            named = [one for one in table if re.fullmatch(re.sub("<.*?>", ".+", one), key.decode())]
            assert len(named) == 1, key
            seen.add(named[0])
            life, left = table[named[0]], place.life(key)
            assert (left is None) == (life is None), key
            assert life is None or (left or 0.0) <= life, key
    assert seen == set(table)


def test_what_is_settled_is_soon_forgotten(place: Place) -> None:
    """Two keys a batch, 300 bytes, each for a day: at forty batches a second they would fill a gigabyte."""
    place.put_rows(DELIVERY)
    place.exchange.settle_part(DELIVERY, DONE)
    place.exchange.forget_rows(DELIVERY.rows_key)
    assert not place.client.exists(DELIVERY.rows_key)
    for key in (f"qscore:begun:{DELIVERY.rows_key}", "qscore:settled:batch-0001:a"):
        assert (place.life(key) or 1e9) <= SETTLED_LIFE, key


def test_nothing_is_counted_for_nobody(place: Place) -> None:
    place.exchange.settle_part(replace(DELIVERY, submitter=None), DONE)
    assert list(place.client.scan_iter()) == []


def test_a_list_that_nobody_reads_does_not_grow_for_ever(place: Place) -> None:
    key = "qscore:ack:me"
    place.client.rpush(key, *[b"old"] * MOST_ACKS)
    for number in range(3):
        place.exchange.report("me", BatchOutcome.of(replace(DONE, written=number)))
    assert place.client.llen(key) == MOST_ACKS
    newest: list[bytes] = place.client.lrange(key, -3, -1)  # type: ignore[assignment]
    assert [BatchOutcome.unpack(one).ack for one in newest] == [replace(DONE, written=number) for number in range(3)]


def test_an_outcome_that_cannot_be_read_takes_no_other_with_it(place: Place) -> None:
    for outcome in (BatchOutcome.of(DONE).pack(), b"nonsense", BatchOutcome.of(DONE).pack()):
        place.client.rpush("qscore:ack:me", outcome)
    assert place.exchange.take_outcomes("me") == [BatchOutcome.of(DONE)] * 2
