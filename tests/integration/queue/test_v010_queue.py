"""Messages that 0.1.0 left on the queue, its models and its API keys, before a running stack of today."""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest
import redis

from scorer.wire.release import RELEASE
from tests.v010 import API_KEY, QSCORE, Cluster, cluster, content, differences, make_home, secret_file, without

SCORES = content("scores.json")


@dataclass
class Stack:
    """`qscore up` in a home of 0.1.0 whose sinks are a file and a scripted Elasticsearch."""

    home: Path
    url: str
    ca: str
    file: Path
    cluster: Cluster
    queue: redis.Redis

    def put(self, name: str, epoch: int = 0) -> dict[str, Any]:
        """Lay a message, and what belongs to it, where 0.1.0 left it; ``epoch``: of its stream's present leader."""
        scenario: dict[str, Any] = content(f"queue/{name}.json")
        for key, value in scenario["strings"].items():
            self.queue.set(key, base64.b64decode(value))
        if "epoch" in scenario:
            self.queue.set(scenario["epoch"]["key"], epoch or scenario["epoch"]["value"])
        self.queue.lpush(scenario["list"], scenario["message"].encode("ascii"))
        return scenario

    def reply(self, key: str) -> dict[str, Any]:
        found: Any = self.queue.blpop([key], timeout=30)
        assert found, f"no worker answered at {key}"
        unpacked: dict[str, Any] = msgpack.unpackb(found[1])
        return unpacked

    def events(self, batch_id: str) -> list[dict[str, Any]]:
        """Events of a batch in the file."""
        if not self.file.exists():
            return []
        events = [json.loads(line) for line in self.file.read_text().splitlines()]
        return [event for event in events if event["fields"]["qscore_batch"] == batch_id]

    def ask(self, path: str, body: bytes | None = None, key: str = API_KEY, **headers: str) -> tuple[int, str]:
        """Status and body of a request to the gateway, a POST where it has a body."""
        given = {"Authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, given)  # noqa: S310  # our own gateway
        try:
            context = ssl.create_default_context(cafile=self.ca)
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("v010")
    home, file = make_home(folder / "home"), folder / "events.ndjson"
    with cluster() as elasticsearch:
        variables = {
            "QSCORE_HOME": str(home),
            "QSCORE_SINK": "file",
            "QSCORE_SINK_FILE": str(file),
            "QSCORE_ELASTIC__URL": elasticsearch.url,
            "QSCORE_ELASTIC__API_KEY_FILE": str(secret_file(folder / "key", "a2V5OnNlY3JldA==")),
        }
        command = [*QSCORE, "up", "--port", "0", "--workers", "1"]
        with subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True) as process:
            try:
                url, ca = _ready(process)
                with redis.Redis(unix_socket_path=str(home / "run" / "valkey.sock"), socket_timeout=40) as queue:
                    yield Stack(home, url, ca, file, elasticsearch, queue)
            finally:
                process.terminate()
                process.communicate(timeout=60)


def _ready(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The gateway's address and its authority's file, from the line that says that the stack is ready."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if found := re.match(r"ready: (\S+) \(CA: (.+)\)", line):
            return found[1], found[2]
    raise AssertionError("qscore up ended before it was ready: " + "".join(said))


def eventually(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether ``condition()`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def table(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


@pytest.mark.parametrize("name", ["score_inline", "score_claimed"])
def test_a_search_that_waits_on_the_queue_is_scored_and_answered(stack: Stack, name: str) -> None:
    scenario, batch_id = stack.put(name), name.replace("_", "-")
    reply = stack.reply(f"qscore:reply:{batch_id}")
    assert reply["ok"] is True, reply
    assert reply["headers"] == scenario["reply"]["headers"] | {"X-QScore-Worker-Release": RELEASE}
    assert differences(table(reply["body"].decode()), table(scenario["reply"]["body"])) == []
    if "ids" in scenario:  # it asked for its rows to be written
        assert eventually(lambda: len(stack.events(batch_id)) == len(scenario["ids"]))
        events = stack.events(batch_id)
        assert [event["fields"]["qscore_id"] for event in events] == scenario["ids"]
        assert differences(events[: len(scenario["events"])], scenario["events"]) == []


@pytest.mark.parametrize("name", ["deliver_hec", "deliver_hec_again"])
def test_rows_that_wait_for_the_sink_are_written(stack: Stack, name: str) -> None:
    scenario, batch_id = stack.put(name), name.replace("_", "-")
    assert eventually(lambda: len(stack.events(batch_id)) == len(scenario["ids"]))
    assert stack.events(batch_id) == scenario["events"]
    assert eventually(lambda: not stack.queue.exists(*scenario["strings"])), "rows that are written are forgotten"


def batch_of(scenario: dict[str, Any]) -> str:
    return str(scenario["documents"][0]["_source"]["qscore"]["job"]["id"])


def test_rows_that_wait_for_elasticsearch_are_written(stack: Stack) -> None:
    scenario = stack.put("deliver_elastic")
    assert eventually(lambda: len(stack.cluster.of_batch(batch_of(scenario))) == len(scenario["ids"]))
    documents = stack.cluster.of_batch(batch_of(scenario))
    assert without(documents, "event.ingested") == without(scenario["documents"], "event.ingested")
    assert eventually(lambda: not stack.queue.exists(*scenario["strings"])), "rows that are written are forgotten"


@pytest.mark.parametrize("name", ["score_stream", "score_stream_claimed"])
def test_a_batch_of_the_connector_is_scored_and_written(stack: Stack, name: str) -> None:
    scenario = stack.put(name)
    assert eventually(lambda: len(stack.cluster.of_batch(batch_of(scenario))) == len(scenario["ids"]))
    documents = stack.cluster.of_batch(batch_of(scenario))
    assert [document["_id"] for document in documents] == scenario["ids"]
    whole = len(scenario["documents"])
    times = ("event.ingested", "event.created", "qscore.job.latency_ms")
    assert differences(without(documents[:whole], *times), without(scenario["documents"], *times)) == []


def test_what_an_earlier_leader_left_is_dropped(stack: Stack) -> None:
    """Its successor reads and sends those documents anew; the leader's number under its key is 0.1.0's too."""
    before = len(stack.cluster.documents)
    delivery = stack.put("deliver_elastic", epoch=8)
    stack.put("score_stream_claimed", epoch=8)
    assert eventually(lambda: not stack.queue.exists(*delivery["strings"]))
    stack.put("score_inline")  # behind it on the queue of the one worker
    assert stack.reply("qscore:reply:score-inline")["ok"] is True
    assert eventually(lambda: not stack.queue.keys("qscore:body:*"))
    assert stack.queue.keys("qscore:rows:*") == []
    assert len(stack.cluster.documents) == before


@pytest.mark.parametrize("path", SCORES["replies"])
def test_a_model_answers_as_before(stack: Stack, path: str) -> None:
    name, version = path.split("/")
    body = SCORES["body"].encode()
    headers = {"Content_Type": "text/csv", "X_QScore_Rows": str(body.count(b"\n") - 1)}
    status, text = stack.ask(f"/v1/models/{name}/score?version={version}&explain=all", body, **headers)
    assert status == 200, text
    assert differences(table(text), table("\n".join(SCORES["replies"][path]))) == []


def test_api_keys_are_known_with_their_scopes(stack: Stack) -> None:
    status, text = stack.ask("/v1/models")
    assert status == 200, text
    assert {card["name"] for card in json.loads(text)["models"]} == {
        path.split("/")[0] for path in SCORES["replies"]
    } | {"lateral_flow"}
    headers = {"Content_Type": "text/csv", "X_QScore_Rows": "1"}
    assert stack.ask("/v1/models/lateral/score?write=true", b"events\n1\n", **headers)[0] == 200
    assert stack.ask("/v1/models", key=API_KEY[:-1] + "x")[0] == 401
