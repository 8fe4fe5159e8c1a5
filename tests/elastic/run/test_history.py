"""`qscore elastic backfill`, `rescore` and `reconcile` on a real server, through the real queue and workers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from elastic_connector.history.backfill import Progress
from elastic_connector.history.source_history import History
from elastic_connector.history.unscored import VersionScores
from elastic_connector.lead.batches import Queues
from scorer.elastic_client.client import connect
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.failures import ElasticBusy
from scorer.elastic_client.moments import millis
from scorer.registry.cards import CardStore
from scorer.service.queue.broker import redis_client
from scorer.service.queue.exchange import Exchange
from scorer.service.settings import load_settings
from tests.elastic.stage import MODEL, SOURCE, Stage, logon, open_stage, publish

T0 = 1_699_990_200.0  # 2023-11-14T19:30:00Z, the start of a window
RANGE = ("--source", SOURCE, "--from", "2023-11-14T19:00:00Z", "--to", "2023-11-15T03:00:00Z")

MakeStage = Callable[[str], Stage]


@pytest.fixture
def make_stage(elasticsearch: Any, namespace: str, tmp_path: Path) -> Iterator[MakeStage]:
    opened: list[AbstractContextManager[Stage]] = []

    def make(grain: str) -> Stage:
        opened.append(open_stage(tmp_path, elasticsearch, namespace, grain))
        return opened[-1].__enter__()

    yield make
    for stage in opened:
        stage.__exit__(None, None, None)


def ran(stage: Stage, *arguments: str, code: int = 0) -> str:
    done = stage.qscore("elastic", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def each_once(stage: Stage) -> int:
    """How many scores there are; none may stand twice."""
    ids = Counter(hit["_id"] for hit in stage.written())
    assert not [known for known, count in ids.items() if count > 1]
    return len(ids)


def test_documents_backfill_reconcile_rescore(make_stage: MakeStage) -> None:
    stage = make_stage("event")
    stage.load(logon(T0 + 10 * n, n) for n in range(250))
    assert "rows: 250, with a score: 0, to be sent: 250" in ran(stage, "backfill", *RANGE)
    assert each_once(stage) == 0
    assert "rows: 250, there already: 0, written: 250" in ran(stage, "backfill", *RANGE, "--yes")
    assert each_once(stage) == 250
    assert "rows: 250, there already: 250, written: 0" in ran(stage, "backfill", *RANGE, "--yes")
    assert "scores: 250, without a document: 0, duplicates: 0" in ran(stage, "reconcile", *RANGE)
    # A document that is deleted leaves a score, documents that come have none, also across a rollover of the scores.
    gone = stage.admin.search(index=stage.index, size=1)["hits"]["hits"][0]["_id"]
    stage.admin.delete(index=stage.index, id=gone, refresh=True)
    stage.admin.indices.rollover(alias=stage.scores)
    stage.load(logon(T0 + 10 * n, n) for n in range(250, 260))
    found = ran(stage, "reconcile", *RANGE, code=1)
    assert "rows: 259, with a score: 249, without: 10" in found
    assert "scores: 250, without a document: 1, duplicates: 0" in found
    assert "written: 10" in ran(stage, "reconcile", *RANGE, "--fix", "--yes")
    assert each_once(stage) == 260
    # A second version has scored nothing yet; the first one's scores stay.
    publish(stage.home, "event", seed=6)
    assert "rows: 259, with a score: 0, to be sent: 259" in ran(stage, "rescore", "--source", SOURCE)
    assert "written: 259" in ran(stage, "rescore", "--source", SOURCE, "--yes")
    versions = Counter(hit["_source"]["qscore"]["model"]["version"] for hit in stage.written())
    assert versions == {"1-starter": 260, "2-starter": 259}


def test_a_score_in_two_backing_indices_is_a_duplicate(make_stage: MakeStage) -> None:
    stage = make_stage("event")
    stage.load([logon(T0, 1)])
    ran(stage, "backfill", *RANGE, "--yes")
    (hit,) = stage.written()
    stage.admin.indices.rollover(alias=stage.scores)
    stage.admin.create(index=stage.scores, id=hit["_id"], document=hit["_source"], refresh=True)
    assert "duplicates: 1" in ran(stage, "reconcile", *RANGE, code=1)


def test_windows_backfill_and_what_came_late(make_stage: MakeStage) -> None:
    stage = make_stage("window")
    stage.load(logon(T0 + 60 * n, n) for n in range(120))
    told = ran(stage, "backfill", *RANGE, "--yes")
    rows = int(re.search(r"written: (\d+)", told)[1])  # type: ignore[index]
    assert each_once(stage) == rows > 50
    assert f"scores: {rows}, without a document: 0, duplicates: 0" in ran(stage, "reconcile", *RANGE)
    stage.load([logon(T0 + 30, 1)])
    found = ran(stage, "reconcile", *RANGE, code=1)
    late = int(re.search(r"without: (\d+)", found)[1])  # type: ignore[index]
    assert late >= 1
    assert f"written: {late}" in ran(stage, "backfill", *RANGE, "--yes")
    ran(stage, "reconcile", *RANGE)
    assert each_once(stage) == rows + late  # a new revision each; the older ones stay
    revisions = Counter(
        (h["_source"]["@timestamp"], h["_source"]["user"]["name"], h["_source"]["source"]["address"],
         h["_source"]["destination"]["address"]) for h in stage.written()
    )  # fmt: skip
    assert max(revisions.values()) == 2


def test_a_stopped_backfill_goes_on_where_it_was(make_stage: MakeStage) -> None:
    stage = make_stage("event")
    stage.load(logon(T0 + n, n) for n in range(900))
    settings = load_settings(home=stage.home, elastic=load_settings_of(stage))
    card = CardStore(settings.registry, settings.trusted_keys).card(MODEL)
    exchange = Exchange(redis_client(settings, connections=4, longest_wait=5.0))
    with connect(settings.elastic) as client:
        queues = Queues.of(settings, exchange)
        history = History(client, settings.elastic, settings.elastic.sources[0], card, ServerClock(client), queues)
        scope = history.scope(millis(T0), millis(T0 + 3600))
        stopped = Event()

        def stop_soon(progress: Progress) -> None:
            if progress.written >= 200 and progress.position > scope.low:  # the first batch's answer may come last
                stopped.set()

        first = history.backfill(scope, stop_soon, stopped)
        assert scope.low < first.position < scope.high
        assert 200 <= first.written < 900
        seen: list[int] = []
        second = history.backfill(scope, lambda progress: seen.append(progress.position), Event())
        assert seen[0] >= first.position  # nothing before is read again
        assert second.position == scope.high
        assert each_once(stage) == 900
        with pytest.raises(Exception, match="holds nothing"):
            history.scope(scope.high, scope.low)
    exchange.client.close()


@dataclass(frozen=True)
class Starting(VersionScores):
    """Scores in an index whose shard has still to start: the first two look-ups are not answered."""

    asked: list[int] = field(default_factory=list)

    def held(self, ids: Sequence[str]) -> dict[str, list[str]]:
        self.asked.append(len(ids))
        if len(self.asked) <= 2:
            raise ElasticBusy("No shard available", "It is asked again.")
        return super().held(ids)


class StartingHistory(History):
    @property
    def scores(self) -> VersionScores:
        known = super().scores
        return Starting(known.client, known.stream, known.model, known.version, known.writer)


def test_a_shard_that_is_starting_does_not_end_a_backfill(make_stage: MakeStage) -> None:
    stage = make_stage("event")
    stage.load(logon(T0 + n, n) for n in range(30))
    settings = load_settings(home=stage.home, elastic=load_settings_of(stage))
    card = CardStore(settings.registry, settings.trusted_keys).card(MODEL)
    exchange = Exchange(redis_client(settings, connections=4, longest_wait=5.0))
    with connect(settings.elastic) as client:
        source, queues = settings.elastic.sources[0], Queues.of(settings, exchange)
        history = StartingHistory(client, settings.elastic, source, card, ServerClock(client), queues)
        waits: list[str] = []
        scope = history.scope(millis(T0), millis(T0 + 3600))
        done = history.backfill(scope, lambda progress: waits.append(progress.waiting), Event())
        assert done.written == each_once(stage) == 30
        assert waits.count("for Elasticsearch") == 2
    exchange.client.close()


def load_settings_of(stage: Stage) -> Any:
    """The [elastic] section of the stage's qscore.toml."""
    import tomllib

    return tomllib.loads((stage.home / "qscore.toml").read_text())["elastic"]
