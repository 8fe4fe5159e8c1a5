"""Every end leaves a line, and a flood of them leaves few."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from scorer.service.gateway.front.notices import MOST_ADDRESSES, End, Notices


def lines_of(ends: list[tuple[End, str]]) -> tuple[list[Any], list[str]]:
    counted: list[str] = []

    async def work() -> None:
        notices = Notices(counted.append, window=60.0)
        for end, address in ends:
            notices.note(end, address, about="a caller")
        notices.flush()

    with capture_logs() as lines:
        asyncio.run(work())
    return lines, counted


def test_the_first_of_a_kind_is_told_at_once_and_the_others_are_counted() -> None:
    lines, counted = lines_of([(End.HEAD_TIMED_OUT, "192.0.2.1")] * 600)
    assert [(line["end"], line["address"], line.get("more")) for line in lines] == [
        ("head_timed_out", "192.0.2.1", None),
        ("head_timed_out", "192.0.2.1", 599),
    ]
    assert len(counted) == 600


def test_many_addresses_share_a_line() -> None:
    lines, _ = lines_of([(End.EVICTED, f"192.0.2.{k}") for k in range(200)])
    assert len(lines) == MOST_ADDRESSES + 2
    assert lines[-1]["more"] == 200 - MOST_ADDRESSES - 1


def test_kinds_do_not_hide_each_other() -> None:
    lines, _ = lines_of([(end, "192.0.2.1") for end in End])
    assert {line["end"] for line in lines} == {end.value for end in End}
