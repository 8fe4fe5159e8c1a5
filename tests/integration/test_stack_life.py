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

import pytest

from demo.running_stack import running_stack
from scorer.service.queue.broker import FAST, redis_client, socket_path
from scorer.service.stack.up import StackState, queue_of, read_state
from scorer.wire.client import GatewayClient, ScoreReply
from scorer.wire.errors import QueueFull, ScoringTimeout, Unavailable, Unreachable
from tests.integration.stack_tools import (
    UP,
    body,
    children,
    client_of,
    end,
    eventually,
    processes,
    qscore,
    settings_of,
    variables,
)

#: Short clocks, so that redelivery comes within seconds.
QUICK = {"QSCORE_WORKER__TASK_SECONDS": "3", "QSCORE_WORKER__VISIBILITY_SECONDS": "7"}


@pytest.fixture
def home(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> Iterator[Path]:
    """A home with a model; whatever a failed test left running is ended."""
    folder = tmp_path / "home"
    publish_tiny(folder)
    yield folder
    for pid in processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def started(home: Path, **more: str) -> subprocess.Popen[str]:
    """A `qscore up` that has said that it is ready."""
    process = subprocess.Popen(
        UP, env=variables(home, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready:"):
            return process
    raise AssertionError(f"qscore up ended with {process.wait()}")


def state_of(home: Path) -> StackState:
    state = read_state(settings_of(home))
    assert state is not None
    return state


def pool_process(home: Path) -> tuple[int, int]:
    """The scoring worker's main process and its only pool process."""
    workers = processes(home, "scorer.service.worker score")
    mains = [pid for pid in workers if set(children(pid)) & set(workers)]
    assert len(mains) == 1, workers
    (pool,) = children(mains[0])
    return mains[0], pool


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_cleans_up(home: Path, number: signal.Signals) -> None:
    process = started(home)
    assert len(processes(home)) >= 6
    assert processes(home, "valkey-server")
    said = end(process, number)
    assert said.endswith("stopped; nothing is left running\n")
    assert process.returncode == 0
    assert processes(home) == []
    assert not socket_path(settings_of(home)).exists()
    assert not (home / "run" / "stack.json").exists()


def test_a_killed_parent_takes_everything_with_it_and_the_next_start_recovers(home: Path) -> None:
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
    end(process)


def test_a_second_start_says_that_one_runs(home: Path) -> None:
    process = started(home)
    second = qscore(home, "up", "--port", "0")
    assert second.returncode == 1
    assert second.stderr.startswith(f"qscore: qscore is already running in {home} (process {process.pid}, https://")
    assert second.stderr.count("\n") == 1
    with client_of(home, state_of(home)) as client:
        client.ready()
    end(process)


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


def scored_although_killed(home: Path, client: GatewayClient, pool: int, killed: int, seconds: float) -> int:
    """Rows scored of a batch that the stopped process ``pool`` held when ``killed`` was."""
    outcomes: list[ScoreReply | Exception] = []
    os.kill(pool, signal.SIGSTOP)
    thread = scored_later(client, outcomes, seconds)
    assert eventually(lambda: in_flight(home))
    os.kill(killed, signal.SIGKILL)
    thread.join()
    (outcome,) = outcomes
    assert isinstance(outcome, ScoreReply), outcome
    return outcome.scored


def test_a_lost_pool_process_costs_no_batch(home: Path) -> None:
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        _main, pool = pool_process(home)
        assert scored_although_killed(home, client, pool, pool, 30.0) == 3


def test_a_lost_worker_is_started_again_and_its_batch_delivered_again(home: Path) -> None:
    with (
        running_stack(home, "--port", "0", "--workers", "1", environment=QUICK) as state,
        client_of(home, state) as client,
    ):
        main, pool = pool_process(home)
        assert scored_although_killed(home, client, pool, main, 50.0) == 3
        assert pool not in processes(home)


def test_a_stopped_worker_means_a_timeout_and_nothing_stays_behind(home: Path) -> None:
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        main, _pool = pool_process(home)
        os.kill(main, signal.SIGSTOP)
        with pytest.raises(ScoringTimeout, match=r"no worker answered for batch .* within 1\.8 s"):
            client.score("lateral", body(1), 1, timeout=2.0)
        for _ in range(3):
            with pytest.raises(ScoringTimeout):
                client.score("lateral", body(1), 1, timeout=0.5)
        # The stopped worker's connection may have asked for a message already, and then holds the first one.
        assert eventually(lambda: queue_of(settings_of(home)).state().waiting["interactive"] <= 1)
        os.kill(main, signal.SIGCONT)
        assert client.score("lateral", body(1), 1).scored == 1


def test_a_full_queue_is_a_refusal(home: Path) -> None:
    limits = {"QSCORE_GATEWAY__MAX_WAITING": "1"}
    with (
        running_stack(home, "--port", "0", "--workers", "1", environment=limits) as state,
        client_of(home, state) as client,
    ):
        main, _pool = pool_process(home)
        os.kill(main, signal.SIGSTOP)
        outcomes: list[ScoreReply | Exception] = []
        others = [client_of(home, state) for _ in range(4)]
        waiting = [scored_later(other, outcomes, 20.0) for other in others]
        assert eventually(lambda: any(isinstance(outcome, QueueFull) for outcome in outcomes))
        with pytest.raises(QueueFull, match="1 batches wait") as caught:
            client.score("lateral", body(1), 1, timeout=2.0)
        assert caught.value.retry_after is not None
        os.kill(main, signal.SIGCONT)
        for thread, other in zip(waiting, others, strict=True):
            thread.join()
            other.close()
        assert any(isinstance(outcome, ScoreReply) for outcome in outcomes)
        assert all(isinstance(outcome, ScoreReply | QueueFull) for outcome in outcomes)
        assert client.score("lateral", body(1), 1).scored == 1


def test_a_killed_gateway_is_started_again(home: Path) -> None:
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        outcomes: list[ScoreReply | Exception] = []
        _main, pool = pool_process(home)
        os.kill(pool, signal.SIGSTOP)
        thread = scored_later(client, outcomes, 30.0)
        assert eventually(lambda: in_flight(home))
        for pid in processes(home, "scorer.service.gateway"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.kill(pool, signal.SIGCONT)
        thread.join()
        (outcome,) = outcomes
        # The batch's connection broke; the client sends a batch again only where the connection was a kept one.
        assert isinstance(outcome, Unreachable), outcome
        assert client.score("lateral", body(2), 2).scored == 2


def test_a_killed_queue_is_a_clear_refusal_and_comes_back(home: Path) -> None:
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        assert client.score("lateral", body(1), 1).scored == 1
        for valkey in processes(home, "valkey-server"):
            os.kill(valkey, signal.SIGKILL)
        with contextlib.suppress(Unavailable):
            client.score("lateral", body(1), 1, timeout=3.0)

        def whole() -> bool:
            try:
                return client.score("lateral", body(1), 1, timeout=5.0).scored == 1
            except Unavailable:
                return False

        assert eventually(whole, 40)


def test_no_worker_is_said_at_once(home: Path) -> None:
    """A gateway without a worker: its heartbeat key is what the gateway looks at."""
    with running_stack(home, "--port", "0", "--workers", "1") as state, client_of(home, state) as client:
        main, pool = pool_process(home)
        os.kill(main, signal.SIGSTOP)
        os.kill(pool, signal.SIGSTOP)
        redis_client(settings_of(home), server=FAST).delete("qscore:workers:score")
        with pytest.raises(Unavailable, match="no scoring worker is alive"):
            client.score("lateral", body(1), 1)
        assert "no scoring worker is alive" in qscore(home, "status").stdout.replace("\n", "")
        for pid in (main, pool):
            os.kill(pid, signal.SIGCONT)


def test_an_external_queue_is_one_setting_away(home: Path, tmp_path: Path) -> None:
    """Two stacks: one brings the queue, the other has broker_url and starts none."""
    with running_stack(home, "--port", "0", "--workers", "1"):
        url = f"redis+socket://{socket_path(settings_of(home))}"
        second = tmp_path / "second"
        shared = {"QSCORE_BROKER_URL": url, "QSCORE_REGISTRY_DIR": str(home / "registry")}
        shared["QSCORE_TRUSTED_KEYS_DIR"] = str(home / "trusted_keys")
        with (
            running_stack(second, "--port", "0", "--workers", "1", environment=shared) as state,
            client_of(second, state) as client,
        ):
            assert processes(second, "valkey-server") == []
            assert client.score("lateral", body(1), 1).scored == 1
    refused = qscore(tmp_path / "third", "up", "--port", "0", QSCORE_BROKER_URL="memory://")
    assert refused.returncode == 1
    assert "is none of redis://, rediss://, redis+socket://" in refused.stderr


def test_an_empty_registry_is_said_and_nothing_is_trained(tmp_path: Path) -> None:
    process = subprocess.Popen(
        UP, env=variables(tmp_path / "home"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("ready:"):
            break
    end(process)
    assert any("`qscore train --model lateral`" in line for line in said)
    assert list((tmp_path / "home" / "registry").iterdir()) == []
