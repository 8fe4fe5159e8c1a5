"""Bodies on their way: their pace, and the memory that all of them share."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from scorer.service.gateway.front.bodies import FREE_BYTES, GATHERED_BYTES, BodyRooms, Incoming, Pace, Room
from scorer.wire.errors import MalformedBody, QScoreError, Unavailable

T = TypeVar("T")
QUIET = Pace(5.0, 1024.0)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def run(work: Callable[[], Awaitable[T]]) -> T:
    async def limited() -> T:
        async with asyncio.timeout(20.0):
            return await work()

    return asyncio.run(limited())


def reader_of(content: bytes, ended: bool = False) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    if ended:
        reader.feed_eof()
    return reader


async def arrived(rooms: BodyRooms, content: bytes) -> Incoming:
    incoming = Incoming(rooms, len(content))
    await incoming.receive(reader_of(content), QUIET)
    return incoming


@pytest.mark.parametrize("length", [0, 1, FREE_BYTES, FREE_BYTES + 1, GATHERED_BYTES + 1])
def test_a_body_arrives_as_it_was_sent(tmp_path: Path, threads: ThreadPoolExecutor, length: int) -> None:
    content = bytes(k % 251 for k in range(min(length, 5000))) * (length // 5000 + 1)

    async def work() -> bytes:
        incoming = await arrived(BodyRooms.of(64 << 20, 64 << 20, tmp_path, threads), content[:length])
        held = await incoming.load()
        incoming.close()
        return held.content()

    assert run(work) == content[:length]
    assert list(tmp_path.iterdir()) == []


def test_bodies_together_hold_no_more_memory_than_there_is_room(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Sixteen bodies of 1 MiB and 4 MiB of memory: two lie in memory, the others in files, and one after the other is
    brought back."""
    size = 1 << 20

    async def work() -> None:
        rooms = BodyRooms.of(4 * size, 64 * size, tmp_path, threads)
        bodies = [await arrived(rooms, bytes([k]) * size) for k in range(16)]
        assert not rooms.gathered.take_now(1)
        assert rooms.filed.take_now(64 * size - 14 * size)
        assert not rooms.filed.take_now(1)
        first, second = await bodies[2].load(), await bodies[3].load()
        third = asyncio.create_task(bodies[4].load())
        await asyncio.sleep(0.05)
        assert not third.done()
        first.free()
        assert (await third).content() == bytes([4]) * size
        second.free()
        for body in bodies:
            body.close()

    run(work)


def test_bodies_that_go_to_files_wait_for_that_with_little(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """Thirty-two bodies of which a megabyte came: half of one each at most is in memory."""

    async def work() -> None:
        rooms = BodyRooms.of(0, 1 << 30, tmp_path, threads)
        bodies = [Incoming(rooms, 9 << 20) for _ in range(32)]
        readers = [reader_of(b"x" * ((1 << 20) - 1)) for _ in bodies]
        tracemalloc.start()
        coming = [
            asyncio.create_task(body.receive(reader, QUIET)) for body, reader in zip(bodies, readers, strict=True)
        ]
        await asyncio.sleep(0.5)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        for reader in readers:
            reader.feed_eof()
        await asyncio.wait(coming)
        assert all(isinstance(task.exception(), MalformedBody) for task in coming)
        for body in bodies:
            body.close()
        assert held < 32 * (700 << 10)

    run(work)


def test_a_body_that_was_queued_leaves_its_room_to_the_next(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    size = 1 << 20

    async def work() -> None:
        rooms = BodyRooms.of(2 * size, 64 * size, tmp_path, threads)
        held = await (await arrived(rooms, b"x" * size)).load()
        assert not rooms.gathered.take_now(size)
        await asyncio.to_thread(held.free)
        held.free()
        await asyncio.sleep(0)
        assert rooms.gathered.take_now(size)
        assert held.content() == b""

    run(work)


def test_files_have_a_bound_of_their_own(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    async def work() -> None:
        rooms = BodyRooms.of(0, 1 << 20, tmp_path, threads)
        incoming = Incoming(rooms, 3 << 20)
        with pytest.raises(Unavailable, match="too many large bodies"):
            await incoming.receive(reader_of(b"x" * (3 << 20)), QUIET)
        incoming.close()
        assert rooms.filed.take_now(1 << 20)

    run(work)


def test_a_body_has_one_deadline_however_it_drips(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    """A byte each 50 ms, for ever: what counts is how much came, not that something did."""

    async def drip(reader: asyncio.StreamReader) -> None:
        while True:
            reader.feed_data(b"x")
            await asyncio.sleep(0.05)

    async def work() -> None:
        reader = asyncio.StreamReader()
        dripping = asyncio.create_task(drip(reader))
        with pytest.raises(QScoreError, match="of the body's 1000000 bytes came within") as caught:
            await Incoming(BodyRooms.of(0, 1 << 20, tmp_path, threads), 1_000_000).receive(reader, Pace(0.4, 1e6))
        assert caught.value.status == 408
        dripping.cancel()

    run(work)


def test_more_time_comes_with_more_bytes() -> None:
    assert (Pace(15.0, 1000.0).limit(0), Pace(15.0, 1000.0).limit(5000)) == (15.0, 20.0)


def test_a_body_that_ends_early_is_named(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    async def work() -> None:
        with pytest.raises(MalformedBody, match="stopped in the middle"):
            await Incoming(BodyRooms.of(0, 0, tmp_path, threads), 10).receive(reader_of(b"abc", ended=True), QUIET)

    run(work)


def test_room_is_given_in_order_and_not_to_those_who_left() -> None:
    async def work() -> None:
        room = Room(10)
        await room.take(8)
        large, gone, small = [asyncio.create_task(room.take(count)) for count in (9, 5, 1)]
        await asyncio.sleep(0)
        assert not room.take_now(1)  # it would pass the one who waits for nine
        gone.cancel()
        await asyncio.sleep(0)
        room.give(8)
        await asyncio.sleep(0)
        assert (large.done(), small.done()) == (True, True)
        assert not room.take_now(1)
        room.give(9)
        assert room.take_now(9)

    run(work)


def test_who_leaves_in_the_moment_in_which_room_is_given_has_just_left() -> None:
    async def work() -> None:
        room = Room(10)
        await room.take(10)
        leaving = asyncio.create_task(room.take(5))
        await asyncio.sleep(0)
        leaving.cancel()
        room.give(10)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert room.take_now(10)

    run(work)


def test_a_body_that_is_broken_off_is_named(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    async def work() -> None:
        reader = reader_of(b"abc")
        reader.set_exception(ConnectionResetError(104, "Connection reset by peer"))
        with pytest.raises(MalformedBody, match="stopped in the middle"):
            await Incoming(BodyRooms.of(0, 0, tmp_path, threads), 10).receive(reader, QUIET)

    run(work)
