"""What lies on the queue and in the dead letters: jobs, replies, rows that wait, outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack

from scorer.delivery.stored_rows import letters_of, read_letter, read_rows, stored
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome, WaitingRows
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.wire.errors import Problem
from scorer.wire.options import ScoreOptions
from tests.fuzz.mutate import mutated_json, mutated_msgpack
from tests.fuzz.target import Target
from tests.unit.delivery.builders import make_rows

_PROBLEM = Problem("queue_full", "64 batches wait", "Try again.", 429, True)


def targets() -> list[Target]:
    """List the readers of the queue's messages and of the dead letters."""
    rows = make_rows(2)
    blocks, letters = stored(rows), list(letters_of(rows))
    ack = Acknowledgement("batch-0001", 3, 1, 0)
    packed = {
        "score job": (_kwargs(ScoreJob.from_kwargs), _score_jobs()),
        "delivery job": (_kwargs(DeliveryJob.from_kwargs), _delivery_jobs()),
        "worker reply": (
            WorkerReply.unpack,
            (WorkerReply(b"a\n", {"X": "y"}).pack(), WorkerReply(problem=_PROBLEM).pack()),
        ),
        "waiting rows": (_waiting, (WaitingRows(blocks, ack).pack(), WaitingRows([1], ack, 2, 1.7e9).pack())),
        "outcome": (BatchOutcome.unpack, (BatchOutcome.of(ack).pack(), BatchOutcome("b", problem=_PROBLEM).pack())),
    }
    return [
        *(Target(name, read, seeds, mutated_msgpack) for name, (read, seeds) in packed.items()),
        Target("stored block", lambda raw: read_rows([raw]), tuple(blocks), weight=20),
        Target("stored rows of 0.1.0", _old_rows, (b"[" + ",".join(letters).encode() + b"]",), mutated_json),
        Target("dead letter", lambda raw: read_letter(raw.decode("latin-1")), _encoded(letters), mutated_json),
    ]


def _kwargs(read: Callable[[dict[str, Any]], object]) -> Callable[[bytes], object]:
    def whole(raw: bytes) -> object:
        try:
            message = msgpack.unpackb(raw, strict_map_key=False)
        except Exception:  # kombu's business: what is no message never reaches a job
            return None
        return read(message) if isinstance(message, dict) and all(isinstance(key, str) for key in message) else None

    return whole


def _waiting(raw: bytes) -> object:
    return read_rows(WaitingRows.unpack(raw).rows)


def _old_rows(raw: bytes) -> object:
    try:
        rows = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return read_rows(rows)


def _score_jobs() -> tuple[bytes, ...]:
    options = ScoreOptions("3", 0.8, "all", True)
    plain = ScoreJob("batch-0001", "lateral", options, 3, "text/csv", 1.8e9, 1.7e9, "qscore:reply:1", b"events\n1\n")
    route: dict[str, Any] = {"sink": "elastic", "namespace": "n", "stream": "s", "epoch": 3, "submitter": "elastic:a"}
    jobs = [plain, replace(plain, reply_key=None, body=None, body_key="k", **route)]
    return tuple(msgpack.packb(job.to_kwargs()) for job in jobs)


def _delivery_jobs() -> tuple[bytes, ...]:
    jobs = [
        DeliveryJob("batch-0001", "k"),
        DeliveryJob("b", "k", 1, 3, 2, "me", "s" * 16, sink="hec", first_submitted=1.0),
    ]
    return tuple(msgpack.packb(job.to_kwargs()) for job in jobs)


def _encoded(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)
