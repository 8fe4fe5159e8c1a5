"""Fair turns between keys: who comes next, who waits, and who is told that waiting is of no use."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.service.gateway.traffic.fair_queue import FairQueue
from scorer.service.gateway.traffic.turns import PER_PROCESS, Batch, Turn, Turns
from scorer.wire.errors import ScoringTimeout


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 50_500)), max_size=80))
def test_every_item_comes_out_once_and_each_keys_in_order(items: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number, (key, cost) in enumerate(items):
        queue.push(key, cost, (key, number))
    out = [queue.pop() for _ in items]
    assert not queue
    assert sorted(out, key=lambda item: item[1]) == [(key, number) for number, (key, _cost) in enumerate(items)]
    for key in "abcd":
        numbers = [number for of, number in out if of == key]
        assert numbers == sorted(numbers)


@given(st.integers(2, 5), st.lists(st.integers(1_000, 50_500), min_size=5, max_size=5))
def test_keys_that_always_wait_get_equal_shares(keys: int, costs: list[int]) -> None:
    queue: FairQueue[int] = FairQueue()
    given_to = [0] * keys
    for key in range(keys):
        for _ in range(3):
            queue.push(str(key), costs[key], key)
    while min(given_to) < 20 * max(costs[:keys]):
        key = queue.pop()
        given_to[key] += costs[key]
        queue.push(str(key), costs[key], key)
        # Two batches each at most, whatever they cost.
        assert max(given_to) - min(given_to) <= 2 * max(costs[:keys])


def test_a_key_that_comes_anew_is_next_however_many_wait() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.push("flood", 50_500, f"flood {number}")
    for _ in range(10):
        queue.pop()
    queue.push("search", 503, "search")
    assert "search" in [queue.pop(), queue.pop()]


def test_what_was_not_served_costs_nothing() -> None:
    queue: FairQueue[str] = FairQueue()
    for key in ("a", "b"):
        queue.push(key, 10, f"{key} first")
    queue.push("a", 1000, "given up")
    queue.refund("a", 1000)
    queue.push("a", 10, "a second")
    queue.push("b", 1000, "b second")
    order = [queue.pop() for _ in range(5)]
    assert order.index("a second") < 4


@dataclass
class Stage:
    """Turns on a clock that the test sets. ``came``: keys, in the order in which their turns came; ``woken``: of those
    who had to wait."""

    processes: int = 1
    most: int = 1000
    now: float = 1000.0
    came: list[str] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns(lambda: self.processes, self.most, lambda: self.now)

    def join(self, key: str, rows: int = 100, seconds: float = 60.0) -> Turn:
        def wake() -> None:
            self.came.append(key)
            self.woken.append(key)

        turn = self.turns.join(Batch(key, rows, self.now + seconds), wake)
        if turn.came is not None:
            self.came.append(key)
        return turn

    def serve(self, turn: Turn, seconds: float = 1.0) -> None:
        """A worker answers a batch that has a place."""
        assert turn.came is not None
        self.now += seconds
        turn.end(served=True)


def serve_all(stage: Stage, turns: list[Turn]) -> None:
    """Answer one after the other, in the order in which they came onto the queue."""
    left = list(turns)
    while left:
        first = min((turn for turn in left if turn.came is not None), key=lambda turn: turn.came or 0.0)
        left.remove(first)
        stage.serve(first)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_two_batches_for_each_process_are_on_the_queue(processes: int) -> None:
    stage = Stage(processes)
    turns = [stage.join(f"k{number % 3}") for number in range(20)]
    assert (len(stage.came), stage.turns.waiting) == (PER_PROCESS * processes, 20 - PER_PROCESS * processes)
    for _ in range(3):
        stage.serve(next(turn for turn in turns if turn.came is not None and not turn.over))
    assert len(stage.came) == PER_PROCESS * processes + 3


def test_whose_turn_comes_at_once_is_not_woken() -> None:
    stage = Stage()
    first = [stage.join("a") for _ in range(PER_PROCESS)]
    later = stage.join("b")
    assert ([turn.came is None for turn in (*first, later)], stage.woken) == ([False] * PER_PROCESS + [True], [])
    stage.serve(first[0])
    assert (later.came, stage.woken) == (stage.now, ["b"])


def test_one_keys_flood_does_not_push_out_another() -> None:
    stage = Stage()
    flood = [stage.join("flood", 50_000) for _ in range(30)]
    search = stage.join("search")
    assert stage.came == ["flood"] * PER_PROCESS
    serve_all(stage, [*flood, search])
    assert stage.came.index("search") <= PER_PROCESS + 1
    assert Counter(stage.came) == {"flood": 30, "search": 1}


def test_keys_that_send_all_the_time_get_as_many_rows_as_each_other() -> None:
    stage, rows = Stage(), {"large": 50_000, "small": 1_000}
    turns = [stage.join(key, rows[key]) for key in rows for _ in range(300)]
    while stage.came.count("large") < 6:
        stage.serve(next(turn for turn in turns if turn.came is not None and not turn.over))
    # The first two came when nobody else was there.
    assert 3 * 50_500 <= stage.came.count("small") * 1_500 <= 5 * 50_500


def test_who_leaves_frees_nothing_that_it_did_not_have() -> None:
    stage = Stage()
    held = [stage.join("a") for _ in range(PER_PROCESS)]
    late, other = stage.join("late"), stage.join("other")
    late.end()
    late.end()
    assert (stage.turns.waiting, stage.came) == (1, ["a"] * PER_PROCESS)
    stage.serve(held[0])
    assert stage.came[-1] == "other"
    assert other.came is not None
    assert "1 others wait" not in stage.turns.too_late(late.batch).detail


def test_what_cannot_be_scored_in_time_is_refused() -> None:
    stage = Stage()
    stage.turns.check_time(Batch("k", 100, stage.now + 0.001))  # nothing is known yet
    stage.serve(stage.join("k", 100), 0.4)
    for seconds in (-1.0, 0.0, 0.001, 0.19):
        with pytest.raises(ScoringTimeout, match=r"a batch of 100 rows takes 0\.2 s or more"):
            stage.turns.check_time(Batch("bid", 100, stage.now + seconds))
    stage.turns.check_time(Batch("k", 100, stage.now + 0.21))
    with pytest.raises(ScoringTimeout):
        stage.turns.check_time(Batch("bid", 1_000, stage.now + 0.21))


def test_only_answers_say_how_long_batches_take() -> None:
    stage = Stage()
    turn = stage.join("k")
    stage.now += 30.0
    turn.end()
    stage.turns.check_time(Batch("k", 100, stage.now + 0.001))
    pause = stage.turns.pause()
    stage.serve(stage.join("k"), 4.0)
    assert pause < stage.turns.pause() == pytest.approx(4.0 / PER_PROCESS)


def test_without_a_worker_nobody_waits_for_a_turn() -> None:
    stage = Stage(processes=0, most=50)
    for _ in range(10):
        stage.join("k")
    assert len(stage.came) == 10


def test_a_large_fleet_gets_no_more_than_there_are_threads() -> None:
    stage = Stage(processes=100, most=32)
    for _ in range(40):
        stage.join("k")
    assert len(stage.came) == 32


@pytest.mark.parametrize("seed", range(20))
def test_places_are_all_free_in_the_end(seed: int) -> None:
    """Whatever order batches come, leave and end in."""
    stage, draw = Stage(2), random.Random(seed)  # noqa: S311  # no secret
    turns: list[Turn] = []
    for _ in range(200):
        if turns and draw.random() < 0.5:
            turns.pop(draw.randrange(len(turns))).end(served=draw.random() < 0.5)
        else:
            turns.append(stage.join(draw.choice("abc"), draw.randrange(50_000)))
        assert sum(turn.came is not None for turn in turns) == min(len(turns), 2 * PER_PROCESS)
        assert stage.turns.waiting == max(0, len(turns) - 2 * PER_PROCESS)
