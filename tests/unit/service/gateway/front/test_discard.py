"""What refused callers still send is read away, for so many at once."""

from __future__ import annotations

import asyncio

from scorer.service.gateway.front.discard import Discard


def test_so_many_at_once_whether_their_length_is_known_or_not() -> None:
    async def work() -> None:
        discard = Discard(seconds=5.0, most=1)
        first = asyncio.create_task(discard.rest(asyncio.StreamReader(), 10))
        await asyncio.sleep(0)
        for length in (10, None):
            reader = asyncio.StreamReader()
            reader.feed_data(b"x" * 10)
            async with asyncio.timeout(1.0):
                assert await discard.rest(reader, length) is False
            assert await reader.read(10) == b"x" * 10, "nothing was read of it"
        assert await discard.rest(asyncio.StreamReader(), 0) is True, "where nothing comes nothing is read"
        first.cancel()

    asyncio.run(work())
