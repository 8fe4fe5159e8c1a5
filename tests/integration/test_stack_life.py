"""The stack as a whole: starting, stopping by every way, leftovers, lost processes, and what callers see of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.running_stack import running_stack
from scorer.service.queue.broker import FAST, redis_client, socket_path
from scorer.service.stack.up import StackState, queue_of, read_state
from scorer.wire.client import GatewayClient, ScoreReply
from scorer.wire.errors import QueueFull, ScoringTimeout, Unavailable, Unreachable
from tests.integration.stack_tools import (
    UP,
    body,
    client_of,
    end,
    eventually,
    heard_until_ready,
    mains_of,
    pool_of,
    processes,
    qscore,
    send,
    settings_of,
    started,
    state_of,
    stopped,
    swept,
    variables,
)

#: Short clocks, so that redelivery comes within seconds.
QUICK = {"QSCORE_WORKER__TASK_SECONDS": "3", "QSCORE_WORKER__VISIBILITY_SECONDS": "7"}


class Running(NamedTuple):
    """A stack that stays, and a caller of it."""

    home: Path
    state: StackState
    client: GatewayClient

    def scores(self) -> bool:
        """Whether it is whole: its one scoring worker, with its one pool process, scores."""
        try:
            scored = self.client.score("lateral", body(1), 1, timeout=5.0).scored
        except Unavailable:
            return False
        return scored == 1 and len(mains_of(self.home, "score")) == len(pool_of(self.home, "score")) == 1

    def scoring_worker(self) -> tuple[int, int]:
        """Its main process, and the one that scores."""
        (main,), (pool,) = mains_of(self.home, "score"), pool_of(self.home, "score")
        return main, pool


@pytest.fixture
def home(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> Iterator[Path]:
    """A home with a model, for a stack that its test starts and ends."""
    publish_tiny(tmp_path / "home")
    with swept(tmp_path / "home") as folder:
        yield folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("life") / "home"
    publish_tiny(home)
    with (
        swept(home),
        running_stack(home, "--port", "0", "--workers", "1", environment=QUICK) as state,
        client_of(home, state) as client,
    ):
        yield Running(home, state, client)


@pytest.fixture
def stack(shared: Running) -> Running:
    """One stack for the tests after which it must be whole again."""
    assert eventually(shared.scores, 60)
    return shared


def scored_later(client: GatewayClient, outcomes: list[ScoreReply | Exception], timeout: float) -> threading.Thread:
    """Posts a batch from another thread."""

    def post() -> None:
        try:
            outcomes.append(client.score("lateral", body(3), 3, batch_id="batch-in-flight", timeout=timeout))
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=post)
    thread.start()
    return thread


def in_flight(home: Path) -> bool:
    """Whether a worker holds a message that it has not acknowledged."""
    return bool(redis_client(settings_of(home), server=FAST).hlen("qscore:i:unacked"))


def assert_a_signal_ends_it(home: Path, process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Everything stops, and nothing is left of it."""
    assert len(processes(home)) >= 6
    assert processes(home, "valkey-server")
    said = end(process, number)
    assert said.endswith("stopped; nothing is left running\n")
    assert process.returncode == 0
    assert processes(home) == []
    assert not socket_path(settings_of(home)).exists()
    assert not (home / "run" / "stack.json").exists()


def test_a_killed_parent_takes_everything_with_it_and_the_next_start_recovers_and_ends_by_ctrl_c(home: Path) -> None:
    process = started(home)
    end(process, signal.SIGKILL)
    assert eventually(lambda: processes(home) == [], 10), processes(home)
    assert (home / "run" / "stack.json").exists()
    assert read_state(settings_of(home)) is None
    assert qscore(home, "status").returncode == 1
    socket_path(settings_of(home)).touch()  # even a file where the socket was
    process = started(home)
    with client_of(home, state_of(home)) as client:
        assert client.score("lateral", body(2), 2).scored == 2
    assert_a_signal_ends_it(home, process, signal.SIGINT)


def test_an_empty_registry_is_said_nothing_is_trained_and_a_service_manager_ends_it(tmp_path: Path) -> None:
    with swept(tmp_path / "home") as home:
        process = subprocess.Popen(UP, env=variables(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = heard_until_ready(process)
        assert any("`qscore train --model lateral`" in line for line in said)
        assert_a_signal_ends_it(home, process, signal.SIGTERM)
        assert list((home / "registry").iterdir()) == []


def test_a_port_in_use_is_named(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = qscore(home, "up", "--port", str(port))
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in refused.stderr
    assert processes(home) == []


def test_a_home_with_a_long_path_gets_a_short_socket(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> None:
    home = tmp_path / ("long-" * 20) / "home"
    publish_tiny(home)
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        path = socket_path(settings_of(home))
        assert len(os.fsencode(path)) < 108
        assert not path.is_relative_to(home)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert client.score("lateral", body(1), 1).scored == 1
    assert not path.exists()


def test_a_full_queue_is_a_refusal(home: Path) -> None:
    limits = {"QSCORE_GATEWAY__MAX_WAITING": "1"}
    with (
        running_stack(home, "--port", "0", "--workers", "1", environment=limits) as state,
        client_of(home, state) as client,
    ):
        outcomes: list[ScoreReply | Exception] = []
        others = [client_of(home, state) for _ in range(4)]
        with stopped(mains_of(home, "score")):
            waiting = [scored_later(other, outcomes, 20.0) for other in others]
            assert eventually(lambda: any(isinstance(outcome, QueueFull) for outcome in outcomes))
            with pytest.raises(QueueFull, match="1 batches wait") as caught:
                client.score("lateral", body(1), 1, timeout=2.0)
            assert caught.value.retry_after is not None
        for thread, other in zip(waiting, others, strict=True):
            thread.join()
            other.close()
        assert any(isinstance(outcome, ScoreReply) for outcome in outcomes)
        assert all(isinstance(outcome, ScoreReply | QueueFull) for outcome in outcomes)
        assert client.score("lateral", body(1), 1).scored == 1


def test_a_second_start_says_that_one_runs(stack: Running) -> None:
    second = qscore(stack.home, "up", "--port", "0")
    assert second.returncode == 1
    already = f"qscore: qscore is already running in {stack.home} (process {stack.state.pid}, https://"
    assert second.stderr.startswith(already)
    assert second.stderr.count("\n") == 1
    stack.client.ready()


def test_an_external_queue_is_one_setting_away(stack: Running, tmp_path: Path) -> None:
    """Two stacks: one brings the queue, the other has broker_url and starts none."""
    second = tmp_path / "second"
    shared = {
        "QSCORE_BROKER_URL": f"redis+socket://{socket_path(settings_of(stack.home))}",
        "QSCORE_REGISTRY_DIR": str(stack.home / "registry"),
        "QSCORE_TRUSTED_KEYS_DIR": str(stack.home / "trusted_keys"),
    }
    with (
        running_stack(second, "--port", "0", "--workers", "1", environment=shared) as state,
        client_of(second, state) as client,
    ):
        assert processes(second, "valkey-server") == []
        assert client.score("lateral", body(1), 1).scored == 1
    refused = qscore(tmp_path / "third", "up", "--port", "0", QSCORE_BROKER_URL="memory://")
    assert refused.returncode == 1
    assert "is none of redis://, rediss://, redis+socket://" in refused.stderr


def test_no_worker_is_said_at_once(stack: Running) -> None:
    """A gateway without a worker: its heartbeat key is what the gateway looks at."""
    with stopped(stack.scoring_worker()):
        redis_client(settings_of(stack.home), server=FAST).delete("qscore:workers:score")
        with pytest.raises(Unavailable, match="no scoring worker is alive"):
            stack.client.score("lateral", body(1), 1)
        assert "no scoring worker is alive" in qscore(stack.home, "status").stdout.replace("\n", "")


def test_a_stopped_worker_means_a_timeout_and_nothing_stays_behind(stack: Running) -> None:
    main, _pool = stack.scoring_worker()
    with stopped([main]):
        with pytest.raises(ScoringTimeout, match=r"no worker answered for batch .* within 1\.8 s"):
            stack.client.score("lateral", body(1), 1, timeout=2.0)
        for _ in range(3):
            with pytest.raises(ScoringTimeout):
                stack.client.score("lateral", body(1), 1, timeout=0.5)
        # The stopped worker's connection may have asked for a message already, and then holds the first one.
        assert eventually(lambda: queue_of(settings_of(stack.home)).state().waiting["interactive"] <= 1)
    assert stack.client.score("lateral", body(1), 1).scored == 1


def scored_although_killed(stack: Running, pool: int, killed: int, seconds: float) -> int:
    """Rows scored of a batch that the stopped process ``pool`` held when ``killed`` was."""
    outcomes: list[ScoreReply | Exception] = []
    with stopped([pool]):
        thread = scored_later(stack.client, outcomes, seconds)
        assert eventually(lambda: in_flight(stack.home))
        send(signal.SIGKILL, [killed])
        thread.join()
    (outcome,) = outcomes
    assert isinstance(outcome, ScoreReply), outcome
    return outcome.scored


def test_a_lost_pool_process_costs_no_batch(stack: Running) -> None:
    _main, pool = stack.scoring_worker()
    assert scored_although_killed(stack, pool, pool, 30.0) == 3


def test_a_lost_worker_is_started_again_and_its_batch_delivered_again(stack: Running) -> None:
    main, pool = stack.scoring_worker()
    assert scored_although_killed(stack, pool, main, 50.0) == 3
    assert pool not in processes(stack.home)


def test_a_killed_gateway_is_started_again(stack: Running) -> None:
    outcomes: list[ScoreReply | Exception] = []
    _main, pool = stack.scoring_worker()
    with client_of(stack.home, stack.state) as new:
        with stopped([pool]):
            thread = scored_later(new, outcomes, 30.0)
            assert eventually(lambda: in_flight(stack.home))
            send(signal.SIGKILL, processes(stack.home, "scorer.service.gateway"))
        thread.join()
    (outcome,) = outcomes
    # The batch's connection broke; a client sends a batch again only where the connection was a kept one.
    assert isinstance(outcome, Unreachable), outcome
    assert stack.client.score("lateral", body(2), 2).scored == 2


def test_a_killed_queue_is_a_clear_refusal_and_comes_back(stack: Running) -> None:
    send(signal.SIGKILL, processes(stack.home, "valkey-server"))
    with contextlib.suppress(Unavailable):
        stack.client.score("lateral", body(1), 1, timeout=3.0)
    assert eventually(stack.scores, 40)
