"""Seconds of work that wait, on a real server."""

from __future__ import annotations

import redis

from scorer.service.gateway.metrics import new_metrics
from scorer.service.queue.exchange import QueueState
from scorer.service.queue.lanes import BULK, LANES, SCORE
from scorer.service.queue.pace import PACE, UNKNOWN, PaceNotes, backlog


def waiting(client: redis.Redis, count: int) -> None:
    client.lpush(SCORE.keys["interactive"], *(f"message {number}" for number in range(count)))


def test_nothing_waits(client: redis.Redis) -> None:
    assert backlog(client, LANES) == {"interactive": 0.0, "bulk": 0.0, "qpu": 0.0}


def test_messages_count_by_what_a_batch_takes(client: redis.Redis) -> None:
    PaceNotes(client, SCORE.name).add(1000, 0.5)
    PaceNotes(client, SCORE.name).add(3000, 1.5)  # another process
    PaceNotes(client, BULK.name).add(50_000, 30.0)
    waiting(client, 4)
    assert backlog(client, LANES) == {"interactive": 4.0, "bulk": 0.0, "qpu": 0.0}


def test_what_a_worker_holds_counts_too(client: redis.Redis) -> None:
    PaceNotes(client, BULK.name).add(1000, 2.0)
    client.zadd(f"{BULK.prefix}unacked_index", {"held": 1.0, "held too": 2.0})
    client.lpush(BULK.keys["bulk"], "waits")
    assert backlog(client, LANES)["bulk"] == 6.0


def test_what_waits_for_its_turn_before_the_queue_counts_too(client: redis.Redis) -> None:
    PaceNotes(client, BULK.name).add(1000, 2.0)
    assert backlog(client, LANES, {"bulk": 3})["bulk"] == 6.0


def test_without_a_measure_a_batch_is_guessed(client: redis.Redis) -> None:
    waiting(client, 10)
    assert backlog(client, LANES)["interactive"] == 10 * UNKNOWN


def test_a_process_writes_now_and_then_and_loses_nothing(client: redis.Redis) -> None:
    notes = PaceNotes(client, SCORE.name)
    for _ in range(50):
        notes.add(10, 0.01)
    (key,) = client.scan_iter(f"{PACE}*")
    written = int(client.hget(key, "batches") or 0)
    assert 1 <= written < 50
    assert 0 < client.ttl(key) <= 360


def test_a_server_that_is_away_stops_no_worker(away: redis.Redis) -> None:
    PaceNotes(away, SCORE.name).add(10, 0.01)


def test_the_metric_has_a_line_for_each_queue(client: redis.Redis) -> None:
    PaceNotes(client, SCORE.name).add(1000, 0.25)
    waiting(client, 6)
    metrics = new_metrics(lambda: QueueState({}, {}), lambda: backlog(client, LANES))
    lines = metrics.text().decode().splitlines()
    assert 'qscore_backlog_seconds{queue="interactive"} 1.5' in lines
    assert 'qscore_backlog_seconds{queue="bulk"} 0.0' in lines
