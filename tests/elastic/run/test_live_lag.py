"""How far live scoring is behind, as a backfill asks for it: by what waits, and not by the age of the checkpoint."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from elastic_connector.history.source_history import History
from elastic_connector.lead.lease import Lease
from scorer.elastic_client.client import connect
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.moments import later
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.registry.store import card_of
from tests.conftest import make_tiny_model
from tests.elastic.conftest import Server
from tests.elastic.run_tools import MAPPINGS, MODEL, connection

SETTLE = 30.0
DAY = 86_400.0

Past = Callable[[str], tuple[History, Lease]]


@pytest.fixture
def index(installed: Server) -> Iterator[str]:
    name = f"logs-e1l.{uuid.uuid4().hex[:8]}"
    installed.admin.indices.create(index=name, mappings=MAPPINGS)
    yield name
    installed.admin.indices.delete(index=name)


@pytest.fixture
def past(installed: Server, index: str, key_file: Callable[[str], Path], namespace: str) -> Iterator[Past]:
    """A history of the source for a model of some grain, and the lease of the leader that scores it live."""
    source = ElasticSource(name=f"s-{uuid.uuid4().hex[:8]}", index=index, model=MODEL)
    elastic = ElasticSettings(
        url=installed.url, api_key_file=key_file(installed.runtime_key()), settle_seconds=SETTLE, sources=(source,)
    )
    with connect(elastic) as client:

        def make(grain: str) -> tuple[History, Lease]:
            card = card_of(dataclasses.replace(make_tiny_model(MODEL), grain=grain), "1")
            lease = Lease(client, elastic.state_index, source.name, MODEL, 600.0, 5.0)
            assert lease.acquire("1")
            return History(client, elastic, source, card, ServerClock(client)), lease

        yield make
    installed.admin.options(ignore_status=404).delete(index="qscore-state", id=f"{source.name}:{MODEL}")


def arrive(server: Server, index: str, when: float) -> None:
    server.admin.index(index=index, document=connection(1, when), refresh=True)


def test_a_source_in_which_nothing_happens_is_not_behind(installed: Server, index: str, past: Past) -> None:
    history, live = past("event")
    now = history.clock.now()
    assert history.live_lag() is None, "nothing was ever acknowledged"
    arrive(installed, index, now - 2 * DAY)
    live.renew(later(history.clock.millis(), -DAY))
    assert history.live_lag() == 0.0, "the checkpoint is a day old, and nothing has come since"
    arrive(installed, index, now - 5)
    assert history.live_lag() == 0.0, "not settled yet"
    arrive(installed, index, now - SETTLE - 200)
    assert history.live_lag() == pytest.approx(200, abs=60)
    live.renew(history.clock.millis())
    assert history.live_lag() == 0.0
    live.release()
    assert history.live_lag() is None, "nobody scores it live"


def test_a_window_that_is_open_is_no_lag(past: Past) -> None:
    history, live = past("window")
    span = history.recipe.span
    live.renew(later(history.clock.millis(), -span))
    assert history.live_lag() == 0.0, "the first arrival in the open window holds the checkpoint until it closes"


def test_windows_that_closed_and_wait_are_lag(past: Past) -> None:
    history, live = past("window")
    live.renew(later(history.clock.millis(), -(history.recipe.span + SETTLE + 300)))
    assert history.live_lag() == pytest.approx(300, abs=60)
