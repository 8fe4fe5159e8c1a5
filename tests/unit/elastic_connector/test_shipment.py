"""Batches between reader and queue, for live leaders and backfills alike: each row goes out until it is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_connector.lead.lease import LeaseLost
from elastic_connector.lead.ledger import Ledger
from elastic_connector.lead.shipment import Shipment
from scorer.elastic_client.moments import Millis
from scorer.wire.errors import ArtifactRejected, MalformedBody, QueueFull, ScoringTimeout, Unavailable
from tests.unit.elastic_connector.leading import Hand, QueueEnd, page


def shipment(queue: QueueEnd, ticks: Hand | None = None) -> Shipment:
    return Shipment("flows", queue, Ledger(60.0), ticks=ticks or Hand())


def test_what_a_full_queue_refuses_goes_the_next_time_and_in_order() -> None:
    queue = QueueEnd(faults=[None, QueueFull("full", "Wait.")])
    shipped = shipment(queue)
    for rows in (1, 2, 3):
        shipped.load(page(rows, 100 * rows), 5.0)
    with pytest.raises(QueueFull):
        shipped.send_due()
    assert not shipped.room(1000), "nothing more is read while something waits to be sent"
    shipped.send_due()
    assert [batch.rows for batch in queue.sent] == [1, 2, 3]
    assert (shipped.room(7), shipped.room(6)) == (True, False)


def test_a_batch_that_is_late_goes_again_under_its_id_and_later_while_the_queue_is_full_of_others() -> None:
    queue, ticks = QueueEnd(), Hand()
    shipped = shipment(queue, ticks)
    shipped.load(page(1, 100), 5.0)
    shipped.send_due()
    assert queue.asked_whether_busy == 0, "a first batch asks nothing"
    ticks.now += 61.0
    queue.crowded = True
    shipped.send_due()
    assert len(queue.sent) == 1, "it is probably among those that wait"
    ticks.now += 120.0
    shipped.send_due()
    assert [batch.batch_id for batch in queue.sent] == [queue.sent[0].batch_id] * 2
    assert shipped.ledger.totals.retries == 1


def test_who_may_not_send_keeps_the_batch() -> None:
    lost = [LeaseLost("the lease ran out", "It is contended for again.")]

    def check() -> None:
        if lost:
            raise lost.pop()

    queue = QueueEnd()
    shipped = Shipment("flows", queue, Ledger(60.0), check)
    shipped.load(page(1, 100), 5.0)
    with pytest.raises(LeaseLost):
        shipped.send_due()
    assert queue.sent == []
    shipped.send_due()
    assert len(queue.sent) == 1


def test_an_error_of_the_model_is_raised_after_everything_else_was_taken() -> None:
    queue = QueueEnd()
    shipped = shipment(queue)
    for rows in (1, 2):
        shipped.load(page(rows, 100 * rows), 5.0)
    shipped.send_due()
    queue.refuse(queue.sent[1], ArtifactRejected("the signature is wrong", "Publish it again."))
    queue.acknowledge(queue.sent[0])
    with pytest.raises(ArtifactRejected, match="the signature is wrong"):
        shipped.take()
    assert (shipped.ledger.checkpoint, shipped.ledger.rows_in_flight) == (100, 2)
    assert shipped.ledger.totals.refused == 1


def test_what_was_waited_for_is_not_lost_with_the_queue() -> None:
    queue = QueueEnd()
    shipped = shipment(queue)
    shipped.load(page(1, 100), 5.0)
    shipped.send_due()
    queue.acknowledge(queue.sent[0])
    queue.gone = True  # between the first outcome and the rest
    with pytest.raises(Unavailable):
        shipped.take(1.0)
    assert shipped.ledger.empty


def test_a_batch_that_took_too_long_is_cut_and_an_unknown_one_is_nobodys() -> None:
    queue = QueueEnd()
    shipped = shipment(queue)
    shipped.load(page(5, 100), 5.0)
    shipped.send_due()
    late = ScoringTimeout("it took longer than a task may", "Send smaller batches.")
    for _ in range(2):  # an outcome that comes twice cuts nothing a second time
        queue.refuse(queue.sent[0], late)
        assert shipped.take()
    shipped.send_due()
    assert [batch.rows for batch in queue.sent] == [5, 2, 3]
    assert shipped.ledger.totals.refused == 1
    assert not shipped.take()


@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    fates=st.lists(st.sampled_from(["done", "lost", "at fault", "full"]), max_size=30),
)
def test_every_row_is_acknowledged_whatever_happens_on_the_way(rows: list[int], fates: list[str]) -> None:
    queue, ticks = QueueEnd(), Hand()
    shipped = shipment(queue, ticks)
    for number, count in enumerate(rows):
        shipped.load(page(count, number + 1), 5.0)
    fate = iter(fates)
    for _ in range(len(fates) + 200):
        if shipped.ledger.empty:
            break
        ticks.now += 1000.0
        try:
            shipped.send_due()
        except QueueFull:
            queue.faults.clear()
        for batch in queue.sent:
            if (what := next(fate, "done")) == "done":
                queue.acknowledge(batch)
            elif what == "at fault" and batch.rows > 1:
                queue.refuse(batch, MalformedBody("the body is no Arrow", "Look."))
            elif what == "full":
                queue.faults = [QueueFull("full", "Wait.")]
        queue.sent.clear()
        shipped.take()
    assert shipped.ledger.empty
    assert shipped.ledger.totals.written == sum(rows)
    assert shipped.ledger.checkpoint == Millis(len(rows))
