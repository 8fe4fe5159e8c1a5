"""Rows whose delivery ends with its process: they come again until they are written or stand in the dead letters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.stored_rows import read_rows, stored
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.worker.delivering import MAX_BROKEN_RUNS, DeliveryWorker
from tests.integration.stack_tools import eventually
from tests.unit.delivery.builders import make_rows
from tests.unit.service.noting import NotingSubmitter
from tests.unit.service.worker.test_delivery_worker import Scripted

JOB = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", submitter="me")
ROWS = 3
#: A delivery worker whose sink ends its process by a signal until there is a file, on a clock of four seconds.
WORKER = """
import dataclasses, os, signal, sys
from pathlib import Path

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.sink import SendOutcome
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import DELIVER, TaskClock
from scorer.service.settings import load_settings
from scorer.service.worker.delivering import DeliveryWorker, register_delivery
from scorer.service.worker.process import options

home, number = Path(sys.argv[1]), signal.Signals[sys.argv[2]]
settings = load_settings(home=home, broker_url=f"redis+socket://{home}/v.sock")

class Sink:
    name = "hec"

    def send(self, rows):
        with (home / "asked").open("a") as asked:
            asked.write("x")
        if not (home / "calm").exists():
            os.kill(os.getpid(), number)
        return SendOutcome(len(rows))

def worker():
    queue = Exchanges.of(settings, connections=2)
    letters = DeadLetters(home / "dead.sqlite")
    return DeliveryWorker(queue.durable, lambda _job: Sink(), letters, queue.submitter(settings))

lane = dataclasses.replace(DELIVER, clock=lambda _settings: TaskClock(4.0, 4))
app = build_app(settings, lane)
register_delivery(app, worker)
app.worker_main(options(lane, 1))
"""


@pytest.fixture
def exchange(client: redis.Redis, tmp_path: Path) -> Exchange:
    """Keys of a queue on which rows wait."""
    waiting = WaitingRows(stored(make_rows(ROWS)), Acknowledgement(JOB.batch_id, 0))
    NotingSubmitter.on(client, tmp_path).put_rows(JOB, waiting)
    return Exchange(client)


@contextmanager
def working(home: Path, number: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", WORKER, str(home), number], start_new_session=True) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, 9)


def times_asked(home: Path) -> int:
    return (home / "asked").stat().st_size if (home / "asked").exists() else 0


@pytest.mark.usefixtures("exchange")
@pytest.mark.parametrize("number", ["SIGSTOP", "SIGKILL"], ids=["at its hard limit", "killed"])
def test_rows_of_a_lost_process_come_again(client: redis.Redis, tmp_path: Path, number: str) -> None:
    """Stopped, like one long call into a library: the soft limit is not served, and the hard one kills it."""

    def freed(condition: Callable[[], bool]) -> Callable[[], bool]:
        """The dead process's claim ends at once, as it would after a quarter of a minute."""
        return lambda: condition() or (client.delete("qscore:lock:" + JOB.rows_key) < 0)

    with working(tmp_path, number):
        assert eventually(lambda: times_asked(tmp_path) == 1, 40.0)
        (tmp_path / "calm").touch()
        assert eventually(freed(lambda: times_asked(tmp_path) >= 2), 40.0)
        outcome = Exchange(client).wait_outcome("me", 40.0)
    assert outcome == BatchOutcome.of(Acknowledgement(JOB.batch_id, ROWS))
    assert not client.exists(JOB.rows_key)


def test_rows_that_end_every_process_join_the_dead_letters(exchange: Exchange, tmp_path: Path) -> None:
    submitter, letters = NotingSubmitter.on(exchange.client, tmp_path), DeadLetters(tmp_path / "dead.sqlite")
    sink = Scripted(error=AssertionError("it must not be asked"))
    for _ in range(MAX_BROKEN_RUNS):
        exchange.begun(JOB.rows_key)  # as a run does that ends with its process
    DeliveryWorker(exchange, lambda _job: sink, letters, submitter).run(JOB.to_kwargs())
    assert letters.counts() == {"hec": ROWS}
    assert f"{MAX_BROKEN_RUNS} runs of it ended with their process" in letters.list()[0].reason
    assert exchange.wait_outcome("me", 1.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, 0, 0, ROWS))


def test_runs_that_come_to_an_end_are_not_counted(exchange: Exchange, tmp_path: Path) -> None:
    submitter, letters = NotingSubmitter.on(exchange.client, tmp_path), DeadLetters(tmp_path / "dead.sqlite")
    worker = DeliveryWorker(exchange, lambda _job: Scripted(error=RuntimeError("a bug")), letters, submitter)
    worker.run(JOB.to_kwargs())
    assert exchange.begun(JOB.rows_key) == 0
    waiting = exchange.get_rows(JOB.rows_key)
    assert waiting is not None
    assert len(read_rows(waiting.rows)) == ROWS
