"""A leader's term: what it reads, sends, says of its source, and does after what fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import structlog
from elasticsearch import Elasticsearch

from elastic_connector.lead.lease import LeaseLost
from elastic_connector.lead.status import DEGRADED, LEADING
from scorer.elastic_client.moments import GivenTime, Millis
from scorer.wire.errors import ArtifactRejected, ConfigurationError, MalformedBody, QueueFull, Unreachable
from tests.unit.elastic_client.servers import scripted_server
from tests.unit.elastic_connector.leading import DAY, NOW, Leader, closed_nothing, page

MINUTE = 60_000


@pytest.fixture
def leader() -> Iterator[Leader]:
    with scripted_server(closed_nothing) as url, Elasticsearch(url, max_retries=0) as client:
        yield Leader(client)


def test_one_document_in_a_quiet_source_is_not_a_day_of_lag(leader: Leader) -> None:
    term = leader.term()
    term.step()
    assert leader.status.lag_seconds == 0.0, "nothing waits"
    leader.reading.rounds = [[page(1, NOW - 40_000)]]
    leader.ticks.now += 60.0
    term.step()
    assert leader.status.lag_seconds == 40.0, "the document is 40 seconds old; the checkpoint is a day old"
    leader.queue.acknowledge(leader.queue.sent[0])
    term.step()
    assert (leader.status.lag_seconds, leader.held.checkpoint) == (0.0, NOW - 40_000)


def test_a_backlog_is_as_old_as_what_was_read_last(leader: Leader) -> None:
    leader.reading.rounds = [[page(0, NOW - DAY), page(0, NOW - 7_000)]]
    term = leader.term()
    term.step()
    assert leader.status.lag_seconds == DAY / 1000, "nothing says yet that what lies after it is scored"
    term.step()
    assert leader.status.lag_seconds == 7.0


@pytest.mark.parametrize(
    ("checkpoint", "since", "begins"),
    [
        (None, GivenTime(), NOW),
        (None, GivenTime(ago=60.0), NOW - MINUTE),
        (None, GivenTime(Millis(5)), 5),
        (Millis(NOW - DAY), GivenTime(), NOW - DAY),
    ],
    ids=["now", "a minute ago", "a moment", "a checkpoint comes first"],
)
def test_where_a_source_is_begun(leader: Leader, checkpoint: Millis | None, since: GivenTime, begins: int) -> None:
    leader.held.checkpoint = checkpoint
    leader.term(since).step()
    assert leader.reading.asked == [(begins, NOW - 30_000)], "up to what is settled by the server's clock"
    assert leader.reading.resumed == ([] if checkpoint is None else [checkpoint])
    assert leader.held.checkpoint == begins, "a restart before the first document begins here too"


def test_every_fault_is_in_the_log_also_after_a_full_queue(leader: Leader) -> None:
    leader.reading.rounds = [[page(1, NOW - MINUTE)]]
    leader.queue.faults = [
        QueueFull("full", "Wait."), Unreachable("away", "Look."), Unreachable("away", "Look."),
        Unreachable("the key is gone", "Make one."),
    ]  # fmt: skip
    term, reasons = leader.term(), []
    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            term.step()
            reasons.append((leader.status.state, leader.status.reason, leader.status.busy))
            leader.ticks.now += 20.0
    said = [record["reason"] for record in logged if record["event"] == "source_degraded"]
    assert said == ["away. Look.", "the key is gone. Make one."]
    assert reasons[1:] == [
        (DEGRADED, "away. Look.", 1), (DEGRADED, "away. Look.", 1), (DEGRADED, "the key is gone. Make one.", 1),
        (LEADING, "", 1),
    ]  # fmt: skip
    assert reasons[0][0] != DEGRADED, "a full queue is no fault of the source"
    assert [batch.rows for batch in leader.queue.sent] == [1]


def test_what_failed_is_not_tried_again_before_its_pause_is_over(leader: Leader) -> None:
    leader.reading.rounds = [[page(1, NOW - MINUTE)]]
    leader.queue.faults = [Unreachable("away", "Look.")]
    leader.stop.set()  # nothing is waited for in this test
    term = leader.term()
    for _ in range(3):
        term.step()
    assert leader.queue.sent == []
    leader.ticks.now += 0.6
    term.step()
    assert [batch.rows for batch in leader.queue.sent] == [1]


def test_a_clock_that_fails_after_a_page_was_read_costs_no_document(leader: Leader) -> None:
    """Like every reader this one gives nothing twice: the page that came before the fault must be in the ledger."""
    leader.reading.rounds = [[page(1, NOW - MINUTE), page(2, NOW - MINUTE)]]
    leader.reading.after_page = lambda: setattr(leader.clock, "away", True)
    term = leader.term()
    for _ in range(4):
        term.step()
        leader.clock.away = False
        leader.ticks.now += 6.0
    assert [batch.rows for batch in leader.queue.sent] == [1, 2]


def test_no_more_is_read_than_may_be_on_its_way(leader: Leader) -> None:
    leader.reading.rounds = [[page(15_000, NOW - MINUTE), page(15_000, NOW - MINUTE), page(1, NOW - MINUTE)]]
    term = leader.term()
    for _ in range(4):
        term.step()
    assert [batch.rows for batch in leader.queue.sent] == [15_000, 15_000]
    leader.queue.acknowledge(leader.queue.sent[0])
    term.step()
    assert [batch.rows for batch in leader.queue.sent] == [15_000, 15_000, 1]


def test_a_lease_that_ran_out_sends_nothing_more_and_closes_the_reader(leader: Leader) -> None:
    leader.reading.rounds = [[page(1, NOW - MINUTE)]]
    leader.reading.after_page = lambda: setattr(leader.held, "holds", False)
    with pytest.raises(LeaseLost):
        leader.term().run()
    assert leader.queue.sent == []
    assert leader.reading.closed


def test_a_single_run_ends_when_all_is_acknowledged(leader: Leader) -> None:
    leader.reading.rounds = [[page(3, NOW - MINUTE)]]
    term, ended = leader.term(once=True), []
    leader.clock.seconds += 100.0
    for _ in range(3):
        term.step()
    leader.queue.acknowledge(leader.queue.sent[0])
    term.step()
    thread = threading.Thread(target=lambda: ended.append(term.run()), daemon=True)
    thread.start()
    thread.join(20.0)
    assert ended == [True]
    assert (leader.held.flushed, leader.held.checkpoint) == (1, NOW - MINUTE)


def test_a_single_run_ends_with_what_no_waiting_mends(leader: Leader) -> None:
    leader.reading.rounds = [[page(3, NOW - MINUTE)]]
    leader.queue.faults = [ConfigurationError("there is no such queue", "Set one.")]
    with pytest.raises(ConfigurationError, match="no such queue"):
        leader.term(once=True).step()


def test_a_model_that_cannot_be_used_degrades_its_source_and_marks_no_row(leader: Leader) -> None:
    leader.reading.rounds = [[page(2, NOW - MINUTE)]]
    leader.stop.set()
    term = leader.term()
    term.step()
    leader.queue.refuse(leader.queue.sent[0], ArtifactRejected("the signature is wrong", "Publish it again."))
    term.step()
    assert (leader.status.state, leader.status.totals.refused) == (DEGRADED, 1)
    assert "the signature is wrong" in leader.status.reason
    assert [batch.rows for batch in leader.queue.sent] == [2], "it was not cut into rows that get the blame"


def test_a_batch_that_is_at_fault_is_cut_and_sent_on(leader: Leader) -> None:
    leader.reading.rounds = [[page(4, NOW - MINUTE)]]
    term = leader.term()
    term.step()
    leader.queue.refuse(leader.queue.sent[0], MalformedBody("the body is no Arrow", "Look."))
    term.step()
    assert [batch.rows for batch in leader.queue.sent] == [4, 2, 2]
    assert leader.held.checkpoint == NOW - DAY, "nothing of it is acknowledged"


def test_a_row_that_is_refused_even_as_an_error_holds_up_no_other(leader: Leader) -> None:
    leader.reading.rounds = [[page(rows, NOW - MINUTE) for rows in (1, 2, 3)]]
    leader.stop.set()
    term = leader.term()
    term.step()
    for number in range(2):  # as itself, and as an error
        leader.queue.refuse(leader.queue.sent[number], MalformedBody("the body is no Arrow", "Look."))
        term.step()
    assert leader.status.state == DEGRADED
    assert "refused even as an error" in leader.status.reason
    leader.ticks.now += 1.0
    term.step()
    assert [batch.rows for batch in leader.queue.sent] == [1, 1, 2, 3]
    assert leader.held.checkpoint == NOW - DAY, "the row is not lost"


def test_documents_that_wait_are_counted_once_a_minute(leader: Leader) -> None:
    leader.reading.rounds = [[page(1, NOW - MINUTE), page(1, NOW - MINUTE), page(1, NOW - MINUTE)]]
    leader.reading.counted = 70
    term = leader.term()
    term.step()
    assert leader.status.lag_documents == 71, "those that are not read, and one on its way"
    leader.reading.counted = 5
    term.step()
    assert leader.status.lag_documents == 71
    leader.ticks.now += 60.0
    term.step()
    assert leader.status.lag_documents == 5 + 3
