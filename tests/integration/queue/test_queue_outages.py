"""A queue's server that is full, refuses or dies, and workers that die: what waits is written, soon, and the others go
on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from demo.running_stack import running_stack
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.stack.up import StackState, queue_of, read_state
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Unavailable
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import (
    body,
    client_of,
    eventually,
    mains_of,
    pool_of,
    processes,
    qscore,
    send,
    settings_of,
    stopped,
)

WRITE = ScoreOptions(write=True)
LANES = ("score", "bulk", "deliver")
ROWS = 4_000  # two deliveries
#: Seconds; half of it is the promise, the rest is for machines that run other tests beside. It once took minutes.
RECOVERY = 60.0


class Stack(NamedTuple):
    home: Path
    state: StackState
    file: Path

    def ids(self, batch: str) -> set[str]:
        """Ids of a batch's rows in the sink's file; its last line may not be whole."""
        lines = self.file.read_text().split("\n")[:-1] if self.file.exists() else []
        written = (json.loads(line)["fields"] for line in lines)
        return {fields["qscore_id"] for fields in written if fields["qscore_batch"] == batch}

    def durable(self) -> redis.Redis:
        return redis_client(settings_of(self.home))

    def whole(self) -> bool:
        """Whether the durable server is there again after its death, and everybody who works with it."""
        try:
            alive = queue_of(settings_of(self.home)).state().workers
        except Unavailable:
            return False
        workers = [(len(mains_of(self.home, lane)), len(pool_of(self.home, lane))) for lane in LANES]
        delivering = settings_of(self.home).worker.delivery_processes
        return all(alive[lane] for lane in LANES) and workers == [(1, 1), (1, 1), (1, delivering)]

    def all_written(self, batch: str) -> bool:
        return eventually(lambda: len(self.ids(batch)) == ROWS, RECOVERY)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("outages")
    home, file = folder / "home", folder / "events.ndjson"
    publish_tiny(home)
    sink = {"QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(file), "QSCORE_WORKER__VISIBILITY_SECONDS": "8"}
    with running_stack(home, "--port", "0", "--workers", "1", environment=sink) as state:
        yield Stack(home, state, file)


@pytest.fixture
def client(stack: Stack) -> Iterator[GatewayClient]:
    assert eventually(stack.whole, RECOVERY)  # the test before may have killed any of it
    with client_of(stack.home, stack.state) as client:
        yield client


def delivery(stack: Stack) -> list[int]:
    return processes(stack.home, "scorer.service.worker deliver")


@pytest.mark.parametrize(
    ("refusal", "mended"),
    [(("maxmemory", 1), ("maxmemory", "1gb")), (("min-replicas-to-write", 1), ("min-replicas-to-write", 0))],
    ids=["full", "refuses every write"],
)
def test_a_server_that_refuses_ends_nobody_and_its_rows_are_written(
    stack: Stack, client: GatewayClient, refusal: tuple[str, int], mended: tuple[str, str | int]
) -> None:
    batch, everybody, durable = f"batch-{refusal[0]}", processes(stack.home), stack.durable()
    with stopped(delivery(stack)):
        client.score("lateral", body(ROWS), ROWS, WRITE, batch)
        durable.config_set(*refusal)
    try:
        until = time.monotonic() + 4.0  # two looks for lost messages, two beats
        while time.monotonic() < until:
            assert client.score("lateral", body(3), 3).scored == 3  # searches have a server of their own
            time.sleep(0.2)
        with pytest.raises(Unavailable):
            client.score("lateral", body(3), 3, bulk=True)
        if refusal[0] == "maxmemory":
            assert "the queue's server is full" in " ".join(qscore(stack.home, "status").stdout.split())
            assert stack.all_written(batch)  # what lies there leaves it, which is how it becomes empty
    finally:
        durable.config_set(*mended)
    assert stack.all_written(batch)
    assert eventually(lambda: client.score("lateral", body(3), 3, bulk=True).scored == 3)
    assert processes(stack.home) == everybody


def test_rows_are_written_soon_after_their_server_was_killed(stack: Stack, client: GatewayClient) -> None:
    client.score("lateral", body(ROWS), ROWS, WRITE, "batch-broker")
    send(signal.SIGKILL, processes(stack.home, "valkey.sock"))
    assert stack.all_written("batch-broker")


def test_rows_of_a_killed_delivery_are_written_soon(stack: Stack, client: GatewayClient) -> None:
    (main,) = mains_of(stack.home, "deliver")
    with stopped(pool_of(stack.home, "deliver")):
        client.score("lateral", body(ROWS), ROWS, WRITE, "batch-delivery")
        assert eventually(lambda: stack.durable().hlen("qscore:d:unacked") >= 2)
        send(signal.SIGKILL, [main])
        _dead_for_long(stack.durable(), "qscore:d:unacked")
    assert stack.all_written("batch-delivery")


def _dead_for_long(server: redis.Redis, held: str) -> int:
    """Have a worker's messages given back in the first moment of its successor; how many there are."""
    messages: list[bytes] = server.hkeys(held)  # type: ignore[assignment]
    server.zadd(held + "_index", dict.fromkeys(messages, 0.0), xx=True)
    return len(messages)


@pytest.mark.parametrize("victims", ["one process", "all of them"])
def test_rows_of_a_killed_scorer_are_written_once(stack: Stack, client: GatewayClient, victims: str) -> None:
    """Killed with the batch in hand; whoever scores it afterwards hands its rows on, and nobody did before."""
    (main,), (pool,) = mains_of(stack.home, "score"), pool_of(stack.home, "score")
    batch = f"batch-scorer-{victims.split()[0]}"
    searches = redis_client(settings_of(stack.home), server=FAST)
    with ThreadPoolExecutor(1) as threads:
        with stopped([pool]):
            answer = threads.submit(client.score, "lateral", body(ROWS), ROWS, WRITE, batch, timeout=50.0)
            assert eventually(lambda: bool(searches.hlen("qscore:i:unacked")))
            send(signal.SIGKILL, (pool,) if victims == "one process" else (main, pool))
            if victims == "all of them":
                _dead_for_long(searches, "qscore:i:unacked")
        assert answer.result(50.0).scored == ROWS
    assert stack.all_written(batch)
    assert stack.file.read_text().count(f'"{batch}"') == ROWS


def test_a_batch_whose_worker_is_killed_in_its_middle_is_scored_by_the_next(
    stack: Stack, client: GatewayClient
) -> None:
    """All of the worker: nobody is left to send the batch again but whoever keeps its message."""
    (main,), (pool,) = mains_of(stack.home, "score"), pool_of(stack.home, "score")
    searches, rows = redis_client(settings_of(stack.home), server=FAST), 20_000
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(client.score, "lateral", body(rows), rows, WRITE, "batch-halfway", timeout=50.0)
        assert eventually(lambda: bool(searches.exists("qscore:runs:batch-halfway")), pause=0.0)
        for pid, number in ((pool, signal.SIGSTOP), (main, signal.SIGKILL), (pool, signal.SIGKILL)):
            send(number, [pid])
        assert _dead_for_long(searches, "qscore:i:unacked") == 1
        assert answer.result(50.0).scored == rows
    assert eventually(lambda: len(stack.ids("batch-halfway")) == rows, RECOVERY)


def test_a_lane_that_keeps_dying_is_shown_and_stops_nobody(stack: Stack, client: GatewayClient) -> None:
    others = set(processes(stack.home)) - set(delivery(stack))
    killed: set[int] = set()

    def failing() -> bool:
        victims = set(delivery(stack)) - killed
        killed.update(victims)
        send(signal.SIGKILL, victims)
        state = read_state(settings_of(stack.home))
        return state is not None and bool(state.failing)

    assert eventually(failing, 40)
    assert client.score("lateral", body(3), 3).scored == 3
    said = qscore(stack.home, "status")
    assert said.returncode == 1
    assert "delivery ended 5 times within" in " ".join(said.stdout.split())
    assert others <= set(processes(stack.home))
    assert "qscore up: delivery ended 5 times" in (stack.home / "logs" / "delivery.log").read_text()
    assert redis_client(settings_of(stack.home), server=FAST).ping()
