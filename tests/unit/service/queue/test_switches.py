"""Models that are switched off: seen by every process, kept when the queue forgets, changed by two at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
import redis

from scorer.service.queue.closing.switches import EVERY, SwitchBoard, Switches, checked_target, read_switches
from scorer.wire.errors import BadOption, Disabled, Unavailable
from tests.integration.stack_tools import eventually

Boards = Callable[[str, redis.Redis], SwitchBoard]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Boards]:
    """``board(name, client)``: as a process of the home of this name has it; closed after the test."""
    with ExitStack() as boards:

        def make(name: str, client: redis.Redis) -> SwitchBoard:
            return boards.enter_context(closing(SwitchBoard(tmp_path / name / "switches.json", client)))

        yield make


def test_a_model_is_off_everywhere_within_seconds_and_on_again(board: Boards, client: redis.Redis) -> None:
    operator, worker = board("gateway", client), board("worker", client)
    assert not worker.now().stop("lateral")
    operator.change(lambda now: now.with_off("lateral"))
    assert eventually(lambda: worker.now().stop("lateral"), 5.0)
    assert not worker.now().stop("lateral_flow")
    with pytest.raises(Disabled, match="qscore enable lateral"):
        worker.now().check("lateral")
    operator.change(lambda now: now.without("lateral"))
    assert eventually(lambda: not worker.now().stop("lateral"), 5.0)


def test_a_board_that_is_closed_looks_no_more(board: Boards, client: redis.Redis) -> None:
    before, worker = set(threading.enumerate()), board("worker", client)
    assert not worker.now().stop("lateral")
    (looking,) = set(threading.enumerate()) - before
    worker.close()
    assert not looking.is_alive()
    board("gateway", client).change(lambda now: now.with_off("lateral"))
    assert not worker.now().stop("lateral"), "it says what it saw last"
    assert worker.read().stop("lateral")


def test_all_are_off_and_only_all_ends_it() -> None:
    state = Switches().with_off("lateral").with_off(EVERY)
    assert state.stop("lateral")
    assert state.stop("anything")
    with pytest.raises(BadOption, match="enable all"):
        state.without("lateral")
    assert state.without(EVERY).disabled == ()
    with pytest.raises(BadOption, match="is not disabled"):
        Switches().without("lateral")


def test_what_the_queue_has_forgotten_is_put_there_again(board: Boards, client: redis.Redis) -> None:
    """An embedded server without a sink keeps nothing on its disk: a disabled model must not score after a restart."""
    operator, worker = board("gateway", client), board("worker", client)
    operator.change(lambda now: now.with_off("lateral"))
    assert worker.now().stop("lateral")
    client.flushall()
    assert worker.now().stop("lateral")
    assert board("gateway", client).now().stop("lateral"), "a gateway that starts anew"
    assert board("third", client).now().stop("lateral"), "and whoever asks the queue after it"


def test_an_older_state_never_takes_the_place_of_a_later_one(board: Boards, client: redis.Redis) -> None:
    operator = board("gateway", client)
    operator.change(lambda now: now.with_off("lateral"))
    late = board("machine that was away", client)
    late.change(lambda now: now.with_off("lateral_flow"))
    assert operator.change(lambda now: now.without("lateral")).disabled == ("lateral_flow",)
    assert late.read().disabled == ("lateral_flow",)


def test_changes_at_the_same_time_are_all_kept(board: Boards, client: redis.Redis) -> None:
    def switch(number: int) -> None:
        board(f"host{number}", client).change(lambda now: now.with_off(f"model_{number}"))

    threads = [threading.Thread(target=switch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = board("reader", client).read()
    assert state.disabled == tuple(sorted(f"model_{number}" for number in range(8)))
    assert state.serial == 8


def test_without_the_queue_it_holds_on_this_machine_and_reaches_the_others_later(
    board: Boards, client: redis.Redis, away: redis.Redis
) -> None:
    with pytest.raises(Unavailable):
        board("gateway", away).change(lambda now: now.with_off("lateral"))
    assert board("gateway", away).now().stop("lateral")
    assert board("gateway", client).now().stop("lateral")
    assert board("worker", client).now().stop("lateral")


def test_what_two_machines_switched_off_apart_is_off_on_both(
    board: Boards, client: redis.Redis, away: redis.Redis
) -> None:
    """While the queue is away each changes its own file, and both states have one serial."""
    names = {"one": "lateral", "two": "lateral_flow"}
    for machine, model in names.items():
        with pytest.raises(Unavailable):
            board(machine, away).change(partial(Switches.with_off, model=model))
    for machine in names:
        board(machine, client).now()
    both = ("lateral", "lateral_flow")
    assert eventually(lambda: all(board(machine, client).now().disabled == both for machine in (*names, "third")))


def test_a_full_server_does_not_keep_a_model_on(board: Boards, client: redis.Redis) -> None:
    worker = board("worker", client)
    assert not worker.now().stop("lateral")
    client.config_set("maxmemory", "1")
    board("gateway", client).change(lambda now: now.with_off("lateral"))
    assert eventually(lambda: worker.now().stop("lateral"), 5.0)


@pytest.mark.parametrize(
    "raw", [None, b"", b"{", b"[]", b'{"serial": -1}', b'{"serial": 1, "disabled": 7}', b"\xff", b"null"]
)
def test_nonsense_disables_nothing(raw: bytes | None) -> None:
    assert read_switches(raw) == Switches()


def test_nonsense_on_the_queue_is_overwritten_by_the_next_change(board: Boards, client: redis.Redis) -> None:
    for raw in (b"nonsense", b'{"serial": "many"}', b"[1]"):
        client.set("qscore:switches", raw)
        operator = board("gateway", client)
        assert operator.change(lambda now: now.with_off("lateral")).stop("lateral")
        assert board("worker", client).read().stop("lateral")


@pytest.mark.parametrize("model", ["laterall", "../x", "", "All", "a b"])
def test_a_name_that_would_stop_nothing_is_refused(model: str) -> None:
    with pytest.raises(BadOption, match=r"lateral, all"):
        checked_target(model, ["lateral"])


def test_known_names_and_all_are_taken_and_any_name_where_no_registry_is() -> None:
    assert checked_target("lateral", ["lateral"]) == "lateral"
    assert checked_target(EVERY, ["lateral"]) == EVERY
    assert checked_target("elsewhere", []) == "elsewhere"
