"""Rows that wait under a key, when what lies there is not what was put."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.queue.exchange import WaitingRows
from scorer.wire.errors import MalformedBody

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
