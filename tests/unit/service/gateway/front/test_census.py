"""Who stays and who leaves where too many are connected."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from scorer.service.gateway.front.census import Census, Guest, Stage


@dataclass
class Door:
    """A census, and who had to leave."""

    census: Census
    left: list[str] = field(default_factory=list)

    def come(self, name: str, address: str = "192.0.2.1", stage: Stage = Stage.HEAD, since: float = 0.0) -> bool:
        guest = Guest(address, since, lambda: self.left.append(name), stage)
        return self.census.enter(guest, 100.0)[0]


def door(limit: int, per_address: int | None = None) -> Door:
    return Door(Census(limit, limit if per_address is None else per_address))


def test_an_address_that_has_too_many_loses_its_own() -> None:
    house = door(10, 2)
    assert house.come("other", "192.0.2.9", since=1.0)
    assert all(house.come(name, since=at) for name, at in (("a", 2.0), ("b", 3.0), ("c", 4.0)))
    assert house.left == ["a"]
    assert house.census.count == 3


def test_where_there_are_too_many_the_address_with_most_loses_one() -> None:
    house = door(4)
    house.come("alone", "192.0.2.9", since=1.0)
    for k in range(3):
        house.come(f"many{k}", since=2.0 + k)
    assert house.come("new", "192.0.2.8")
    assert house.left == ["many0"]


def test_the_slow_leave_before_the_idle_and_the_idle_before_newcomers() -> None:
    house = door(4)
    for name, stage, since in (
        ("handshaking", Stage.HANDSHAKE, 99.6),
        ("owes its head", Stage.HEAD, 99.7),
        ("idle", Stage.IDLE, 50.0),
        ("slow", Stage.HEAD, 98.0),
    ):
        house.come(name, stage=stage, since=since)
    for k in range(4):
        assert house.come(f"busy{k}", stage=Stage.BUSY)
    assert house.left == ["slow", "idle", "owes its head", "handshaking"]


def test_nobody_who_is_worked_on_has_to_leave() -> None:
    house = door(2)
    house.come("a", stage=Stage.BUSY)
    house.come("b", stage=Stage.BUSY)
    assert not house.come("c")
    assert house.left == []


def test_an_end_makes_room_and_is_counted_once() -> None:
    census = Census(1, 1)
    guest = Guest("192.0.2.1", 0.0, lambda: None, Stage.BUSY)
    assert census.enter(guest, 0.0)[0]
    census.leave(guest)
    census.leave(guest)
    assert census.count == 0
    assert guest not in census
    assert census.enter(Guest("192.0.2.2", 0.0, lambda: None), 0.0)[0]


@pytest.mark.parametrize(
    ("one", "another"),
    [("2001:db8::1", "2001:db8::2"), ("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::2%eth1")],
)
def test_one_host_is_one_address(one: str, another: str) -> None:
    house = door(9, 1)
    assert all(house.come(address, address) for address in (one, "192.0.2.8", "2001:db8:0:1::1", another))
    assert house.left == [one]


def test_a_request_for_which_nobody_answers_makes_room_as_others_do() -> None:
    house = door(3)
    house.come("slow", stage=Stage.LOOSE, since=98.0)
    house.come("known", stage=Stage.BUSY, since=1.0)
    house.come("just came", stage=Stage.LOOSE, since=99.9)
    assert all(house.come(name, stage=Stage.BUSY) for name in ("a", "b"))
    assert house.left == ["slow", "just came"]
    assert not house.come("c")
