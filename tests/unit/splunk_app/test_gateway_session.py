"""How long a search waits for a gateway that fails."""

from __future__ import annotations

import pytest

from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Unreachable
from splunk_app.gateway import Patience, ScoringSession, not_scored
from splunk_app.options import CommandOptions
from splunk_app.table import ChunkTable


def test_patience_halves_with_each_failure_in_a_row_and_comes_back() -> None:
    patience = Patience(30.0)
    waits = []
    for _ in range(8):
        waits.append(patience.allowed())
        patience.note(failed=True)
    assert waits == [30.0, 15.0, 7.5, 3.75, 1.875, 1.0, 1.0, 1.0]
    patience.note(failed=False)
    assert patience.allowed() == 30.0


def test_patience_never_exceeds_the_timeout() -> None:
    patience = Patience(1.0)
    patience.note(failed=True)
    assert patience.allowed() == 1.0


def test_a_dead_gateway_costs_a_search_of_a_hundred_chunks_less_than_six_full_timeouts() -> None:
    patience = Patience(30.0)
    spent = 0.0
    for _ in range(100):
        spent += patience.allowed()
        patience.note(failed=True)
    assert spent == pytest.approx(30 + 15 + 7.5 + 3.75 + 1.875 + 95)


def test_the_status_carries_the_remedy_and_stays_on_one_line() -> None:
    line = not_scored("lateral", "live", Unreachable("no\nconnection", "Start it."))
    assert line == b",,,,,,,lateral,live,not_scored: no connection. Start it."


def test_a_fault_of_a_thread_stops_the_search_and_loses_no_row() -> None:
    def connect() -> GatewayClient:
        raise RuntimeError("can't start new thread")

    card = ModelCard(
        "lateral", "1", "svc", "t", "rows", False, "quantum", "window", ("events",), (), "m", 0.5, 0.01, {}
    )
    session = ScoringSession(CommandOptions("lateral"), card, connect, lanes=2)
    with pytest.raises(RuntimeError, match="new thread"):
        session.score("sid", 0, ChunkTable.read(b"events\n" + b"1\n" * 9_000))
