"""Two kills of `make chaos-elastic`: Elasticsearch itself and the leading connector, with documents in flight."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from demo.elasticsearch_server import available, missing
from tests.elastic.chaos.play import run


@pytest.mark.slow
def test_every_document_has_one_score_after_kills(require: Callable[[bool, str], None]) -> None:
    require(available(), ". ".join(missing()))
    told: list[str] = []
    verdict, play = run(2, 7, told.append, ["leader", "elasticsearch"])
    assert verdict.documents > 100
    assert (verdict.missing, verdict.duplicates, verdict.strangers) == (0, 0, 0), "\n".join(told)
    assert [kill.target for kill in play.kills] == ["leader", "elasticsearch"]
    assert all((kill.in_flight or 0) > 0 for kill in play.kills), play.kills
    assert verdict.work["times a connector became the leader"] >= 2
