"""The ledger: the checkpoint never passes a batch that is not acknowledged, whatever order acknowledgements come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_connector.lead.ledger import Batch, Ledger
from scorer.elastic_client.moments import Millis
from scorer.rows.acknowledgement import Acknowledgement


def batch(number: int, rows: int = 10, position: int | None = -1) -> Batch:
    at = number * 100 if position == -1 else position
    return Batch(f"b{number}", b"x" * rows, rows, None if at is None else Millis(at), 0.0)


def ack(number: int, written: int = 10, there: int = 0, dead: int = 0) -> Acknowledgement:
    return Acknowledgement(f"b{number}", written, there, dead)


@given(data=st.data(), count=st.integers(1, 12))
def test_the_checkpoint_is_the_end_of_the_acknowledged_beginning(data: st.DataObject, count: int) -> None:
    ledger = Ledger(60.0)
    for number in range(count):
        ledger.add(batch(number))
    events = data.draw(st.lists(st.integers(-1, count), max_size=3 * count))  # repeated, unknown, any order
    known: set[int] = set()
    for number in events:
        fresh = ledger.acknowledge(ack(number))
        assert fresh == (0 <= number < count and number not in known)
        known |= {number} & set(range(count))
        done = next((k for k in range(count) if k not in known), count)
        assert ledger.checkpoint == (None if done == 0 else (done - 1) * 100)
        assert ledger.rows_in_flight == 10 * (count - len(known))
    assert ledger.totals.written == 10 * len(known)
    assert ledger.empty == (len(known) == count)
    assert ledger.totals.repeated_acks == len(events) - len(known)


def test_a_batch_is_sent_once_and_again_only_when_it_is_late() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(1))
    assert [b.batch_id for b in ledger.due(0.0)] == ["b1"]
    ledger.sent("b1", 0.0)
    assert not list(ledger.due(59.0))
    assert [b.batch_id for b in ledger.due(60.0)] == ["b1"]
    ledger.sent("b1", 60.0)
    assert not list(ledger.due(179.0)), "the second wait is twice as long"
    assert [b.batch_id for b in ledger.due(180.0)] == ["b1"]
    assert ledger.totals.retries == 1


def test_a_refused_send_stays_due() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(1))
    assert list(ledger.due(0.0)) == list(ledger.due(0.1)) == list(ledger.unsent()) == [batch(1)]


def test_pages_without_position_hold_the_checkpoint_but_do_not_move_it() -> None:
    ledger = Ledger(60.0)
    for each in (batch(1), batch(2, position=None), batch(3)):
        ledger.add(each)
    ledger.acknowledge(ack(1))
    ledger.acknowledge(ack(3))
    assert ledger.checkpoint == 100, "a late document in flight may not be passed"
    ledger.acknowledge(ack(2))
    assert ledger.checkpoint == 300


def test_a_page_without_rows_moves_the_checkpoint_once_those_before_it_are_done() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(1))
    ledger.add(batch(2, rows=0))
    assert (ledger.checkpoint, ledger.empty) == (None, False)
    ledger.acknowledge(ack(1))
    assert (ledger.checkpoint, ledger.empty) == (200, True)


def test_the_checkpoint_never_goes_back() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(5, rows=0))
    ledger.add(batch(3, rows=0))
    assert ledger.checkpoint == 500


def test_dead_rows_and_rows_that_were_there_are_counted() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(1))
    ledger.acknowledge(ack(1, written=5, there=3, dead=2))
    assert (ledger.totals.written, ledger.totals.already_there, ledger.totals.dead) == (5, 3, 2)


def test_one_id_cannot_stand_twice() -> None:
    ledger = Ledger(60.0)
    ledger.add(batch(1))
    with pytest.raises(ValueError, match="b1 is in the ledger"):
        ledger.add(batch(1))
