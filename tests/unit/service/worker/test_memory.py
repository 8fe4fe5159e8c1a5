"""A pool process may take so much memory and no more; what needs more is answered, and the process goes on."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import redis

from scorer.registry.store import Registry
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.jobs import ScoreJob, WorkerReply
from scorer.service.queue.lanes import LANES
from scorer.service.settings import load_settings
from scorer.service.worker.memory import limit_memory
from scorer.service.worker.messages import run_job
from scorer.service.worker.model_cache import ModelCache
from scorer.service.worker.scoring import ScoringWorker
from scorer.wire.errors import Problem, Unavailable
from scorer.wire.options import ScoreOptions
from tests.unit.service.noting import NotingSubmitter

ROWS = 50_000
NAMES = ("events", "logons", "failures")


def alone(target: Callable[..., None], *arguments: object) -> int | None:
    """The exit code of a process that runs ``target`` alone, as a pool process runs a batch. It starts anew: a copy of
    this one would have the free memory of all tests before, and need no more from the system."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


def grows(mib: int, taken: int) -> None:
    limit_memory(mib)
    try:
        np.ones(taken * 131_072)
    except MemoryError:
        raise SystemExit(3) from None
    try:
        pa.allocate_buffer(taken << 20)
    except MemoryError:
        raise SystemExit(4) from None


@pytest.mark.parametrize(("taken", "code"), [(100, 0), (900, 3)])
def test_a_process_grows_to_its_limit(taken: int, code: int) -> None:
    assert alone(grows, 512, taken) == code


def batch(names: tuple[str, ...], rows: int, reply_key: str, width: int) -> tuple[ScoreJob, bytes]:
    """A batch whose rows each name one text of ``width`` characters in two context columns."""
    words = pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), ["u" * width])
    table = pa.table({name: np.full(rows, 5.0) for name in names} | {"user": words, "src": words})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body, key = sink.getvalue().to_pybytes(), f"qscore:body:{reply_key}"
    media, until = "application/vnd.apache.arrow.stream", time.time() + 60
    options = ScoreOptions(write=True)
    return ScoreJob("batch-0001", "lateral", options, rows, media, until, 1.7e9, reply_key, body_key=key), body


def scores(socket: Path, home: Path, jobs: list[ScoreJob]) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    models = ModelCache(Registry(home / "registry", home / "trusted_keys"))
    worker = ScoringWorker(Exchange(client), models, NotingSubmitter.on(client, home))
    warm, content = batch(NAMES, 3, "qscore:reply:warm", 5)  # what is loaded on the way does not count
    client.set(str(warm.body_key), content)
    worker.run(warm.to_kwargs())
    limit_memory(100)  # far less than any worker has: what passes every bound on bodies must be too much
    for job in jobs:
        worker.run(job.to_kwargs())


def test_a_batch_beyond_memory_is_answered_and_the_next_one_is_scored(
    client: redis.Redis, tmp_path: Path, publish_tiny: Callable[[Path], None]
) -> None:
    publish_tiny(tmp_path / "home")
    large, large_body = batch(NAMES, ROWS, "qscore:reply:large", 2_000)
    small, small_body = batch(NAMES, 3, "qscore:reply:small", 5)
    client.set(str(large.body_key), large_body)
    client.set(str(small.body_key), small_body)
    assert alone(scores, tmp_path / "v.sock", tmp_path / "home", [large, small]) == 0
    exchange = Exchange(client)
    answers = [exchange.wait_reply(str(job.reply_key), 1.0) or WorkerReply() for job in (large, small)]
    refused = answers[0].problem
    assert isinstance(refused, Problem)
    assert (refused.status, refused.retryable) == (413, False)
    assert "50000 rows took more memory" in refused.detail
    assert answers[1].problem is None
    assert answers[1].headers


def test_celery_never_sees_memory_run_out() -> None:
    def run(_message: dict[str, object]) -> None:
        raise MemoryError

    with pytest.raises(Unavailable, match="ran out of memory"):
        run_job(run, {})


def test_every_lane_has_a_limit_and_the_simulators_is_its_own() -> None:
    settings = load_settings(worker={"memory_limit_mb": 700, "qpu_memory_limit_mb": 5000})
    assert {lane.name: lane.memory_mb(settings) for lane in LANES} == {
        "score": 700,
        "bulk": 700,
        "deliver": 700,
        "qpu": 5000,
    }
