"""A Redis without memory refuses whole transactions, whatever is in them: what makes room there does without."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker

from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.jobs import ScoreJob
from scorer.service.queue.lanes import SCORE
from scorer.service.queue.submit import Admission, Submitter
from scorer.service.settings import Settings, load_settings
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import eventually

JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, 1e9, "qscore:reply:1")
LARGE = b"x" * 9000


@pytest.fixture
def server(tmp_path: Path, require: Callable[[bool, str], None]) -> Iterator[redis.Redis]:
    """A Redis of this test alone, at v.sock in the test's folder; Valkey does not refuse these transactions."""
    program = shutil.which("redis-server")
    require(program is not None, "no redis-server is on PATH (Debian: redis-server)")
    socket = tmp_path / "v.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([str(program), *options], stdout=subprocess.DEVNULL)
    try:
        assert eventually(socket.exists)
        with redis.Redis(unix_socket_path=str(socket)) as client:
            yield client
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock")


def put(settings: Settings, server: redis.Redis, body: bytes) -> Any:
    Exchange(server).beat("score", "worker:1")
    return Submitter.of(settings, server).put(JOB, SCORE.queues[0], body, 60.0, Admission((SCORE.queues[0],), 5))


def test_what_is_done_is_forgotten_there(settings: Settings, server: redis.Redis) -> None:
    """It would come again every twenty seconds for as long as the server is full, and its batch be scored again."""
    put(settings, server, b"a\n1\n")
    app = build_app(settings, SCORE)
    ran = []

    @app.task(name=SCORE.task, typing=False, shared=False)  # type: ignore[untyped-decorator]
    def task(**message: Any) -> None:
        server.config_set("maxmemory", 1)
        ran.append(message["batch_id"])

    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR", shutdown_timeout=20.0):
        assert eventually(lambda: ran == [JOB.batch_id])
        assert eventually(lambda: not server.exists("qscore:i:unacked", "qscore:i:unacked_index"), 5.0)


def test_a_batch_for_which_nobody_waits_leaves_it(settings: Settings, server: redis.Redis) -> None:
    placed = put(settings, server, LARGE)
    server.config_set("maxmemory", 1)
    Submitter.of(settings, server).take_back(placed)
    assert not server.exists("qscore:i:interactive", str(placed.job.body_key))


def test_a_batch_whose_process_was_lost_goes_back_there(settings: Settings, server: redis.Redis) -> None:
    """Celery sends it once more, and acknowledges it all the same where that fails: nobody would run or answer it."""
    server.config_set("maxmemory", 1)
    app = build_app(settings, SCORE)
    app.send_task(SCORE.task, kwargs=JOB.to_kwargs(), queue=SCORE.queues[0], retry=False)
    assert server.llen("qscore:i:interactive") == 1
