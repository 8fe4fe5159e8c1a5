"""Gateway, queue and worker together, beside raw round trips and a null application in the same run.

    python -m bench.service [--rounds 5] [--part rate,scaling,transport,tail]     # make bench-service

* rate: rows a second of 1,000- and 50,000-row batches, four callers, two scoring processes.
* scaling: a queue filled while its workers are stopped, worked off by one process and by two, in turn.
* transport: a 50,000-row batch there and its reply back, through the gateway and the queue to a worker that scores
  nothing, against the same bytes through a null WSGI application (gunicorn, gthread, TLS) and redis-py.
* tail: the p99 of 100-row interactive batches against the p50 of a raw Celery round trip (48,000 bytes).
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import redis
from rich.console import Console
from rich.table import Table

from bench.roundtrip import calls, echo_worker, model, window_counts
from demo.running_stack import running_stack
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.rows.recipe import load_recipe
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import ScoreJob, WorkerReply
from scorer.service.queue.lanes import BULK, SCORE, TASK_SCORE
from scorer.service.queue.submit import Admission
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.names import MEDIA_CSV, QUEUE_BULK
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import processes

COLUMNS = 12
SCALING_GOAL, TRANSPORT_GOAL, TAIL_GOAL = 1.6, 2.0, 5.0
_PEER_LIST = "bench:peer"
Row = tuple[str, str, str, str]


@dataclass(frozen=True)
class Running:
    """A stack with the model of the benchmark."""

    settings: Settings
    state: StackState

    def client(self) -> GatewayClient:
        """Make a client with the local key."""
        return GatewayClient(self.state.url, self.key, self.state.ca_file)

    @property
    def key(self) -> str:
        return self.settings.local_key.read_text().strip()


@contextlib.contextmanager
def stack(folder: Path, **variables: str) -> Iterator[Running]:
    """Start a stack in a new home, with the variables of its settings."""
    home = Path(tempfile.mkdtemp(dir=folder))
    settings = load_settings(home=home)
    settings.registry.mkdir(parents=True)
    signer = Signer.load_or_create(settings.signing_key, settings.trusted_keys)[0]
    Registry(settings.registry, settings.trusted_keys).publish(model(), signer)
    with running_stack(home, "--port", "0", environment=variables) as state:
        yield Running(settings, state)


def csv_rows(rows: int) -> bytes:
    """Write so many lines of COLUMNS inputs, no two alike but by chance."""
    names = [column.name for column in load_recipe("lateral").inputs][:COLUMNS]
    counts = window_counts(names, rows, np.random.default_rng(3))
    counts["dests_of_source"] += 1.0
    values = np.column_stack([counts[name] for name in names])
    lines = [",".join(f"{value:g}" for value in row) for row in values]
    return ("\n".join([",".join(names), *lines]) + "\n").encode()


def rate(folder: Path, _rounds: int) -> list[Row]:
    """Measure rows a second, with four callers at once."""
    with stack(folder, QSCORE_WORKER__PROCESSES="2") as running:
        return [_rate_row(running, rows, batches) for rows, batches in ((1_000, 400), (50_000, 24))]


def _rate_row(running: Running, rows: int, batches: int) -> Row:
    body, options = csv_rows(rows), ScoreOptions(explain="none")
    clients = threading.local()

    def one(_number: int) -> None:
        if not hasattr(clients, "mine"):
            clients.mine = running.client()
        reply = clients.mine.score("lateral", body, rows, options)
        if reply.scored != rows:
            raise SystemExit(f"{reply.scored} of {rows} rows were scored: {reply.problems}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(8)))
        started = time.perf_counter()
        list(pool.map(one, range(batches)))
    seconds = time.perf_counter() - started
    return (f"rate, {rows:,} rows a batch", f"{rows * batches / seconds:,.0f} rows/s", "-", "-")


def scaling(folder: Path, rounds: int) -> list[Row]:
    """Measure how much faster two processes work a full queue off than one."""
    with (
        stack(folder, QSCORE_WORKER__BULK_PROCESSES="1") as one,
        stack(folder, QSCORE_WORKER__BULK_PROCESSES="2") as two,
    ):
        for running in (one, two):
            _worked_off(running, 40)
        seconds = [(_worked_off(one, 400), _worked_off(two, 400)) for _ in range(rounds)]
    ratios = [alone / both for alone, both in seconds]
    ratio = float(np.median(ratios))
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return [
        ("scaling, two workers / one", f"{ratio:.2f} ({spread})", f">= {SCALING_GOAL:g}", _met(ratio >= SCALING_GOAL))
    ]


def _worked_off(running: Running, batches: int) -> float:
    """Fill the queue while its workers stand still; seconds from their start to the last answer."""
    queue = Exchanges.of(running.settings, connections=2, longest_wait=120.0)
    submitter, body = queue.submitter(running.settings), csv_rows(1_000)
    workers = processes(running.settings.home, "scorer.service.worker bulk")
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    keys = [submitter.put(_bulk_job(), QUEUE_BULK, body, 300.0, _ANY).job.reply_key for _ in range(batches)]
    started = time.perf_counter()
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    for key in keys:
        reply = queue.serving(BULK).wait_reply(str(key), 120.0)
        if reply is None or reply.problem is not None:
            raise SystemExit(f"a batch was not scored: {reply}")
    seconds = time.perf_counter() - started
    queue.close()
    return seconds


_ANY = Admission((QUEUE_BULK,), 1_000_000, alive=False)


def _bulk_job() -> ScoreJob:
    now = time.time()
    return ScoreJob(
        uuid.uuid4().hex, "lateral", ScoreOptions(version="1-starter", explain="none"), 1_000, MEDIA_CSV,
        deadline=now + 300.0, submitted=now, reply_key=f"qscore:reply:{uuid.uuid4().hex}",
    )  # fmt: skip


def transport(folder: Path, rounds: int) -> list[Row]:
    """Measure what gateway, queue and Celery add to moving a batch's bytes."""
    body = csv_rows(50_000)
    with stack(folder) as running:
        reply = running.client().score("lateral", body, 50_000, ScoreOptions(explain="none")).body
        (folder / "reply").write_bytes(reply)
        for worker in processes(running.settings.home, "scorer.service.worker score"):
            os.kill(worker, signal.SIGSTOP)
        with _helper("--null-worker", running), _helper("--peer-worker", running), _peer_server(running) as peer:
            own, other = _Caller(running, running.state.url, body), _Caller(running, peer, body)
            ours, theirs = _in_turn([own.post, other.post], rounds * 12)
    ratio = float(np.median(ours) / np.median(theirs))
    shown = f"{ratio:.2f} ({np.median(ours) * 1e3:.1f} ms / {np.median(theirs) * 1e3:.1f} ms)"
    return [("transport, 50,000 rows", shown, f"<= {TRANSPORT_GOAL:g}", _met(ratio <= TRANSPORT_GOAL))]


class _Caller:
    """One kept connection that posts the batch."""

    def __init__(self, running: Running, url: str, body: bytes) -> None:
        context = ssl.create_default_context(cafile=running.state.ca_file)
        self.connection = http.client.HTTPSConnection(url.removeprefix("https://"), timeout=60, context=context)
        self.headers = {
            "Authorization": f"Bearer {running.key}", "Content-Type": MEDIA_CSV, "X-QScore-Rows": "50000"
        }  # fmt: skip
        self.body = body

    def post(self) -> None:
        """Post it and read the whole answer."""
        self.connection.request("POST", "/v1/models/lateral/score?explain=none", self.body, self.headers)
        answer = self.connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {said[:300]!r}")


def _in_turn(kinds: Sequence[Callable[[], None]], times: int) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in kinds]
    for number in range(times + 3):
        for kind, mine in zip(kinds, seconds, strict=True):
            started = time.perf_counter()
            kind()
            if number >= 3:
                mine.append(time.perf_counter() - started)
    return seconds


@contextlib.contextmanager
def _helper(role: str, running: Running) -> Iterator[None]:
    """Run a worker of the benchmark in a process of its own."""
    command = [sys.executable, "-m", "bench.service", role, str(running.settings.home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def _peer_server(running: Running) -> Iterator[str]:
    """Serve the null application over TLS, with the gateway's certificate."""
    tls, port = running.settings.tls_dir, _free_port()
    files = ["--certfile", str(tls / "server.pem"), "--keyfile", str(tls / "server_key.pem")]
    threads = ["--worker-class", "gthread", "--threads", "16", "--bind", f"127.0.0.1:{port}"]
    command = [sys.executable, "-m", "gunicorn", *threads, *files, "bench.service:null_application"]
    variables = os.environ | {"QSCORE_HOME": str(running.settings.home)}
    with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(3.0)
            yield f"https://127.0.0.1:{port}"
        finally:
            process.terminate()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


_peer_clients: list[redis.Redis] = []


def null_application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Move a body to the peer's worker and its answer back; check nothing."""
    if not _peer_clients:
        _peer_clients.append(redis_client(load_settings(), connections=18, longest_wait=30, server=FAST))
    client, key = _peer_clients[0], uuid.uuid4().hex
    client.set(f"bench:body:{key}", environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])), ex=60)
    client.lpush(_PEER_LIST, key)
    found: Any = client.blpop([f"bench:reply:{key}"], timeout=30)
    start_response("200 OK", [("Content-Type", "text/csv"), ("Content-Length", str(len(found[1])))])
    return [found[1]]


def peer_worker(home: Path) -> None:
    """Take bodies and answer each with the reply of the benchmark, by redis-py alone."""
    client = redis_client(load_settings(home=home), connections=2, longest_wait=600, server=FAST)
    reply = (home.parent / "reply").read_bytes()
    while True:
        found: Any = client.brpop([_PEER_LIST], timeout=600)
        key = found[1].decode()
        client.get(f"bench:body:{key}")
        client.unlink(f"bench:body:{key}")
        client.rpush(f"bench:reply:{key}", reply)


def null_worker(home: Path) -> None:
    """Be a worker of the lane of searches that scores nothing: it takes a job with its body and answers."""
    settings = load_settings(home=home)
    exchange = Exchanges.of(settings, connections=3).serving(SCORE)
    reply = WorkerReply((home.parent / "reply").read_bytes(), {})
    app = build_app(settings, SCORE)

    @app.task(name=TASK_SCORE)  # type: ignore[untyped-decorator]  # Celery publishes no types
    def score(**message: Any) -> None:
        job = ScoreJob.from_kwargs(message)
        exchange.begin(job)
        exchange.finish(job, reply)

    def beat() -> None:
        while True:
            exchange.beat(SCORE.name, "null")
            time.sleep(2.0)

    threading.Thread(target=beat, daemon=True).start()
    quiet = ["--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", "--pool=solo", f"--queues={','.join(SCORE.queues)}", *quiet])


def tail(folder: Path, rounds: int) -> list[Row]:
    """Measure the slowest of small batches against a bare message there and back."""
    body, options = csv_rows(100), ScoreOptions(version="1-starter")
    with (
        stack(folder, QSCORE_WORKER__PROCESSES="1") as running,
        echo_worker(running.settings.home),
        running.client() as client,
    ):
        raw = calls(running.settings, client)["raw, result backend"]
        small = lambda: client.score("lateral", body, 100, options)  # noqa: E731
        ours, theirs = _in_turn([small, raw], rounds * 100)  # type: ignore[list-item]
    p99, p50 = float(np.quantile(ours, 0.99)), float(np.median(theirs))
    shown = f"{p99 / p50:.2f} ({p99 * 1e3:.1f} ms / {p50 * 1e3:.1f} ms)"
    return [("tail, p99 of 100 rows / raw p50", shown, f"<= {TAIL_GOAL:g}", _met(p99 <= TAIL_GOAL * p50))]


def _met(met: bool) -> str:
    return "yes" if met else "NO"


PARTS: dict[str, Callable[[Path, int], list[Row]]] = {
    "rate": rate, "scaling": scaling, "transport": transport, "tail": tail
}  # fmt: skip


def main() -> None:
    """Run the parts that are asked for; the exit status is 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--null-worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer-worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.null_worker or given.peer_worker:
        (null_worker if given.null_worker else peer_worker)(given.null_worker or given.peer_worker)
        return
    table = Table("what", "measured", "goal", "met", title="gateway, queue and worker")
    missed = False
    for part in given.part.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for row in PARTS[part](Path(folder), given.rounds):
                table.add_row(*row)
                missed |= row[3] == "NO"
    Console().print(table)
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
