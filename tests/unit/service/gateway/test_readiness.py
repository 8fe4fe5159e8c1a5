"""/readyz on a real queue: no, with the reason, whenever a search would be refused; and little for strangers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.readiness import ANSWER_HOLDS
from scorer.service.queue.exchange import Exchange
from scorer.service.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, client: redis.Redis) -> Settings:
    """A queue with a worker for searches alone."""
    Exchange(client).beat("score", "worker:1")
    return load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock", gateway={"max_waiting": 2})


@pytest.fixture
def gateway(settings: Settings, application: Callable[..., Flask]) -> FlaskClient:
    return application(settings).test_client()


def asked(gateway: FlaskClient, authorization: str = "") -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": authorization} if authorization else {}
    answer = gateway.get("/readyz", headers=headers)
    return answer.status_code, answer.get_json(force=True)


def test_a_stranger_learns_whether_and_a_reader_how_much(settings: Settings, gateway: FlaskClient) -> None:
    keys = KeyFile(settings.api_keys)
    reader, scorer = (f"Bearer {keys.add([scope])[1]}" for scope in ("read", "score"))
    for authorization in ("", "Bearer nonsense", scorer):
        assert asked(gateway, authorization) == (200, {"status": "ready"})
    status, told = asked(gateway, reader)
    assert (status, told["workers"]["score"], told["workers"]["bulk"], told["waiting"]["bulk"]) == (200, 1, 0, 0)


@pytest.mark.parametrize(
    ("breaks", "mends", "said"),
    [
        (
            lambda client: client.config_set("maxmemory", 1),
            lambda client: client.config_set("maxmemory", 0),
            "the queue's server is full",
        ),
        (
            lambda client: client.config_set("min-replicas-to-write", 1),
            lambda client: client.config_set("min-replicas-to-write", 0),
            "did not do its work",
        ),
        (
            lambda client: client.delete("qscore:workers:score"),
            lambda client: Exchange(client).beat("score", "worker:1"),
            "no scoring worker is alive",
        ),
        (
            lambda client: client.lpush("qscore:i:interactive", "1", "2"),
            lambda client: client.delete("qscore:i:interactive"),
            "2 batches wait",
        ),
    ],
    ids=["full", "refuses", "no worker", "many wait"],
)
def test_it_says_no_while_a_search_would_be_refused(
    gateway: FlaskClient,
    client: redis.Redis,
    breaks: Callable[[redis.Redis], None],
    mends: Callable[[redis.Redis], None],
    said: str,
) -> None:
    assert asked(gateway)[0] == 200
    breaks(client)
    time.sleep(ANSWER_HOLDS)
    status, problem = asked(gateway)
    assert (status, problem["code"]) == (503, "unavailable")
    assert said in problem["detail"]
    mends(client)
    time.sleep(ANSWER_HOLDS)
    assert asked(gateway)[0] == 200


def test_many_questions_ask_the_queue_seldom(gateway: FlaskClient, client: redis.Redis) -> None:
    before, started = writes(client), time.monotonic()
    for _ in range(100):
        assert asked(gateway)[0] == 200
    assert 1 <= writes(client) - before <= 1 + (time.monotonic() - started) / ANSWER_HOLDS


def test_nobody_waits_for_anothers_question_to_a_server_that_hangs(
    tmp_path: Path, application: Callable[..., Flask]
) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(f"{tmp_path}/hung.sock")
        hung.listen()
        gateway = application(load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/hung.sock"))
        told: list[tuple[int, dict[str, Any]]] = []
        first, second = (threading.Thread(target=lambda: told.append(asked(gateway.test_client()))) for _ in range(2))
        first.start()
        accepted, _ = hung.accept()  # it was asked, and says nothing
        second.start()
        second.join(10.0)
        waiting = first.is_alive()
        accepted.close()
    first.join()
    second.join()
    assert waiting, "the first one hears of the server what there is to hear"
    assert (told[0][0], told[0][1]["detail"]) == (503, "the queue's server has not answered yet")


def writes(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_set", {"calls": 0})["calls"])
