"""Limits of one key: what it may have at once, what it hears beyond, and that nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.service.gateway.traffic.limits import KeyLimits, Load, Permit
from scorer.service.settings import LimitSettings, OwnLimits
from scorer.wire.errors import BodyTooLarge, OverLimit
from scorer.wire.names import MAX_ROWS


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock | None = None, places: int = 64, **settings: object) -> KeyLimits:
    return KeyLimits(LimitSettings.model_validate(settings), places, clock or Clock())


@contextmanager
def held(book: KeyLimits, key: str, *loads: Load) -> Iterator[list[Permit]]:
    with ExitStack() as stack:
        yield [stack.enter_context(book.reserve(key, load)) for load in loads]


@pytest.mark.parametrize(
    ("settings", "under_way", "next_one", "said"),
    [
        ({"bytes_under_way": 1000}, Load(600, 1), Load(401, 1), "600 bytes under way and may have 1000"),
        ({"rows_under_way": 10}, Load(1, 6), Load(1, 5), "6 rows under way and may have 10"),
        ({"batches_under_way": 1}, Load(1, 1), Load(1, 1), "1 batches under way and may have 1"),
    ],
)
def test_beyond_a_limit_its_key_hears_which_and_what_to_do(
    settings: dict[str, int], under_way: Load, next_one: Load, said: str
) -> None:
    book = KeyLimits(LimitSettings.model_validate(settings), 64)
    with held(book, "k1", under_way):
        with pytest.raises(OverLimit, match=said) as caught:
            book.reserve("k1", next_one)
        (name,) = settings
        assert f"(gateway.limits.{name} = {settings[name]})" in caught.value.detail
        assert (caught.value.status, caught.value.code, caught.value.retryable) == (429, "over_limit", True)
        assert caught.value.retry_after is not None
        book.reserve("k2", next_one).release()
    book.reserve("k1", next_one).release()


def test_up_to_the_limit_is_allowed() -> None:
    book = limits(bytes_under_way=1000, rows_under_way=10, batches_under_way=2)
    with held(book, "k1", Load(400, 4), Load(600, 6)):
        pass


def test_a_batch_that_never_fits_is_not_asked_to_come_again() -> None:
    book = limits(rows_under_way=10)
    with pytest.raises(BodyTooLarge, match="11 rows, and key k1 may have 10 under way") as caught:
        book.reserve("k1", Load(1, 11))
    assert not caught.value.retryable


def test_a_permit_is_given_back_once_whatever_happens() -> None:
    book = limits(batches_under_way=2)

    def fail() -> None:
        with book.reserve("k1", Load(1, 1)) as permit:
            permit.release()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with held(book, "k1", Load(1, 1), Load(1, 1)), pytest.raises(OverLimit):
        book.reserve("k1", Load(1, 1))


def test_the_pause_follows_from_how_long_batches_take() -> None:
    clock = Clock()
    book = limits(clock, rows_under_way=100)

    def pause(rows: int, seconds: float) -> float:
        with held(book, "k1", Load(1, 50), Load(1, 50)):
            clock.now += seconds
            with pytest.raises(OverLimit) as caught:
                book.reserve("k1", Load(1, rows))
        assert caught.value.retry_after is not None
        return caught.value.retry_after

    for _ in range(30):
        slow = pause(50, 8.0)
    assert slow == pytest.approx(4.0, rel=0.1)
    assert pause(100, 8.0) == pytest.approx(8.0, rel=0.1)
    for _ in range(30):
        quick = pause(50, 0.8)
    assert quick == pytest.approx(0.4, rel=0.1)


def test_requests_a_minute_come_back_one_by_one() -> None:
    clock = Clock()
    book = limits(clock, requests_per_minute=30)
    for _ in range(30):
        book.count_request("k1")
    with pytest.raises(
        OverLimit, match=r"more than 30 requests a minute \(gateway.limits.requests_per_minute = 30\)"
    ) as caught:
        book.count_request("k1")
    assert caught.value.retry_after == pytest.approx(2.0)
    book.count_request("k2")
    clock.now += 2.0
    book.count_request("k1")
    with pytest.raises(OverLimit):
        book.count_request("k1")
    clock.now += 3600.0
    for _ in range(30):
        book.count_request("k1")
    with pytest.raises(OverLimit):
        book.count_request("k1")


def test_a_key_may_have_limits_of_its_own() -> None:
    own = {"trusted": OwnLimits(batches_under_way=3, requests_per_minute=2)}
    book = limits(batches_under_way=1, rows_under_way=10, keys=own)
    with held(book, "trusted", Load(1, 1), Load(1, 1), Load(1, 1)), pytest.raises(OverLimit, match="may have 3"):
        book.reserve("trusted", Load(1, 1))
    with pytest.raises(BodyTooLarge):
        book.reserve("trusted", Load(1, 11))
    with held(book, "other", Load(1, 1)), pytest.raises(OverLimit, match="may have 1 "):
        book.reserve("other", Load(1, 1))


def test_a_search_head_with_sixteen_searches_is_not_held_back() -> None:
    """Each search sends a chunk of 50,000 rows in three requests; a row with its context is some 250 bytes."""
    book = limits()
    parts = [Load(250 * -(-MAX_ROWS // 3), -(-MAX_ROWS // 3))] * 3
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(held(book, "search-head", *parts))


@pytest.mark.parametrize(("places", "keys"), [(64, 1), (64, 2), (64, 9), (16, 1), (16, 3), (4, 1), (2, 1)])
def test_however_much_keys_take_there_is_a_place_for_the_next(places: int, keys: int) -> None:
    book = limits(places=places, batches_under_way=10_000)
    with ExitStack() as stack:
        counts = [0] * keys
        for _ in range(places):  # in turn, each as much as it gets
            for key in range(keys):
                with suppress(OverLimit):
                    stack.enter_context(book.reserve(f"k{key}", Load(1, 1)))
                    counts[key] += 1
        with pytest.raises(OverLimit, match=r"gateway\.connections"):
            book.reserve("k0", Load(1, 1))
        assert sum(counts) < places
        assert max(counts) - min(counts) <= 1
        book.reserve("another", Load(1, 1)).release()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_nothing_is_left_when_all_have_ended(batches: list[tuple[str, int, int]]) -> None:
    book = limits(bytes_under_way=100, rows_under_way=100, batches_under_way=5)
    with ExitStack() as stack:
        for key, size, rows in batches:
            with suppress(OverLimit):
                stack.enter_context(book.reserve(key, Load(size, rows)))
    for key in "abc":
        with held(book, key, Load(96, 96), Load(1, 1), Load(1, 1), Load(1, 1), Load(1, 1)):
            pass
