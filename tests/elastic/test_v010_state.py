"""A connector of today goes on where one of 0.1.0 stopped: after its lease, above its epoch, from its checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scorer.delivery.scored import ScoringFacts, scored_rows
from tests.elastic.conftest import Server
from tests.elastic.run_tools import MAPPINGS, MODEL, Site, once, running_beside
from tests.elastic.sink_tools import make_elastic_sink
from tests.unit.delivery.builders import make_batches, make_card
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


def test_what_0_1_0_wrote_after_its_checkpoint_is_not_written_again(site: Site) -> None:
    """A leader that was killed had written more than its checkpoint says: under ids that nothing makes any more."""
    now = time.time()
    checkpoint = datetime.fromtimestamp(now - 2 * HOUR, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    state = content("state_released.json")["_source"]
    state |= {"source": site.source, "model": MODEL, "version": "1-starter", "checkpoint": {"time": checkpoint}}
    site.server.admin.index(index="qscore-state", id=f"{site.source}:{MODEL}", document=state, refresh=True)
    site.add(30, ingested=now - HOUR)
    written_by_0_1_0(site, 12)
    site.server.admin.indices.rollover(alias=site.stream)
    assert once(site).process.returncode == 0
    assert site.counts() == {f"d{k}": 1 for k in range(30)}
    told = qscore(site, "reconcile")
    assert "rows: 30, with a score: 30" in told
    assert "duplicates: 0" in told
    assert "rows: 30, there already: 30, written: 0" in qscore(site, "backfill", "--yes")


def written_by_0_1_0(site: Site, documents: int) -> None:
    """Scores of the first documents, with the ids that 0.1.0 made."""
    batch, scores = make_batches(
        documents, origin_id=[f"d{k}" for k in range(documents)], index=[site.index] * documents
    )
    card = replace(make_card(), name=MODEL, grain="event")
    rows = scored_rows(batch, replace(scores, model=MODEL), card, ScoringFacts(errors=True, scored=time.time())).rows
    assert make_elastic_sink(site.server.url, site.key_file, site.namespace).send(rows).taken == documents


def qscore(site: Site, *arguments: str) -> str:
    """A command about the source's last day, run to its end."""
    command = [sys.executable, "-m", "scorer.cli.main", "elastic", *arguments]
    now = datetime.now(UTC)
    given = ["--source", site.source, "--from", (now - timedelta(days=1)).isoformat(), "--to", now.isoformat()]
    variables = os.environ | {"QSCORE_HOME": str(site.home), "COLUMNS": "160"}
    done = subprocess.run([*command, *given], env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
