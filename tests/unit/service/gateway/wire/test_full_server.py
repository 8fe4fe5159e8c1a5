"""A queue's server that is full or refuses: callers are told at once, and heard again the moment it is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis

from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.exchange import Exchange
from tests.unit.service.gateway.wire.conftest import Answer, Served

BATCH = {"Content-Type": b"text/csv", "X-QScore-Rows": b"1", "X-QScore-Timeout": b"0.3"}
LARGE = b"events,note\n1," + b"x" * 200_000 + b"\n"


def detail(answer: Answer) -> tuple[int, str, bool]:
    problem = json.loads(answer.body)
    return answer.status, problem["detail"], problem["retryable"]


Work = Callable[[redis.Redis], object]


@pytest.mark.parametrize(
    ("breaks", "mends", "said"),
    [
        (lambda c: c.config_set("maxmemory", 1), lambda c: c.config_set("maxmemory", 0), "the queue's server is full"),
        (
            lambda c: c.config_set("min-replicas-to-write", 1),
            lambda c: c.config_set("min-replicas-to-write", 0),
            "did not do its work",
        ),
    ],
    ids=["full", "refuses writes"],
)
def test_callers_are_told_and_heard_again_at_once(served: Served, breaks: Work, mends: Work, said: str) -> None:
    client = redis_client(served.settings, server=FAST)
    exchange = Exchange(client)
    exchange.beat("score", "a worker that takes nothing")
    try:
        assert detail(served.ask("POST", b"/v1/models/lateral/score", BATCH, LARGE))[0] == 504
        breaks(client)
        try:
            for body in (b"events\n1\n", LARGE):
                status, why, again = detail(served.ask("POST", b"/v1/models/lateral/score", BATCH, body))
                assert (status, again) == (503, True), why
                assert said in why
            assert served.ask("GET", b"/healthz").status == 200
        finally:
            mends(client)
        assert detail(served.ask("POST", b"/v1/models/lateral/score", BATCH, LARGE))[0] == 504
        assert client.keys("qscore:body:*") == []
    finally:
        exchange.sign_off("score", "a worker that takes nothing")
