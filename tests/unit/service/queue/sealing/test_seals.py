"""Seals on a real queue: what was put there, or changed, by somebody without the key counts for nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.contrib.testing.worker import start_worker

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.broker import DURABLE, FAST
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.exchange import BatchOutcome, WaitingRows
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.service.queue.lanes import SCORE
from scorer.service.queue.sealing.seal import Forged, Seal
from scorer.service.queue.submit import Admission
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import ConfigurationError, NonsenseReply
from scorer.wire.options import ScoreOptions

ONE, OTHER = b"1" * 32, b"2" * 32
JOB = ScoreJob("batch-0001", "lateral", ScoreOptions("3"), 2, "text/csv", 2e9, 1e9, "qscore:reply:1")
DELIVERY = DeliveryJob("batch-0001", "qscore:rows:1", parts=2, submitter="me", submission="one")
NOTHING = Acknowledgement("batch-0001", 0)
LARGE = b"x" * 9000


def key_file(folder: Path, *keys: bytes) -> Path:
    file = folder / f"queue-{os.urandom(4).hex()}.key"
    file.write_text("\n".join(key.hex() for key in keys) + "\n")
    file.chmod(0o600)
    return file


def settings_with(folder: Path, *keys: bytes) -> Settings:
    file = key_file(folder, *keys) if keys else None
    return load_settings(home=folder, broker_url=f"redis+socket://{folder}/v.sock", queue_key_file=file)


@dataclass
class Place:
    """A queue with a living worker, as processes with these keys see it."""

    folder: Path
    client: redis.Redis

    def seen(self, *keys: bytes) -> Exchanges:
        return Exchanges.of(settings_with(self.folder, *keys))

    def put(self, body: bytes, *keys: bytes) -> ScoreJob:
        settings = settings_with(self.folder, *keys)
        admission = Admission((SCORE.queues[0],), 50)
        return Exchanges.of(settings).submitter(settings).put(JOB, SCORE.queues[0], body, 60.0, admission).job


@pytest.fixture
def place(tmp_path: Path, client: redis.Redis) -> Place:
    Exchanges.of(settings_with(tmp_path)).durable.beat("score", "worker:1")
    return Place(tmp_path, client)


@pytest.fixture
def consumed(place: Place) -> Callable[..., list[str]]:
    """Runs a worker with these keys until it has taken everything; which batches reached its task."""

    def run(*keys: bytes) -> list[str]:
        seen: list[str] = []
        app = build_app(settings_with(place.folder, *keys), SCORE)

        @app.task(name=SCORE.task, typing=False, shared=False)  # type: ignore[untyped-decorator]
        def task(**message: Any) -> None:
            seen.append(message["batch_id"])

        with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR", shutdown_timeout=20.0):
            deadline = time.monotonic() + 10
            while any(map(place.client.exists, ("qscore:i:interactive", "qscore:i:unacked"))):
                assert time.monotonic() < deadline
                time.sleep(0.02)
        return seen

    return run


@pytest.mark.parametrize(
    ("sender", "reader", "taken"),
    [
        ((), (), 1),
        ((ONE,), (ONE,), 1),
        ((OTHER,), (ONE, OTHER), 1),
        ((), (ONE,), 0),
        ((OTHER,), (ONE,), 0),
        ((ONE,), (), 0),
    ],
    ids=["no keys", "one key", "rotated", "unsealed", "another key", "no key to open it"],
)
def test_a_worker_runs_what_its_keys_sealed(
    place: Place, consumed: Callable[..., list[str]], sender: tuple[bytes, ...], reader: tuple[bytes, ...], taken: int
) -> None:
    place.put(b"a\n1\n", *sender)
    assert len(consumed(*reader)) == taken


def test_what_celery_sends_again_is_sealed_too(place: Place, consumed: Callable[..., list[str]]) -> None:
    """A task whose process was lost: without a seal nobody would take it, and its rows would wait for nobody."""
    app = build_app(settings_with(place.folder, ONE), SCORE)
    app.send_task(SCORE.task, kwargs=JOB.to_kwargs(), queue=SCORE.queues[0])
    assert consumed(ONE) == [JOB.batch_id]


@pytest.mark.parametrize(
    "item", [b'{"properties": {"delivery_tag": "1"}, "body": "\xff"}', b'{"properties": 0x10}', b"7"]
)
def test_what_cannot_be_read_is_forgotten(place: Place, consumed: Callable[..., list[str]], item: bytes) -> None:
    """The server reads some of what Python does not: held, it would come again every twenty seconds."""
    place.client.rpush("qscore:i:interactive", item)
    place.put(b"a\n1\n")
    assert consumed() == [JOB.batch_id]


def test_a_caller_whose_gateway_has_no_key_is_told(place: Place, consumed: Callable[..., list[str]]) -> None:
    place.put(b"a\n1\n")
    assert consumed(ONE) == []
    with pytest.raises(NonsenseReply, match="is sealed, but here is no queue_key_file"):
        place.seen().fast.wait_reply("qscore:reply:1", 5.0)


def test_a_message_that_was_changed_or_belongs_elsewhere_is_refused(
    place: Place, consumed: Callable[..., list[str]]
) -> None:
    place.put(b"a\n1\n", ONE)
    item: Any = place.client.rpop("qscore:i:interactive")
    for wrong in (item.replace(b"batch-0001", b"batch-0002"), item[:50], b"\xc1qs1", b"not json", b"[" * 5000, b"{}"):
        place.client.lpush("qscore:i:interactive", wrong)
    place.client.lpush("qscore:i:interactive", Seal((ONE,)).close("qscore:d:deliver", item[44:]))
    place.client.lpush("qscore:i:interactive", item)
    assert consumed(ONE) == ["batch-0001"]


def test_bodies_and_rows_are_sealed_for_their_key(place: Place) -> None:
    settings = settings_with(place.folder, ONE)
    queue = Exchanges.of(settings)
    first, second = place.put(LARGE, ONE), place.put(LARGE + b"2", ONE)
    assert queue.fast.begin(first) == (0, LARGE)
    taken: Any = place.client.get(str(second.body_key))
    for forged in (LARGE, taken, taken[:60] + b"y" + taken[61:]):
        place.client.set(str(first.body_key), forged)
        with pytest.raises(Forged):
            queue.fast.begin(first)
    queue.submitter(settings).put_rows(DELIVERY, WaitingRows([1], NOTHING))
    assert queue.durable.get_rows(DELIVERY.rows_key) == WaitingRows([1], NOTHING)
    place.client.set(DELIVERY.rows_key, WaitingRows([2], NOTHING).pack())
    with pytest.raises(Forged, match="bears no seal"):
        queue.durable.get_rows(DELIVERY.rows_key)


def test_a_forged_reply_is_passed_over_and_the_true_one_is_heard(place: Place) -> None:
    queue, true = place.seen(ONE), WorkerReply(b"true", {})
    place.client.rpush("qscore:reply:1", WorkerReply(b"forged", {}).pack())
    place.client.rpush("qscore:reply:1", Seal((OTHER,)).close("qscore:reply:1", WorkerReply(b"forged", {}).pack()))
    later = threading.Timer(0.3, lambda: place.seen(ONE).fast.finish(JOB, true))
    later.start()
    assert queue.fast.wait_reply("qscore:reply:1", 10.0) == true
    later.join()
    place.client.rpush("qscore:reply:1", WorkerReply(b"forged", {}).pack())
    assert queue.fast.wait_reply("qscore:reply:1", 0.2) is None


def test_a_forged_acknowledgement_is_passed_over(place: Place) -> None:
    durable = place.seen(ONE).durable
    forged, true = (BatchOutcome.of(Acknowledgement("batch-0001", written)) for written in (9, 2))
    for _ in range(2):
        place.client.rpush("qscore:ack:me", forged.pack())
        durable.report("me", true)
    assert durable.wait_outcome("me", 1.0) == true
    assert durable.take_outcomes("me") == [true]


def test_counts_of_a_part_cannot_stand_for_another(place: Place) -> None:
    durable = place.seen(ONE).durable
    durable.settle_part(DELIVERY, Acknowledgement("batch-0001", 2))
    key = "qscore:settled:batch-0001:one"
    copied: Any = place.client.hget(key, "0")
    place.client.hset(key, "1", copied)
    durable.settle_part(DELIVERY, Acknowledgement("batch-0001", 2))
    assert durable.take_outcomes("me") == []
    durable.settle_part(replace(DELIVERY, part=1), Acknowledgement("batch-0001", 3))
    assert durable.take_outcomes("me") == [BatchOutcome.of(Acknowledgement("batch-0001", 5))]


def test_a_seal_ends_after_a_day() -> None:
    seal = Seal((ONE,))
    assert seal.open("list", seal.close("list", b"value")) == b"value"
    with pytest.raises(Forged, match="wrong seal"):
        seal.open("other", seal.close("list", b"value"))
    old = seal.close("list", b"value", made=time.time() - 26 * 3600)
    with pytest.raises(Forged, match="more than a day ago"):
        seal.open("list", old)


def test_the_embedded_queue_needs_no_seal_and_a_bad_key_file_is_named(tmp_path: Path) -> None:
    private = load_settings(home=tmp_path, queue_key_file=tmp_path / "absent")
    assert Seal.of(private, DURABLE) == Seal.of(private, FAST) == Seal()
    for content, mode, said in (
        ("", 0o600, "one to 8"),
        ("zz", 0o600, "one to 8"),
        ("11" * 32, 0o644, "644"),
    ):
        file = key_file(tmp_path)
        file.write_text(content)
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=said):
            Seal.of(load_settings(home=tmp_path, broker_url="redis://localhost", queue_key_file=file), DURABLE)
