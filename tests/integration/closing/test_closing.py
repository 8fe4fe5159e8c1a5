"""What operators close: a model that is disabled, a stack that is drained, a stack that is told to stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.closing.draining import DrainMark, under_way
from scorer.service.queue.closing.switches import SwitchBoard, Switches
from scorer.service.stack.up import StackState, exchange_of, queue_of
from scorer.wire.client import ScoreReply
from scorer.wire.errors import Draining, QScoreError
from scorer.wire.options import ScoreOptions
from scorer.wire.release import RELEASE
from tests.integration.stack_tools import (
    body,
    client_of,
    end,
    eventually,
    pool_of,
    qscore,
    settings_of,
    started,
    state_of,
    stopped,
    swept,
)


class Running(NamedTuple):
    home: Path
    state: StackState
    events: Path
    process: subprocess.Popen[str]

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else []


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("closing")
    home, events = folder / "home", folder / "events.ndjson"
    publish_tiny(home)
    with swept(home), started(home, QSCORE_SINK="file", QSCORE_SINK_FILE=str(events)) as process:
        yield Running(home, state_of(home), events, process)
        if process.poll() is None:
            end(process)


@pytest.fixture
def stack(shared: Running) -> Iterator[Running]:
    """One stack for tests that close something; open again before each. The last one stops it."""
    with client_of(shared.home, shared.state) as client:
        assert eventually(lambda: client.score("lateral", body(1), 1).scored == 1, 10.0)
    yield shared
    settings = settings_of(shared.home)
    DrainMark(settings.drain_mark).clear()
    if shared.process.poll() is None:
        board = SwitchBoard(settings.switches, queue_of(settings).durable.client)
        board.change(lambda now: Switches(now.serial + 1))


def statuses(reply: ScoreReply) -> set[str]:
    return {line.rpartition(",")[2] for line in reply.body.decode().splitlines()[1:]}


def test_a_disabled_model_lets_rows_through_unscored_within_five_seconds(stack: Running) -> None:
    write = ScoreOptions(write=True)
    before = len(stack.written())
    with client_of(stack.home, stack.state) as client:
        assert eventually(lambda: client.score("lateral", body(3), 3).scored == 3, 5.0)
        assert client.score("lateral", body(3), 3, write, "batch-before").scored == 3
        assert eventually(lambda: len(stack.written()) == before + 3)
        done = qscore(stack.home, "disable", "lateral")
        assert (done.returncode, done.stdout[:18]) == (0, "disabled: lateral;"), done.stderr
        assert eventually(lambda: client.score("lateral", body(3), 3).scored == 0, 5.0)
        reply = client.score("lateral", body(3), 3, write, "batch-closed", submitter=f"{client.key_id}:closed")
        assert reply.problems == {"disabled": 3}
        (status,) = statuses(reply)
        assert status.startswith("disabled: model lateral")
        assert "`qscore enable lateral`" in status
        outcome = exchange_of(settings_of(stack.home), 10.0).wait_outcome(f"{client.key_id}:closed", 10.0)
        assert outcome is not None
        assert outcome.ack == Acknowledgement("batch-closed", 0)
        assert client.card("lateral").version == "1-starter", "searches still learn which fields a model wants"
        told = qscore(stack.home, "status")
        assert "disabled: lateral" in told.stdout
        assert qscore(stack.home, "enable", "lateral").returncode == 0
        assert eventually(lambda: client.score("lateral", body(3), 3).scored == 3, 5.0)
    assert len(stack.written()) == before + 3


def test_a_caller_of_0_1_0_hears_of_it_by_a_code_that_it_knows(stack: Running) -> None:
    """It takes a reply with a code that it does not know for damaged, and its search would say so."""
    assert qscore(stack.home, "disable", "all").returncode == 0
    context = ssl.create_default_context(cafile=stack.state.ca_file)
    key = settings_of(stack.home).local_key.read_text().strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "text/csv", "X-QScore-Rows": "1"}

    def problems() -> Any:
        with contextlib.closing(
            http.client.HTTPSConnection(stack.state.url.removeprefix("https://"), timeout=20, context=context)
        ) as connection:
            connection.request("POST", "/v1/models/lateral/score", body(1), headers)
            response = connection.getresponse()
            assert response.headers["X-QScore-Release"] == RELEASE
            return json.loads(response.headers["X-QScore-Problems"])

    assert eventually(lambda: problems() == {"not_scored": 1}, 5.0)


def test_a_name_that_stops_nothing_is_refused(stack: Running) -> None:
    done = qscore(stack.home, "disable", "laterall")
    assert done.returncode == 2
    assert "there is no model 'laterall'. Give one of lateral, all." in done.stderr


def test_a_drained_stack_takes_nothing_and_finishes_what_it_has(stack: Running) -> None:
    replies: list[ScoreReply] = []
    with client_of(stack.home, stack.state) as client, client_of(stack.home, stack.state) as late:
        with stopped(pool_of(stack.home, "score")):
            first = threading.Thread(target=lambda: replies.append(client.score("lateral", body(5), 5)))
            first.start()
            assert eventually(lambda: batches(stack.home) == 1)
            unfinished = qscore(stack.home, "drain", "--wait", "0")
            assert unfinished.returncode == 1
            assert "there is still under way: 1 " in unfinished.stderr
            with pytest.raises(Draining, match="drain --undo") as refused:
                late.score("lateral", body(1), 1)
            assert (refused.value.status, refused.value.retryable) == (503, True)
            with pytest.raises(Draining):
                late.ready()
        first.join(20)
        done = qscore(stack.home, "drain", "--wait", "20")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (
            0,
            "nothing is under way; `qscore up` can be stopped",
        ), done.stderr
        assert [reply.scored for reply in replies] == [5]
        assert qscore(stack.home, "status").returncode == 1
        assert qscore(stack.home, "drain", "--undo").returncode == 0
        assert late.score("lateral", body(2), 2).scored == 2


def test_told_to_stop_it_answers_what_it_took(stack: Running) -> None:
    """Four callers whose batches wait when the signal comes: each has its answer, and nobody is let in any more."""
    outcomes: list[ScoreReply | QScoreError] = []

    def ask(number: int) -> None:
        with client_of(stack.home, stack.state) as client:
            try:
                outcomes.append(client.score("lateral", body(7), 7, batch_id=f"stopping-{number}"))
            except QScoreError as error:
                outcomes.append(error)

    callers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    with stopped(pool_of(stack.home, "score")):
        for caller in callers:
            caller.start()
        assert eventually(lambda: batches(stack.home) == 2)  # two for each process; the others wait in the gateway
        assert eventually(lambda: "qscore_batches_under_way 4.0" in metrics(stack))
        stack.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)  # longer than a gateway needs to break what it does not wait for
    for caller in callers:
        caller.join(30)
    assert [getattr(outcome, "scored", outcome) for outcome in outcomes] == [7] * 4
    stack.process.communicate(timeout=40)
    assert stack.process.returncode == 0


def metrics(running: Running) -> str:
    """What the gateway counts."""
    context = ssl.create_default_context(cafile=running.state.ca_file)
    connection = http.client.HTTPSConnection(running.state.url.removeprefix("https://"), timeout=30, context=context)
    key = settings_of(running.home).local_key.read_text().strip()
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def batches(home: Path) -> int:
    """Batches that wait or are worked on."""
    return under_way(queue_of(settings_of(home))).total
