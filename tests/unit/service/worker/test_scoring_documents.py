"""Rows of a search become documents as whole as the connector's, where documents are what the sink writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.registry.store import Registry
from scorer.service.queue.jobs import ScoreJob
from scorer.service.worker.model_cache import HeldModel, ModelCache
from scorer.service.worker.scoring import Scored, score_job
from scorer.wire.options import ScoreOptions
from tests.unit.delivery.builders import documents_of, objects_of


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> HeldModel:
    home = tmp_path_factory.mktemp("documents") / "home"
    publish_tiny(home)
    return ModelCache(Registry(home / "registry", home / "trusted_keys")).get("lateral", "live")


def scored(held: HeldModel, configured: str, sink: str = "") -> Scored:
    names = held.card.required_fields
    header = ",".join(["_time", "user", *names])
    lines = [",".join(["1700000400", user, *([value] * len(names))]) for user, value in (("eve", "5"), ("bob", "x"))]
    job = ScoreJob(
        "batch-0001", "lateral", ScoreOptions(write=True, threshold=0.3), 2, "text/csv", 2e9, 1.7e9, sink=sink
    )
    return score_job(job, "\n".join([header, *lines, ""]).encode(), held, configured_sink=configured)


def test_a_searchs_rows_make_whole_documents_where_the_sink_is_elasticsearch(held: HeldModel) -> None:
    # The other row's status is in the reply; nobody else waits for it.
    (made,) = documents_of(scored(held, "elastic").rows)
    assert made["user"] == {"name": "eve"}
    assert made["qscore"]["threshold"] == 0.3
    assert (made["qscore"]["model"]["sha256"], made["qscore"]["model"]["family"]) == (held.sha256, held.card.family)
    assert (made["event"]["start"], made["event"]["end"]) == ("2023-11-14T22:20:00.000Z", "2023-11-14T22:30:00.000Z")
    assert made["event"]["created"] > "2023-11-14"
    assert made["qscore"]["job"]["latency_ms"] > 0


def test_a_connectors_rows_without_a_score_become_documents_too(held: HeldModel) -> None:
    rows = objects_of(scored(held, "hec", sink="elastic").rows)
    assert [row.get("error", "")[:12] for row in rows] == ["", "not_a_number"]


@pytest.mark.parametrize("configured", ["hec", "file", ""])
def test_events_of_other_sinks_carry_none_of_it(held: HeldModel, configured: str) -> None:
    (row,) = objects_of(scored(held, configured).rows)
    assert not row.keys() & {"threshold", "sha256", "family", "span", "scored", "latency_ms"}
