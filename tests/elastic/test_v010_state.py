"""A connector of today goes on where one of 0.1.0 stopped: after its lease, above its epoch, from its checkpoint."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.elastic.conftest import Server
from tests.elastic.run_tools import MAPPINGS, MODEL, Site, once, running_beside
from tests.v010 import content

HOUR = 3600.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, installed: Server) -> Iterator[Path]:
    with running_beside(installed, tmp_path_factory.mktemp("v010") / "home") as folder:
        yield folder


@pytest.fixture
def site(home: Path, installed: Server) -> Iterator[Site]:
    """A source index with a mapping and nothing in it."""
    mark = uuid.uuid4().hex[:8]
    made = Site(installed, home, f"logs-v010.{mark}", f"v010{mark}", f"s-{mark}", home / "runtime_key")
    installed.admin.indices.create(index=made.index, mappings=MAPPINGS)
    made.configure()
    yield made
    made.clean()


@pytest.mark.parametrize("name", ["held", "released"])
def test_the_source_is_read_on_from_the_checkpoint(site: Site, name: str) -> None:
    now = time.time()
    checkpoint = datetime.fromtimestamp(now - 2 * HOUR, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    state = content(f"state_{name}.json")["_source"]
    state |= {"source": site.source, "model": MODEL, "version": "1-starter", "checkpoint": {"time": checkpoint}}
    site.server.admin.index(index="qscore-state", id=f"{site.source}:{MODEL}", document=state, refresh=True)
    site.add(40, ingested=now - 3 * HOUR)  # which 0.1.0 had scored
    site.add(25, start=40, ingested=now - HOUR)
    done = once(site)
    assert done.process.returncode == 0, done.said
    assert site.counts() == {f"d{k}": 1 for k in range(40, 65)}
    found = site.state()
    assert (found["owner"], found["epoch"]) == ("", state["epoch"] + 1)
    assert found["checkpoint"]["time"] > checkpoint
