"""What a connector says of its sources, and when it says it: lag, standbys, takeovers, faults in the log, clocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import structlog
from elasticsearch import Elasticsearch

from elastic_connector.lead.heartbeat import EVERY, SOON, Heartbeats
from elastic_connector.lead.lease import StreamState
from elastic_connector.lead.ledger import Batch, Totals
from elastic_connector.lead.shared import Setting
from elastic_connector.lead.source import SourceRunner
from elastic_connector.lead.status import LEADING, STANDBY, Board, SourceStatus
from elastic_connector.lead.term import Term
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.wire.card import ModelCard
from scorer.wire.errors import NonsenseReply, QueueFull, Unavailable, Unreachable
from tests.unit.elastic_client.servers import Canned, scripted_server

MODEL = "lateral_flow"
NOW = 1_772_352_900_000  # milliseconds
DAY = 86_400_000
SOURCE = ElasticSource(name="flows", index="logs-a", model=MODEL)
CARD = ModelCard(MODEL, "7", "svc", "t", "rows", False, "quantum", "event", (), (), "m", 0.5, 0.01, {})


def loose(stand_in: object) -> Any:
    """Of another type than what it stands in for."""
    return stand_in


class Clock:
    """The server's clock."""

    def millis(self) -> int:
        return NOW

    def now(self) -> float:
        return NOW / 1000.0


@dataclass
class Held:
    """A lease that is held."""

    checkpoint: int | None = NOW - DAY
    lost: bool = False

    def held(self) -> bool:
        return True


@pytest.fixture
def board() -> Board:
    return Board([SourceStatus("flows", MODEL, "default")])


@pytest.fixture
def make_term(monkeypatch: pytest.MonkeyPatch, board: Board) -> Callable[..., Term]:
    """A term of a leader that found the checkpoint of a day ago, with a reader that reads nothing."""
    monkeypatch.setattr("elastic_connector.lead.term.build_reader", lambda _plan: loose(None))

    def make(since: int | None = 0, checkpoint: int | None = NOW - DAY) -> Term:
        nothing = loose(None)
        setting = Setting(nothing, nothing, nothing, ElasticSettings(), loose(Clock()), board, since)
        return Term(SOURCE, setting, threading.Event(), Totals(), CARD, nothing, loose(Held(checkpoint)), NOW)

    return make


def test_one_document_in_a_quiet_source_is_not_a_day_of_lag(make_term: Callable[..., Term]) -> None:
    term = make_term()
    term._caught_up = True
    assert term._lag() == 0.0, "nothing waits"
    term.ledger.add(Batch("b", b"x", 1, NOW - 40_000, 0.0))
    assert term._lag() == 40.0, "the document is 40 seconds old; the checkpoint is a day old"


def test_a_backlog_is_as_old_as_what_was_read_last(make_term: Callable[..., Term]) -> None:
    term = make_term()
    assert term._lag() == DAY / 1000.0, "nothing says yet that what lies after the checkpoint is scored"
    term._position = NOW - 7_000
    assert term._lag() == 7.0


def test_a_source_that_begins_now_begins_at_the_servers_now(make_term: Callable[..., Term]) -> None:
    assert make_term(since=None, checkpoint=None)._position == NOW
    assert make_term(since=None)._position == NOW - DAY, "a checkpoint comes first"


def test_every_fault_is_in_the_log_also_after_a_full_queue(make_term: Callable[..., Term], board: Board) -> None:
    term = make_term()
    term.reader = loose(None)
    with structlog.testing.capture_logs() as logged:
        for error in (QueueFull("full", "Wait."), Unreachable("away", "Look."), Unreachable("away", "Look.")):
            term._failed(error)
        term._failed(Unreachable("the key is gone", "Make one."))
    said = [record["reason"] for record in logged if record["event"] == "source_degraded"]
    assert said == ["away. Look.", "the key is gone. Make one."]
    assert board["flows"].reason == "the key is gone. Make one."


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
    """A lease that another process holds and renews."""

    looks: int = 0
    seconds, poll, look_every = 0.05, 0.01, 0.01

    def acquire(self, _version: str) -> bool:
        self.looks += 1
        return False


def runner(board: Board, once: bool) -> SourceRunner:
    nothing = loose(None)
    setting = Setting(nothing, nothing, lambda *_: CARD, ElasticSettings(), loose(Clock()), board, once=once)
    return SourceRunner(SOURCE, setting, threading.Event(), _lease=loose(Watched()))


def test_a_standby_shows_nothing_that_only_the_leader_knows(board: Board) -> None:
    board.update("flows", state=LEADING, lag_seconds=400.0, lag_documents=9, in_flight_rows=8, checkpoint=NOW)
    assert runner(board, once=False)._contend() is False
    status = board["flows"]
    assert (status.state, status.lag_seconds, status.lag_documents) == (STANDBY, 0.0, None)
    assert (status.in_flight_rows, status.in_flight_bytes, status.checkpoint) == (0, 0, None)


def test_a_single_run_does_not_wait_for_ever_for_a_source_that_is_led(board: Board) -> None:
    running = runner(board, once=True)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    thread.join(20.0)
    assert not thread.is_alive()
    assert isinstance(running.failure, Unavailable)
    assert "led by another connector" in running.failure.sentence()
    assert "--once" in running.failure.sentence()


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
    board: Board
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
    board = Board([SourceStatus("one", MODEL, "default"), SourceStatus("two", MODEL, "default")])
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
