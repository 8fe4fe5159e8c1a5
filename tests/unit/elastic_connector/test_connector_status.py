"""What a connector says of its sources, and when it says it: lag, standbys, takeovers, faults in the log, clocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch

from elastic_connector.lead.heartbeat import EVERY, SOON, Heartbeats
from elastic_connector.lead.lease import StreamState
from elastic_connector.lead.source import SourceRunner
from elastic_connector.lead.status import LEADING, STANDBY, STOPPED, SourceStatus, StatusBoard
from scorer.elastic_client.clock import ServerClock
from scorer.wire.errors import NonsenseReply, Unavailable
from tests.unit.elastic_client.servers import Canned, scripted_server
from tests.unit.elastic_connector.leading import MODEL, NOW, SOURCE, Leader

GOOD = {"owner": "h", "epoch": 2, "version": "1", "checkpoint": {"time": "2026-03-01T08:15:00.000Z"}}


@pytest.mark.parametrize(
    "raw",
    [
        [], None, "text", {}, {"_source": []}, {"_source": GOOD, "_seq_no": "1", "_primary_term": 1},
        {"_source": {**GOOD, "epoch": True}, "_seq_no": 1, "_primary_term": 1},
        {"_source": {**GOOD, "checkpoint": {"time": 5}}, "_seq_no": 1, "_primary_term": 1},
        {"_source": {**GOOD, "checkpoint": {"time": "2026-03-01T08:15:00"}}, "_seq_no": 1, "_primary_term": 1},
    ],
    ids=lambda raw: str(raw)[:40],
)  # fmt: skip
def test_a_state_document_that_is_none_is_named(raw: Any) -> None:
    with pytest.raises(NonsenseReply, match=r"cannot be read .*Delete it"):
        StreamState.from_response(raw)


@dataclass
class Watched:
    """The state document of a source that another process leads, renewed whenever somebody looks."""

    looks: int = 0

    def __call__(self, method: str, path: str, _body: bytes) -> Canned:
        assert (method, path.partition("?")[0].replace("%3A", ":")) == ("GET", f"/qscore-state/_doc/flows:{MODEL}")
        self.looks += 1
        return Canned(200, {"_source": GOOD, "_seq_no": self.looks, "_primary_term": 1})


@pytest.fixture
def standby() -> Iterator[Leader]:
    """A process that finds its source led by another."""
    with scripted_server(Watched()) as url, Elasticsearch(url, max_retries=0) as client:
        yield Leader(client)


def test_a_standby_shows_nothing_that_only_the_leader_knows(standby: Leader) -> None:
    standby.board.update("flows", state=LEADING, lag_seconds=400.0, lag_documents=9, in_flight_rows=8, checkpoint=NOW)
    runner = SourceRunner(SOURCE, standby.setting(), standby.stop)
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    assert became(lambda: standby.status.state == STANDBY)
    status = standby.status
    assert (status.lag_seconds, status.lag_documents) == (0.0, None)
    assert (status.in_flight_rows, status.in_flight_bytes, status.checkpoint) == (0, 0, None)
    standby.stop.set()
    thread.join(20.0)
    assert standby.status.state == STOPPED


def test_a_single_run_does_not_wait_for_ever_for_a_source_that_is_led(standby: Leader) -> None:
    runner = SourceRunner(SOURCE, standby.setting(once=True), standby.stop)
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    assert became(lambda: standby.status.state == STANDBY)
    standby.ticks.now += 1000.0  # longer than a dead leader's lease lasts
    thread.join(20.0)
    assert not thread.is_alive()
    assert isinstance(runner.failure, Unavailable)
    assert "led by another connector" in runner.failure.sentence()
    assert "--once" in runner.failure.sentence()


def became(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether ``condition`` came true within so long."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@dataclass
class Slow:
    """A server that takes its time over GET /_cat/health; its clock is right."""

    seconds: float = 0.6
    stamped: list[float] = field(default_factory=list)

    def __call__(self, _method: str, _path: str, _body: bytes) -> Canned:
        time.sleep(self.seconds)
        self.stamped.append(time.monotonic())
        return Canned(200, [{"epoch": "1000"}])


@pytest.fixture
def slow() -> Iterator[tuple[Slow, Elasticsearch]]:
    server = Slow()
    with scripted_server(server) as url, Elasticsearch(url, max_retries=0) as client:
        yield server, client


def test_a_slow_answer_puts_the_clock_behind_the_server_and_never_ahead(slow: tuple[Slow, Elasticsearch]) -> None:
    server, client = slow
    clock = ServerClock(client, own=lambda: 1000.0)
    found = clock.now()
    servers = 1000.0 + time.monotonic() - server.stamped[0]
    assert servers - 10.0 < found <= servers


@dataclass
class Stream:
    """Takes heartbeats; notes the source of each and how it was asked. ``away``: how many are refused first."""

    away: int = 0
    taken: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __call__(self, _method: str, path: str, body: bytes) -> Canned:
        self.paths.append(path)
        if self.away > 0:
            self.away -= 1
            return Canned(503, {"error": {"type": "unavailable", "reason": "starting"}})
        self.taken.append(orjson.loads(body)["qscore"]["heartbeat"]["source"])
        return Canned(201, {"result": "created"})


@dataclass
class Beating:
    """Heartbeats on a clock that the test moves."""

    stream: Stream
    board: StatusBoard
    beats: Heartbeats
    seconds: list[float]

    def after(self, seconds: float) -> list[str]:
        self.seconds[0] += seconds
        self.stream.taken.clear()
        self.beats.send_due()
        return list(self.stream.taken)


@pytest.fixture
def beating() -> Iterator[Beating]:
    stream, seconds = Stream(), [1000.0]
    board = StatusBoard([SourceStatus("one", MODEL, "default"), SourceStatus("two", MODEL, "default")])
    with scripted_server(stream) as url, Elasticsearch(url, max_retries=0) as client:
        beats = Heartbeats(client, board, lambda: NOW, threading.Event(), lambda: seconds[0])
        yield Beating(stream, board, beats, seconds)


def test_a_heartbeat_comes_soon_after_a_source_was_taken_and_then_every_minute(beating: Beating) -> None:
    beating.board.update("one", state=LEADING, owner="host:1")
    assert beating.after(0) == []
    assert beating.after(SOON) == ["one"]
    beating.board.update("two", state=LEADING, owner="host:1")  # taken over between two minutes
    assert beating.after(SOON) == ["two"]
    assert beating.after(EVERY - SOON) == ["one"]
    assert all("require_data_stream=true" in path for path in beating.stream.paths)


def test_a_heartbeat_that_failed_comes_again_soon(beating: Beating) -> None:
    beating.board.update("one", state=LEADING, owner="host:1")
    beating.after(0)
    beating.stream.away = 1
    assert beating.after(SOON) == []
    assert beating.after(SOON) == ["one"]


def test_after_a_stop_no_heartbeat_is_waited_for(beating: Beating) -> None:
    beating.board.update("one", state=LEADING, owner="host:1")
    beating.after(0)
    beating.beats.stop.set()
    assert beating.after(SOON) == []
    assert beating.stream.paths == []
