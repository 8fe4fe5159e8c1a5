"""A batch's way through the gateway, in an event loop: it waits without a thread, and gives everything back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import redis

from scorer.service.gateway.traffic.passages import Passage, Traffic
from scorer.service.gateway.traffic.turns import PER_PROCESS
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.lanes import SCORE
from scorer.service.queue.living import worker_name
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import OverLimit, ScoringTimeout

BATCHES = 4


@pytest.fixture
def settings(tmp_path: Path, client: redis.Redis) -> Settings:
    """Of a queue on the test's own server."""
    limits = {"batches_under_way": BATCHES}
    return load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/v.sock", gateway={"limits": limits})


@pytest.fixture
def traffic(settings: Settings) -> Traffic:
    return Traffic.of(settings.gateway, Exchanges.of(settings))


def passage(traffic: Traffic, key: str = "k", timeout: float = 30.0) -> Passage:
    return traffic.passage(key, 10, 2, timeout, SCORE)


def within(seconds: float, play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), seconds))


def test_a_batch_waits_in_the_loop_until_a_worker_has_answered_another(traffic: Traffic) -> None:
    async def play() -> None:
        first = [passage(traffic) for _ in range(PER_PROCESS)]
        for each in first:
            await each.turn()
        waiting = passage(traffic, "other")
        task = asyncio.create_task(waiting.turn())
        await asyncio.sleep(0.05)
        assert not task.done()
        # A request thread hears of the answer, long before the caller has read it.
        threading.Thread(target=first[0].answered).start()
        await task
        for each in (*first, waiting):
            each.release()
        assert traffic.limits.batches == 0

    within(20.0, play)


def test_a_turn_that_comes_too_late_is_a_timeout_and_takes_no_place(traffic: Traffic) -> None:
    async def play() -> None:
        held = [passage(traffic) for _ in range(PER_PROCESS)]
        for each in held:
            await each.turn()
        late = passage(traffic, "other", 0.05)
        with pytest.raises(ScoringTimeout, match="did not get its turn"):
            await late.turn()
        late.release()
        held[0].release()
        following = passage(traffic, "other")
        await following.turn()
        assert following.left > 20

    within(20.0, play)


def test_a_caller_that_leaves_while_it_waits_gives_everything_back(traffic: Traffic) -> None:
    async def play() -> None:
        held = [passage(traffic) for _ in range(BATCHES)]
        tasks = [asyncio.create_task(each.turn()) for each in held]
        await asyncio.sleep(0.05)
        with pytest.raises(OverLimit):
            passage(traffic)
        for task, each in zip(tasks, held, strict=True):
            task.cancel()
            each.release()
            each.release()
        assert (traffic.limits.batches, traffic.turns["score"].waiting) == (0, 0)
        for _ in range(PER_PROCESS):
            await passage(traffic).turn()

    within(20.0, play)


def test_as_many_places_as_workers_have_processes(traffic: Traffic, settings: Settings) -> None:
    queue = Exchanges.of(settings)
    queue.serving(SCORE).beat("score", worker_name("host", 1, 3))
    living = traffic.processes["score"]
    assert living.count == 1
    living.refresh()
    assert (living.count, traffic.turns["score"].places) == (3, 3 * PER_PROCESS)
    queue.serving(SCORE).sign_off("score", worker_name("host", 1, 3))
    living.refresh()
    assert living.count == 3  # asked for every two seconds at most
    queue.close()
