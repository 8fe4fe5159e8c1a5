"""A scoring process is killed with a batch: whoever waits for the batch hears of it, and soon."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.running_stack import running_stack
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import SCORE
from scorer.service.worker.scoring import MAX_RUNS
from scorer.wire.client import GatewayClient, ScoreReply
from scorer.wire.errors import QScoreError, ScoringTimeout
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import body, client_of, eventually, pool_of, send, settings_of

ROWS, EVERY = 50_000, ScoreOptions(explain="all", write=True)
BODY = body(ROWS)
#: Seconds that callers would wait; what they hear comes long before.
PATIENCE = 50.0
SOON = 25.0


@dataclass(frozen=True)
class Running:
    home: Path
    client: GatewayClient
    queue: Exchange
    file: Path

    def written(self, batch_id: str) -> int:
        """Rows of a batch in the sink's file."""
        return self.file.read_text().count(batch_id) if self.file.exists() else 0

    def pool(self) -> list[int]:
        """The scoring worker's pool processes."""
        return pool_of(self.home, "score")

    def begun(self, batch_id: str) -> int:
        """How often a pool process has begun a batch that is not answered yet."""
        return int(self.queue.client.zcard(f"qscore:runs:{batch_id}"))

    def posted(self, threads: ThreadPoolExecutor, batch_id: str) -> Future[ScoreReply]:
        """A batch that takes a while, so that there is time to kill what scores it."""
        return threads.submit(self.client.score, "lateral", BODY, ROWS, EVERY, batch_id, timeout=PATIENCE)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("killed") / "home"
    file = home.parent / "events.ndjson"
    publish_tiny(home)
    limits = {"QSCORE_WORKER__TASK_SECONDS": "5", "QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(file)}
    with (
        running_stack(home, "--port", "0", "--workers", "1", environment=limits) as state,
        client_of(home, state) as client,
    ):
        queue = Exchanges.of(settings_of(home))
        yield Running(home, client, queue.serving(SCORE), file)
        queue.close()


def test_a_batch_killed_at_its_hard_limit_is_answered(running: Running) -> None:
    (pool,) = running.pool()
    started = time.monotonic()
    with ThreadPoolExecutor(1) as threads:
        outcome = running.posted(threads, "batch-too-slow")
        assert eventually(lambda: running.begun("batch-too-slow") == 1, pause=0.0)
        os.kill(pool, signal.SIGSTOP)  # like one long call into a library: the soft limit is not served
        with pytest.raises(ScoringTimeout, match=r"batch-too-slow of 50000 rows was ended after 5 s.*smaller batches"):
            outcome.result(PATIENCE)
    assert time.monotonic() - started < SOON
    assert not running.begun("batch-too-slow")
    _the_next_one_is_written_and_that_one_is_not(running, "batch-too-slow")


def test_a_batch_whose_every_process_is_killed_is_answered(running: Running) -> None:
    assert eventually(lambda: bool(running.pool()))
    killed = 0
    with ThreadPoolExecutor(1) as threads:
        outcome = running.posted(threads, "batch-deadly")
        while not outcome.done():
            if running.begun("batch-deadly") > killed:
                send(signal.SIGKILL, running.pool())
                killed += 1
            time.sleep(0.005)
        with pytest.raises(QScoreError, match=r"batch-deadly.* ended its worker"):
            outcome.result(PATIENCE)
    assert killed >= MAX_RUNS
    assert eventually(lambda: bool(running.pool()))
    _the_next_one_is_written_and_that_one_is_not(running, "batch-deadly")


def _the_next_one_is_written_and_that_one_is_not(running: Running, batch_id: str) -> None:
    following = f"{batch_id}-next"
    write = ScoreOptions(write=True)
    assert running.client.score("lateral", body(2), 2, write, following, timeout=PATIENCE).scored == 2
    assert eventually(lambda: running.written(f'"{following}"') == 2)
    assert running.written(f'"{batch_id}"') == 0
