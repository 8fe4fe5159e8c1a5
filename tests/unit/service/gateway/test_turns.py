"""Fair turns between keys: who comes next, who waits, and who is told that waiting is of no use."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.service.gateway.fair_queue import FairQueue
from scorer.service.gateway.turns import PER_PROCESS, Batch, Turns
from scorer.wire.errors import QScoreError, QueueFull, ScoringTimeout
from tests.integration.stack_tools import eventually

SOON = 20.0  # seconds; no test waits for so long


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
    """Turns with as many processes as a test says, and callers in threads of their own."""

    processes: int = 1
    most_waiting: int = 1000
    order: list[str] = field(default_factory=list)
    errors: list[QScoreError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns(lambda: self.processes, self.most_waiting)
        self.threads: list[threading.Thread] = []

    def ask(self, key: str, rows: int = 100, seconds: float = SOON, lasts: float = 0.0) -> None:
        """Ask for a turn from another thread; returns when it waits, has its turn, or was refused."""
        before, known = self.turns.waiting, len(self.order) + len(self.errors)

        def run() -> None:
            try:
                with self.turns.turn(Batch(key, rows, time.monotonic() + seconds)):
                    self.order.append(key)
                    time.sleep(lasts)
            except QScoreError as error:
                self.errors.append(error)

        thread = threading.Thread(target=run)
        self.threads.append(thread)
        thread.start()
        assert eventually(lambda: self.turns.waiting > before or len(self.order) + len(self.errors) > known)

    @contextmanager
    def full(self) -> Iterator[ExitStack]:
        """All places are taken within the block; closing what it yields frees them earlier."""
        with ExitStack() as stack:
            for _ in range(PER_PROCESS * self.processes):
                stack.enter_context(self.turns.turn(Batch("first", 1, time.monotonic() + SOON)))
            yield stack

    def join(self) -> None:
        for thread in self.threads:
            thread.join(SOON)
        assert not any(thread.is_alive() for thread in self.threads)


def test_one_keys_flood_does_not_push_out_another() -> None:
    stage = Stage()
    with stage.full():
        for _ in range(30):
            stage.ask("flood", 50_000)
        stage.ask("search")
        assert stage.order == []
    stage.join()
    assert stage.order.index("search") <= 2
    assert Counter(stage.order) == {"flood": 30, "search": 1}


def test_no_more_than_two_batches_for_each_process_are_on_the_queue() -> None:
    stage = Stage(processes=3)
    now = most = 0
    lock = threading.Lock()

    def score(key: int) -> None:
        nonlocal now, most
        for _ in range(5):
            with stage.turns.turn(Batch(f"k{key % 3}", 10, time.monotonic() + SOON)):
                with lock:
                    now += 1
                    most = max(most, now)
                time.sleep(0.005)
                with lock:
                    now -= 1

    threads = [threading.Thread(target=score, args=(key,)) for key in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, now, stage.turns.waiting) == (PER_PROCESS * 3, 0, 0)


def test_who_waits_too_long_leaves_and_takes_no_place() -> None:
    stage = Stage()
    with stage.full():
        stage.ask("late", seconds=0.05)
        stage.join()
        (error,) = stage.errors
        assert isinstance(error, ScoringTimeout)
        assert "did not get its turn" in error.detail
        assert stage.turns.waiting == 0
        stage.ask("other")
    stage.join()
    assert stage.order == ["other"]


def test_what_cannot_be_scored_in_time_never_gets_a_place() -> None:
    stage = Stage()
    with stage.turns.turn(Batch("k", 100, time.monotonic() + SOON)):
        time.sleep(0.2)
    for seconds in (-1.0, 0.001):
        with pytest.raises(ScoringTimeout, match="a batch of 100 rows takes"):
            stage.turns.turn(Batch("bid", 100, time.monotonic() + seconds)).__enter__()
    with stage.full():  # every place is free again
        pass


def test_too_many_that_wait_are_refused_with_a_pause() -> None:
    stage = Stage(most_waiting=2)
    with stage.turns.turn(Batch("k", 100, time.monotonic() + SOON)):
        time.sleep(0.2)
    with stage.full():
        stage.ask("a")
        stage.ask("b")
        with pytest.raises(QueueFull, match="2 batches wait in this gateway, of at most 2") as caught:
            stage.turns.turn(Batch("c", 1, time.monotonic() + SOON)).__enter__()
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 0.1
    stage.join()


def test_a_failure_frees_its_place_and_says_nothing_of_how_long_batches_take() -> None:
    stage = Stage()

    def fail() -> None:
        with stage.turns.turn(Batch("k", 1, time.monotonic() + SOON)):
            time.sleep(0.02)
            raise ScoringTimeout("no worker answered")

    for _ in range(5):
        with pytest.raises(ScoringTimeout):
            fail()
    with stage.turns.turn(Batch("k", 1, time.monotonic() + 0.01)):
        pass


def test_without_a_worker_nobody_waits_for_a_turn() -> None:
    stage = Stage(processes=0)
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(stage.turns.turn(Batch("k", 1, time.monotonic() + SOON)))


@pytest.mark.parametrize("seed", range(5))
def test_places_are_all_free_in_the_end(seed: int) -> None:
    """Whatever order batches come, are refused and end in."""
    turns, draw = Turns(lambda: 2, 4), random.Random(seed)  # noqa: S311  # no secret
    held: list[ExitStack] = []
    refused = 0
    for _ in range(60):
        if held and draw.random() < 0.4:
            held.pop(draw.randrange(len(held))).close()
            continue
        stack = ExitStack()
        try:
            batch = Batch(draw.choice("ab"), 1, time.monotonic() + 0.001)
            stack.enter_context(turns.turn(batch))
        except ScoringTimeout:
            refused += 1
        else:
            held.append(stack)
    for stack in held:
        stack.close()
    assert refused > 0
    with ExitStack() as stack:
        for _ in range(PER_PROCESS * 2):
            stack.enter_context(turns.turn(Batch("c", 1, time.monotonic() + SOON)))
    assert turns.waiting == 0
