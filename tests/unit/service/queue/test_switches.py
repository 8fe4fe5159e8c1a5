"""Models that are switched off: seen by every process, kept when the queue forgets, changed by two at a time."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest
import redis

from scorer.service.queue.closing.switches import EVERY, SwitchBoard, Switches, checked_target, read_switches
from scorer.wire.errors import BadOption, Disabled, Unavailable
from tests.integration.stack_tools import eventually


def board(folder: Path, name: str, client: redis.Redis) -> SwitchBoard:
    return SwitchBoard(folder / name / "switches.json", client)


def test_a_model_is_off_everywhere_within_seconds_and_on_again(tmp_path: Path, client: redis.Redis) -> None:
    operator, worker = board(tmp_path, "gateway", client), board(tmp_path, "worker", client)
    assert not worker.now().stop("lateral")
    operator.change(lambda now: now.with_off("lateral"))
    assert eventually(lambda: worker.now().stop("lateral"), 5.0)
    assert not worker.now().stop("lateral_flow")
    with pytest.raises(Disabled, match="qscore enable lateral"):
        worker.now().check("lateral")
    operator.change(lambda now: now.without("lateral"))
    assert eventually(lambda: not worker.now().stop("lateral"), 5.0)


def test_all_are_off_and_only_all_ends_it() -> None:
    state = Switches().with_off("lateral").with_off(EVERY)
    assert state.stop("lateral")
    assert state.stop("anything")
    with pytest.raises(BadOption, match="enable all"):
        state.without("lateral")
    assert state.without(EVERY).disabled == ()
    with pytest.raises(BadOption, match="is not disabled"):
        Switches().without("lateral")


def test_what_the_queue_has_forgotten_is_put_there_again(tmp_path: Path, client: redis.Redis) -> None:
    """An embedded server without a sink keeps nothing on its disk: a disabled model must not score after a restart."""
    operator, worker = board(tmp_path, "gateway", client), board(tmp_path, "worker", client)
    operator.change(lambda now: now.with_off("lateral"))
    assert worker.now().stop("lateral")
    client.flushall()
    assert worker.now().stop("lateral")
    assert board(tmp_path, "gateway", client).now().stop("lateral"), "a gateway that starts anew"
    assert board(tmp_path, "third", client).now().stop("lateral"), "and whoever asks the queue after it"


def test_an_older_state_never_takes_the_place_of_a_later_one(tmp_path: Path, client: redis.Redis) -> None:
    operator = board(tmp_path, "gateway", client)
    operator.change(lambda now: now.with_off("lateral"))
    late = board(tmp_path, "machine that was away", client)
    late.change(lambda now: now.with_off("lateral_flow"))
    assert operator.change(lambda now: now.without("lateral")).disabled == ("lateral_flow",)
    assert late.read().disabled == ("lateral_flow",)


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path, client: redis.Redis) -> None:
    def switch(number: int) -> None:
        board(tmp_path, f"host{number}", client).change(lambda now: now.with_off(f"model_{number}"))

    threads = [threading.Thread(target=switch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = board(tmp_path, "reader", client).read()
    assert state.disabled == tuple(sorted(f"model_{number}" for number in range(8)))
    assert state.serial == 8


def test_without_the_queue_it_holds_on_this_machine_and_reaches_the_others_later(
    tmp_path: Path, client: redis.Redis
) -> None:
    nowhere = redis.Redis(unix_socket_path=str(tmp_path / "no.sock"))
    with pytest.raises(Unavailable):
        board(tmp_path, "gateway", nowhere).change(lambda now: now.with_off("lateral"))
    assert board(tmp_path, "gateway", nowhere).now().stop("lateral")
    assert board(tmp_path, "gateway", client).now().stop("lateral")
    assert board(tmp_path, "worker", client).now().stop("lateral")


def test_what_two_machines_switched_off_apart_is_off_on_both(tmp_path: Path, client: redis.Redis) -> None:
    """While the queue is away each changes its own file, and both states have one serial."""
    nowhere = redis.Redis(unix_socket_path=str(tmp_path / "no.sock"))
    names = {"one": "lateral", "two": "lateral_flow"}
    for machine, model in names.items():
        with pytest.raises(Unavailable):
            board(tmp_path, machine, nowhere).change(partial(Switches.with_off, model=model))
    for machine in names:
        board(tmp_path, machine, client).now()
    both = ("lateral", "lateral_flow")
    assert eventually(
        lambda: all(board(tmp_path, machine, client).now().disabled == both for machine in (*names, "third"))
    )


def test_a_full_server_does_not_keep_a_model_on(tmp_path: Path, client: redis.Redis) -> None:
    worker = board(tmp_path, "worker", client)
    assert not worker.now().stop("lateral")
    client.config_set("maxmemory", "1")
    board(tmp_path, "gateway", client).change(lambda now: now.with_off("lateral"))
    assert eventually(lambda: worker.now().stop("lateral"), 5.0)


@pytest.mark.parametrize(
    "raw", [None, b"", b"{", b"[]", b'{"serial": -1}', b'{"serial": 1, "disabled": 7}', b"\xff", b"null"]
)
def test_nonsense_disables_nothing(raw: bytes | None) -> None:
    assert read_switches(raw) == Switches()


def test_nonsense_on_the_queue_is_overwritten_by_the_next_change(tmp_path: Path, client: redis.Redis) -> None:
    for raw in (b"nonsense", b'{"serial": "many"}', b"[1]"):
        client.set("qscore:switches", raw)
        operator = board(tmp_path, "gateway", client)
        assert operator.change(lambda now: now.with_off("lateral")).stop("lateral")
        assert board(tmp_path, "worker", client).read().stop("lateral")


@pytest.mark.parametrize("model", ["laterall", "../x", "", "All", "a b"])
def test_a_name_that_would_stop_nothing_is_refused(model: str) -> None:
    with pytest.raises(BadOption, match=r"lateral, all"):
        checked_target(model, ["lateral"])


def test_known_names_and_all_are_taken_and_any_name_where_no_registry_is() -> None:
    assert checked_target("lateral", ["lateral"]) == "lateral"
    assert checked_target(EVERY, ["lateral"]) == EVERY
    assert checked_target("elsewhere", []) == "elsewhere"
