"""Rows, outcomes and replies on the queue, when what lies there is not what was put."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import BatchOutcome, WaitingRows
from scorer.service.queue.jobs import WorkerReply
from scorer.wire.errors import MalformedBody, NonsenseReply

TALLY = Acknowledgement("batch-0001", 1).to_dict()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        msgpack.packb([]),
        msgpack.packb({1: 2}),
        msgpack.packb({"rows": []}),
        msgpack.packb({"rows": [], "tally": TALLY | {"written": "x"}}),
        msgpack.packb({"rows": [], "tally": TALLY, "attempt": []}),
        msgpack.packb({"rows": [], "tally": TALLY, "attempt": float("inf")}),
        msgpack.packb({"rows": [], "tally": TALLY, "due": {}}),
        b"\x91" * 5000,
    ],
)
def test_damaged_rows_are_named(raw: bytes) -> None:
    with pytest.raises(MalformedBody, match="rows that wait cannot be read"):
        WaitingRows.unpack(raw)


@pytest.mark.parametrize("more", [{}, {"attempt": 2, "due": 1.5}])
def test_rows_of_this_and_of_the_first_version_are_read(more: dict[str, Any]) -> None:
    waiting = WaitingRows.unpack(msgpack.packb({"rows": [1], "tally": TALLY, **more}))
    assert (waiting.rows, waiting.attempt, waiting.due) == ([1], more.get("attempt", 0), more.get("due", 0.0))


DEEP = b"\x91" * 1000 + b"\x01"  # msgpack: lists in lists, which cannot be written as text


@pytest.mark.parametrize(
    ("batch_id", "detail"), [(DEEP, msgpack.packb("x")), (msgpack.packb("b"), DEEP), (msgpack.packb(7), DEEP)]
)
def test_outcomes_take_text_for_text_alone(batch_id: bytes, detail: bytes) -> None:
    problem = b"\x82\xa4code\xa1x\xa6detail" + detail
    raw = b"\x82\xa8batch_id" + batch_id + b"\xa7problem" + problem
    if batch_id == msgpack.packb("b"):
        read = BatchOutcome.unpack(raw).problem
        assert read is not None
        assert (read.code, read.detail) == ("x", "")
    else:
        with pytest.raises(NonsenseReply, match="an acknowledgement cannot be read"):
            BatchOutcome.unpack(raw)


def test_a_reply_takes_text_for_headers_alone() -> None:
    raw = b"\x83\xa2ok\xc3\xa4body\xc4\x01x\xa7headers\x81\xa1X" + DEEP
    with pytest.raises(NonsenseReply, match="headers that are no text"):
        WorkerReply.unpack(raw)
