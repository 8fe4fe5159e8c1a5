"""One key's flood, and what another caller of a running gateway notices of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.traffic.turns import PER_PROCESS
from scorer.service.stack.up import StackState, queue_of
from scorer.wire.client import GatewayClient
from scorer.wire.errors import BodyTooLarge, OverLimit, QScoreError, ScoringTimeout
from tests.integration.stack_tools import body, eventually, pool_of, settings_of, stopped

BATCHES, REQUESTS = 6, 40


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Running:
    """A stack with one scoring process, and callers with keys of their own in threads of their own."""

    home: Path
    state: StackState
    keys: dict[str, str]
    answered: list[str] = field(default_factory=list)
    errors: list[QScoreError] = field(default_factory=list)
    callers: list[threading.Thread] = field(default_factory=list)

    def client(self, name: str) -> GatewayClient:
        return GatewayClient(self.state.url, self.keys[name], self.state.ca_file, timeout=40.0)

    def call(self, name: str, rows: int, seconds: float = 40.0) -> None:
        """Post one batch from another thread."""

        def post() -> None:
            with self.client(name) as client:
                try:
                    client.score("lateral", body(rows), rows, timeout=seconds)
                    self.answered.append(name)
                except QScoreError as error:
                    self.errors.append(error)

        self.callers.append(threading.Thread(target=post))
        self.callers[-1].start()

    def join(self) -> None:
        while self.callers:
            self.callers.pop().join()

    @contextlib.contextmanager
    def scoring_stopped(self) -> Iterator[None]:
        """Nothing is scored within the block: the pool process stands still, with one batch at most."""
        with stopped([self.scorer]):
            yield

    @property
    def scorer(self) -> int:
        """The one process that scores searches."""
        (pool,) = pool_of(self.home, "score")
        return pool

    def on_queue(self) -> int:
        return queue_of(settings_of(self.home)).state().waiting["interactive"]

    def ask(self, name: str, method: str, path: str, content: bytes = b"", **headers: str) -> Answer:
        """One request by hand."""
        context = ssl.create_default_context(cafile=self.state.ca_file)
        connection = http.client.HTTPSConnection(self.state.url.removeprefix("https://"), timeout=30, context=context)
        sent = {"Authorization": f"Bearer {self.keys[name]}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        with contextlib.closing(connection):
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def begun(self, name: str, rows: int) -> http.client.HTTPSConnection:
        """Post a batch and do not wait for the answer."""
        context = ssl.create_default_context(cafile=self.state.ca_file)
        connection = http.client.HTTPSConnection(self.state.url.removeprefix("https://"), timeout=30, context=context)
        headers = {"Authorization": f"Bearer {self.keys[name]}", "Content-Type": "text/csv", "X-QScore-Rows": str(rows)}
        connection.request("POST", "/v1/models/lateral/score", body(rows), headers)
        return connection

    def said(self, word: str) -> list[dict[str, object]]:
        """Lines of the gateway's log with a word in them."""
        lines = (self.home / "logs" / "gateway.log").read_text().splitlines()
        return [json.loads(line) for line in lines if word in line]

    def gauge(self, name: str) -> float:
        """Read a metric of the gateway."""
        text = self.ask("a", "GET", "/metrics").body.decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def refusal(self, name: str, rows: int) -> tuple[int, dict[str, str], dict[str, object]]:
        """Post a batch by hand: status, headers, and the problem that came back."""
        headers = {"Content_Type": "text/csv", "X_QScore_Rows": str(rows)}
        answer = self.ask(name, "POST", "/v1/models/lateral/score", body(rows), **headers)
        return answer.status, answer.headers, json.loads(answer.body)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("fairness") / "home"
    publish_tiny(home)
    made = {name: KeyFile(settings_of(home).api_keys).add(["read", "score"], name) for name in ("flood", "a", "tight")}
    own = {made["tight"][0].id: {"rows_under_way": 1000, "requests_per_minute": REQUESTS}}
    limits = {"BATCHES_UNDER_WAY": str(BATCHES), "KEYS": json.dumps(own)}
    environment = {f"QSCORE_GATEWAY__LIMITS__{name}": value for name, value in limits.items()}
    with running_stack(home, "--port", "0", "--workers", "1", environment=environment) as state:
        yield Running(home, state, {name: secret for name, (_, secret) in made.items()})


def test_another_keys_batch_is_scored_before_most_of_a_flood(stack: Running) -> None:
    with stack.client("a") as client:
        client.score("lateral", body(3), 3)
    with stack.scoring_stopped():
        for _ in range(BATCHES):
            stack.call("flood", 2_000)
        assert eventually(lambda: stack.gauge("qscore_batches_under_way") == BATCHES)
        stack.call("a", 3)
        assert eventually(lambda: stack.gauge("qscore_turns_waiting") == BATCHES + 1 - PER_PROCESS)
        assert stack.on_queue() <= PER_PROCESS
    stack.join()
    assert stack.errors == []
    assert stack.answered.index("a") <= 3, stack.answered
    assert stack.answered.count("flood") == BATCHES
    stack.answered.clear()


def test_beyond_a_limit_the_one_who_has_it_hears_when_to_come_again(stack: Running) -> None:
    with stack.scoring_stopped():
        for _ in range(BATCHES):
            stack.call("flood", 5)
        assert eventually(lambda: stack.gauge("qscore_batches_under_way") == BATCHES)
        status, headers, problem = stack.refusal("flood", 5)
        assert (status, headers["Content-Type"], problem["code"]) == (429, "application/problem+json", "over_limit")
        assert int(headers["Retry-After"]) >= 1
        assert f"has {BATCHES} batches under way" in str(problem["detail"])
        assert f"gateway.limits.batches_under_way = {BATCHES}" in str(problem["detail"])
        assert "Wait for answers" in str(problem["remedy"])
        with stack.client("a") as client:
            assert client.card("lateral").name == "lateral"
    stack.join()
    assert (stack.errors, stack.answered) == ([], ["flood"] * BATCHES)
    stack.answered.clear()


def test_a_key_has_limits_of_its_own(stack: Running) -> None:
    with stack.client("tight") as client:
        with pytest.raises(BodyTooLarge, match=r"1001 rows, and key \w+ may have 1000 under way"):
            client.score("lateral", body(1001), 1001)
        assert client.score("lateral", body(1000), 1000).scored == 1000
        for _ in range(REQUESTS - 2):
            client.card("lateral")
        with pytest.raises(OverLimit, match=f"more than {REQUESTS} requests a minute") as caught:
            [client.card("lateral") for _ in range(REQUESTS)]
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60 / REQUESTS
    with stack.client("a") as client:
        assert client.card("lateral").name == "lateral"


def test_callers_that_hardly_wait_leave_nothing_on_the_queue(stack: Running) -> None:
    with stack.scoring_stopped():
        for _ in range(6):
            for _ in range(BATCHES // 2):
                stack.call("flood", 5, seconds=0.4)
            stack.join()
        assert [type(error) for error in stack.errors] == [ScoringTimeout] * 6 * (BATCHES // 2)
        assert eventually(lambda: stack.on_queue() == 0)
    stack.errors.clear()
    with stack.client("a") as client:
        assert client.score("lateral", body(3), 3).scored == 3


def _tells_tls(connection: socket.socket) -> None:
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap().close()


def _resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [socket.socket.close, _tells_tls, _resets], ids=["closes", "tells TLS", "resets"])
def test_who_leaves_while_its_batch_waits_has_nothing_left_in_the_gateway(
    stack: Running, leave: Callable[[socket.socket], None]
) -> None:
    before = len(stack.said("caller_left"))
    with stack.scoring_stopped(), contextlib.ExitStack() as open_ones:
        for _ in range(PER_PROCESS):
            open_ones.enter_context(contextlib.closing(stack.begun("flood", 5)))
        assert eventually(lambda: stack.gauge("qscore_batches_under_way") == PER_PROCESS)
        staying = open_ones.enter_context(contextlib.closing(stack.begun("flood", 5)))
        staying.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")  # its next request: it has not gone
        waiting = [stack.begun("flood", 5) for _ in range(BATCHES - PER_PROCESS - 1)]
        assert eventually(lambda: stack.gauge("qscore_turns_waiting") == len(waiting) + 1)
        assert stack.refusal("flood", 5)[0] == 429
        for each in waiting:
            leave(each.sock)
        assert eventually(lambda: stack.gauge("qscore_batches_under_way") == PER_PROCESS + 1)
        assert stack.gauge("qscore_turns_waiting") == 1
        another = open_ones.enter_context(contextlib.closing(stack.begun("flood", 5)))
        assert eventually(lambda: stack.gauge("qscore_turns_waiting") == 2)
        lines = [line for line in stack.said("caller_left")[before:] if line["event"] == "request"]
        assert [(line["status"], line["endpoint"]) for line in lines] == [(499, "score")] * len(waiting)
        os.kill(stack.scorer, signal.SIGCONT)
        assert [answer.getresponse().status for answer in (staying, another)] == [200, 200]
    for each in waiting:
        each.close()
    assert eventually(lambda: stack.gauge("qscore_batches_under_way") == 0)
