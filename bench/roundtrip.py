"""A batch of 1,000 x 12 through gateway, queue and scoring, against the bare round trip of its bytes through Celery.

    python bench/roundtrip.py [--batches 300]

Both go through the same embedded Valkey, one worker process each, in alternating blocks of one run:

* raw: a Celery task (solo pool, msgpack, acks late) that echoes the batch's 48,000 float32 bytes. Measured twice: with
  the reply from Celery's result backend, which is what a Celery program has out of the box and what the goal is
  stated against, and with the reply by RPUSH/BLPOP as qscore does it. Both ratios are printed.
* qscore: CSV over TLS (one keep-alive connection) to the gateway, queue, worker (prefork): decode, quantum score, twin,
  calibration, CSV reply.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import redis
from celery import Celery
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.running_stack import running_stack
from demo.small_model import small_model
from scorer.circuits.zz import ZZMap
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.rows.recipe import load_recipe
from scorer.rows.transform import derive, required_inputs
from scorer.service.queue.broker import FAST, redis_client, socket_path
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.lanes import SCORE, TaskClock
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.options import ScoreOptions

ROWS, COLUMNS, QUBITS = 1000, 12, 6
GOAL = 3.0
BLOCK = 25  # batches of one kind before the other kind's turn
_TASK = "bench.echo"
_LANE = replace(
    SCORE,
    name="bench",
    prefix="qscore:bench:",
    queues=("bench",),
    task=_TASK,
    clock=lambda _settings: TaskClock(10.0, 24),
)


@dataclass(frozen=True)
class Timing:
    """Seconds of each batch."""

    name: str
    seconds: tuple[float, ...]

    def quantile(self, q: float) -> float:
        """In milliseconds."""
        return float(np.quantile(self.seconds, q)) * 1e3


def echo_app(settings: Settings) -> Celery:
    """The peer: our own Celery settings, one task, results kept."""
    app = build_app(settings, _LANE)
    app.conf.update(task_ignore_result=False, result_backend=_backend_url(settings), result_expires=60)

    @app.task(name=_TASK, ignore_result=False)  # type: ignore[untyped-decorator]  # Celery publishes no types
    def echo(body: bytes, reply_key: str | None) -> bytes | None:
        if reply_key is None:
            return body
        client.rpush(reply_key, body)
        return None

    client = redis_client(settings, connections=2, server=FAST)
    return app


def _backend_url(settings: Settings) -> str:
    return f"redis+socket://{socket_path(settings, FAST)}"


def model() -> TrainedModel:
    """A six-qubit model of the recipe `lateral` with about 300 support vectors before it is collapsed."""
    rng = np.random.default_rng(7)
    recipe = load_recipe("lateral")
    names = tuple(feature.name for feature in recipe.features[:QUBITS])
    inputs = window_counts(required_inputs(recipe, names), 1200, rng)
    X = derive(recipe, names, inputs)
    y = (X.sum(1) + rng.normal(0.0, 1.0, len(X)) > np.quantile(X.sum(1), 0.7)).astype(np.int64)
    circuit = ZZMap(qubits=QUBITS, reps=2, entanglement="full", bandwidth=0.3)
    return small_model(recipe, names, X, y, circuit, 0.01, "rows made up by a benchmark")


def window_counts(names: Sequence[str], rows: int, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Counts that a window may have: `logons` of `events`, and every other one a part of `logons`."""
    events = (rng.poisson(20.0, rows) + 1).astype(np.float64)
    logons = rng.binomial(events.astype(int), 0.7)
    counts = {name: rng.binomial(logons, rng.uniform(0.05, 0.6)).astype(np.float64) for name in names}
    return counts | {"events": events, "logons": logons.astype(np.float64)}


def csv_batch(names: list[str]) -> bytes:
    """ROWS lines of COLUMNS numbers."""
    counts = window_counts(names, ROWS, np.random.default_rng(3))
    counts["dests_of_source"] += 1.0
    values = np.column_stack([counts[name] for name in names])
    lines = [",".join(f"{value:g}" for value in row) for row in values]
    return ("\n".join([",".join(names), *lines]) + "\n").encode()


@contextlib.contextmanager
def echo_worker(home: Path) -> Iterator[None]:
    """The peer's worker process."""
    command = [sys.executable, __file__, "--echo-worker", str(home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def timed(call: Callable[[], Any], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def calls(settings: Settings, client: GatewayClient) -> dict[str, Callable[[], Any]]:
    """What is measured: one batch each."""
    app, queue = echo_app(settings), redis_client(settings, connections=2, longest_wait=30, server=FAST)
    payload = np.random.default_rng(1).normal(size=(ROWS, COLUMNS)).astype(np.float32).tobytes()
    body = csv_batch([column.name for column in load_recipe("lateral").inputs][:COLUMNS])
    options = ScoreOptions(version=client.card("lateral").version)
    reply = client.score("lateral", body, ROWS, options)
    assert reply.scored == ROWS, reply.problems
    return {
        "raw, result backend": lambda: _by_backend(app, payload),
        "raw, RPUSH/BLPOP": lambda: _by_list(app, queue, payload),
        "qscore": lambda: client.score("lateral", body, ROWS, options),
    }


def _by_backend(app: Celery, payload: bytes) -> None:
    result = app.send_task(_TASK, kwargs={"body": payload, "reply_key": None}, queue="bench")
    assert result.get(timeout=30, interval=0.0005) == payload


def _by_list(app: Celery, queue: redis.Redis, payload: bytes) -> None:
    key = f"bench:{uuid.uuid4().hex}"
    app.send_task(_TASK, kwargs={"body": payload, "reply_key": key}, queue="bench", ignore_result=True)
    found: Any = queue.blpop([key], timeout=30)
    assert found[1] == payload


def measure(kinds: dict[str, Callable[[], Any]], batches: int) -> list[Timing]:
    """Blocks in turn, so that a slow moment of the machine meets every kind; each is warmed up first."""
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for call in kinds.values():
        timed(call, 20)
    for _ in range(0, batches, BLOCK):
        for name, call in kinds.items():
            seconds[name] += timed(call, BLOCK)
    return [Timing(name, tuple(values)) for name, values in seconds.items()]


def report(timings: list[Timing]) -> float:
    table = Table("round trip", "p50 ms", "p95 ms", "qscore / this", title=f"{ROWS} x {COLUMNS}, one worker process")
    own = timings[-1].quantile(0.5)
    for timing in timings:
        table.add_row(
            timing.name,
            f"{timing.quantile(0.5):.2f}",
            f"{timing.quantile(0.95):.2f}",
            f"{own / timing.quantile(0.5):.2f}",
        )
    ratio = own / timings[0].quantile(0.5)
    Console().print(table)
    print(
        f"ratio to Celery's own round trip {ratio:.2f} (goal: at most {GOAL:g}): {'met' if ratio <= GOAL else 'MISSED'}"
    )
    return ratio


def run(home: Path, batches: int) -> float:
    settings = load_settings(home=home)
    registry = Registry(settings.registry, settings.trusted_keys)
    settings.registry.mkdir(parents=True)
    registry.publish(model(), Signer.load_or_create(settings.signing_key, settings.trusted_keys)[0])
    with (
        running_stack(home, "--port", "0", "--workers", "1") as state,
        echo_worker(home),
        _client(settings, state) as client,
    ):
        return report(measure(calls(settings, client), batches))


def _client(settings: Settings, state: StackState) -> GatewayClient:
    return GatewayClient(state.url, settings.local_key.read_text().strip(), state.ca_file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--echo-worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo_worker:
        app = echo_app(load_settings(home=arguments.echo_worker))
        app.worker_main(
            ["worker", "--pool=solo", "--queues=bench", "--loglevel=ERROR", "--without-gossip", "--without-mingle"]
        )
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(run(Path(folder), arguments.batches) > GOAL)


if __name__ == "__main__":
    main()
