"""Lease and checkpoint on a real server with the runtime key: one leader at a time, whatever clocks and answers do."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.install.privileges import runtime_role
from elastic_connector.lead.lease import Lease, LeaseLost, StreamState
from elastic_connector.lead.lease_keeper import LeaseKeeper
from scorer.elastic_client.moments import Millis
from scorer.wire.errors import ConfigurationError, NonsenseReply, Unreachable
from tests.elastic.conftest import Server
from tests.elastic.run_tools import eventually

SECONDS, POLL = 2.0, 0.5


@pytest.fixture(scope="module")
def client(installed: Server) -> Iterator[Elasticsearch]:
    made = installed.client(installed.runtime_key())
    yield made
    made.close()


@pytest.fixture
def contender(client: Elasticsearch, installed: Server) -> Iterator[Callable[..., Lease]]:
    """Makes contenders for one stream of this test."""
    name = f"lease-{uuid.uuid4().hex[:8]}"

    def make(**options: object) -> Lease:
        return Lease(client, "qscore-state", name, "lateral", SECONDS, POLL, **options)  # type: ignore[arg-type]

    yield make
    installed.admin.options(ignore_status=404).delete(index="qscore-state", id=f"{name}:lateral")


@dataclass
class Hand:
    """A monotonic clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_takes_it_and_the_second_waits_for_the_whole_lease(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader, standby = contender(), contender(clock=hand)
    assert leader.acquire("1")
    assert not standby.acquire("1")
    hand.now += SECONDS - 0.1
    assert not standby.acquire("1")
    hand.now += 0.2
    assert standby.acquire("1"), "nothing moved for the length of the lease"
    assert standby.epoch == leader.epoch + 1
    assert (leader.taken_over, standby.taken_over) == (False, True)


def test_every_renewal_starts_the_watch_anew(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader, standby = contender(), contender(clock=hand)
    leader.acquire()
    for _ in range(3):
        assert not standby.acquire()
        hand.now += SECONDS - 0.1
        leader.renew()
    assert not standby.acquire()


def test_clocks_that_are_minutes_apart_change_nothing(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader = contender(wall=lambda: time.time() - 300)
    standby = contender(wall=lambda: time.time() + 300, clock=hand)
    assert leader.acquire()
    assert not standby.acquire()
    hand.now += SECONDS / 2
    assert not standby.acquire()
    hand.now += SECONDS
    assert standby.acquire()


def test_the_checkpoint_is_handed_over_and_never_goes_back(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader, standby = contender(), contender(clock=hand)
    leader.acquire("3")
    leader.renew(Millis(1_772_352_900_250))
    leader.renew(Millis(1_772_352_900_000))
    standby.acquire()
    hand.now += SECONDS
    assert standby.acquire()
    assert standby.state is not None
    assert standby.state.checkpoint == 1_772_352_900_250


def test_a_leader_that_was_overtaken_learns_it_at_its_next_renewal(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader, standby = contender(), contender(clock=hand)
    leader.acquire()
    standby.acquire()
    hand.now += SECONDS
    assert standby.acquire()
    with pytest.raises(LeaseLost, match="is held by"):
        leader.renew(Millis(5))
    assert not leader.held()
    assert standby.held()


def test_a_leader_stops_before_its_lease_can_be_taken(contender: Callable[..., Lease]) -> None:
    hand = Hand()
    leader = contender(clock=hand)
    leader.acquire()
    assert leader.held()
    hand.now += 0.9 * SECONDS
    assert not leader.held(), "a standby may take it after the whole lease"


def test_a_lease_that_was_given_back_is_taken_at_once(contender: Callable[..., Lease]) -> None:
    leader, standby = contender(), contender()
    leader.acquire()
    assert not standby.acquire()
    leader.release(Millis(77))
    assert not leader.held()
    assert standby.acquire()
    assert standby.state is not None
    assert (standby.state.checkpoint, standby.epoch) == (77, 2)
    assert not standby.taken_over, "it was given, not taken"


def test_a_renewal_whose_answer_was_lost_is_recognised(contender: Callable[..., Lease]) -> None:
    leader = contender(clock=Hand())
    leader.acquire()
    before = leader.state
    leader.renew(Millis(10))
    leader.state = before  # as if the answer had never come
    leader.renew(Millis(20))
    assert leader.held()
    assert leader.state is not None
    assert leader.state.checkpoint == 20


def test_of_many_at_once_one_wins(contender: Callable[..., Lease]) -> None:
    contenders = [contender() for _ in range(4)]
    won: list[bool] = []
    threads = [threading.Thread(target=lambda lease=lease: won.append(lease.acquire())) for lease in contenders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]


def test_without_a_state_index_the_remedy_is_named(elasticsearch: Server) -> None:
    key = elasticsearch.api_key(f"lease-{uuid.uuid4().hex[:8]}", runtime_role(state_index="qscore-absent"))
    client = elasticsearch.client(key)
    lease = Lease(client, "qscore-absent", "s", "m", SECONDS, POLL)
    with pytest.raises(ConfigurationError, match=r"no index qscore-absent\. Run `qscore elastic install`"):
        lease.acquire()
    client.close()


def test_a_document_that_is_not_ours_is_refused(contender: Callable[..., Lease], installed: Server) -> None:
    lease = contender()
    installed.admin.index(index="qscore-state", id=lease.id, document={"owner": 3})
    with pytest.raises(NonsenseReply, match="cannot be read"):
        lease.acquire()


def test_the_keeper_goes_on_after_failed_renewals(contender: Callable[..., Lease], installed: Server) -> None:
    lease = contender()
    lease.acquire()
    real, dead = lease.client, Elasticsearch("http://127.0.0.1:9", request_timeout=1, max_retries=0)

    def written() -> int | None:
        return StreamState.from_response(installed.admin.get(index="qscore-state", id=lease.id).body).checkpoint

    with LeaseKeeper(lease, lambda: lease.epoch) as keeper:
        lease.client = dead
        assert eventually(lambda: not lease.held())
        assert not keeper.held(), "without renewals it may no longer submit"
        with pytest.raises(Unreachable):
            lease.renew()
        keeper.checkpoint = Millis(4242)
        lease.client = real
        assert eventually(keeper.held)
        assert eventually(lambda: written() == 4242), "a renewal that was under way may have held the one before"
        assert not keeper.lost
    dead.close()


def test_a_higher_epoch_on_the_queue_means_that_another_leads(contender: Callable[..., Lease]) -> None:
    lease = contender()
    lease.acquire()
    with LeaseKeeper(lease, lambda: lease.epoch + 1) as keeper:
        assert eventually(lambda: keeper.lost)
        assert not keeper.held()


def test_a_lease_counts_on_above_what_the_queue_knows(contender: Callable[..., Lease]) -> None:
    lease = contender()
    lease.acquire()
    lease.advance(9)
    assert lease.epoch == 9
    with pytest.raises(ValueError, match="not above"):
        lease.advance(9)
