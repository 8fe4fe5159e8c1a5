"""The detection rules, run on a real Elasticsearch: each on documents made for it, and all on generated activity."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from elastic_connector.install.rule_search import run_rule
from elastic_connector.install.rules import Rule, load_rules, stopped_rule
from scorer.delivery.rows import ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.models.trained import TrainedModel
from scorer.registry.store import card_of
from scorer.rows.batches import FeatureBatch
from scorer.rows.builder import build_rows
from scorer.rows.columns import CONTEXT_COLUMNS
from scorer.rows.recipe import load_recipe
from scorer.scoring.score import score
from scorer.training.starter.generator import generate_events
from scorer.training.starter.model import STARTER_COLUMNS, train_starter
from scorer.wire.options import ScoreOptions
from tests.elastic.conftest import Server
from tests.elastic.sink_tools import make_elastic_sink
from tests.unit.elastic_connector.install.test_assets import FULL_ROW, beat, document, error_row

RULES = {rule.key: rule for rule in load_rules()}
Write = Callable[..., None]


def make_row(**changes: Any) -> dict[str, Any]:
    """A score over the line, with an id of its own."""
    identity = uuid.uuid4().hex * 2
    row: dict[str, Any] = {**FULL_ROW, "id": identity, "row_id": identity, **changes}
    row["entities"] = {"user": "eve", "src": "10.0.0.1", "dest": "srv1"} | changes.get("entities", {})
    return row


@pytest.fixture
def stream(namespace: str) -> str:
    return f"logs-qscore.scores-{namespace}"


@pytest.fixture
def write(installed: Server, stream: str, namespace: str) -> Write:
    """Writes rows (or whole documents); ``arrived``: in place of now."""

    def create(*rows: dict[str, Any], arrived: dt.datetime | None = None) -> None:
        for row in rows:
            body = dict(row) if "@timestamp" in row else document(row, namespace)
            body["data_stream"] = {**body["data_stream"], "namespace": namespace}
            identity = body["event"].get("id", uuid.uuid4().hex)
            # The sink sets it, by the cluster's clock.
            body["event"] = {**body["event"], "ingested": (arrived or dt.datetime.now(dt.UTC)).isoformat()}
            if arrived is not None:
                body["qscore"]["row"] = {"id": identity}
            installed.admin.create(index=stream, id=identity, document=body)
        installed.admin.indices.refresh(index=stream)

    return create


def alerts(server: Server, stream: str, rule: Rule) -> int:
    now = dt.datetime.now(dt.UTC)
    start, end = now - dt.timedelta(minutes=35), now + dt.timedelta(minutes=1)
    return run_rule(server.admin, rule, stream, start, end).alerts


def test_a_score_over_the_line_alerts_once_in_one_of_two_rules(installed: Server, stream: str, write: Write) -> None:
    write(make_row(time=1e9), make_row(time=2e9, band="critical"), make_row(time=3e9, alert=False), error_row(), beat())
    assert alerts(installed, stream, RULES["high-score"]) == 1
    assert alerts(installed, stream, RULES["critical-score"]) == 1


def test_a_window_that_is_counted_again_does_not_alert_again(installed: Server, stream: str, write: Write) -> None:
    write(*(make_row(revision=revision, row_id="e" * 64) for revision in (1, 2, 3)), make_row(time=1e9))
    assert alerts(installed, stream, RULES["high-score"]) == 2


def test_what_alerted_in_an_earlier_run_does_not_alert_again(installed: Server, stream: str, write: Write) -> None:
    now = dt.datetime.now(dt.UTC)
    rule = RULES["new-pair"]
    write(make_row(entities={"dest": "old"}), arrived=now - dt.timedelta(days=2))
    write(make_row(entities={"dest": "forgotten"}), arrived=now - dt.timedelta(days=20))
    write(*(make_row(entities={"dest": name}) for name in ("old", "new", "forgotten")))
    found = run_rule(installed.admin, rule, stream, now - dt.timedelta(minutes=35), now + dt.timedelta(minutes=1))
    assert found.alerts == 2
    assert {example["host"]["name"] for example in found.examples} == {"new", "forgotten"}


def test_one_user_on_many_hosts(installed: Server, stream: str, write: Write) -> None:
    write(*(make_row(entities={"user": "eve", "dest": f"srv{n}"}) for n in range(3)))
    write(*(make_row(entities={"user": "bob", "dest": "srv1"}, time=1e9 + 600 * n) for n in range(5)))
    write(*(make_row(entities={"user": "unknown", "dest": f"srv{n}"}) for n in range(9)))
    now = dt.datetime.now(dt.UTC)
    start, end = now - dt.timedelta(minutes=35), now + dt.timedelta(minutes=1)
    found = run_rule(installed.admin, RULES["many-hosts"], stream, start, end)
    assert [example["user.name"] for example in found.examples] == ["eve"]


def test_rows_that_could_not_be_scored(installed: Server, stream: str, write: Write) -> None:
    write(*(make_row(error="missing_feature: x is empty", time=1e9 + n) for n in range(25)))
    write(*(make_row(error="multivalue: x holds 2", time=2e9 + n) for n in range(24)))
    now = dt.datetime.now(dt.UTC)
    start, end = now - dt.timedelta(minutes=35), now + dt.timedelta(minutes=1)
    found = run_rule(installed.admin, RULES["scoring-errors"], stream, start, end)
    (example,) = found.examples
    assert example == {"qscore.model.name": "lateral", "error.code": "missing_feature", "documents": 25}


def test_what_arrived_before_the_rules_time_is_not_looked_at(installed: Server, stream: str, write: Write) -> None:
    write(make_row(), arrived=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    found = {name: alerts(installed, stream, rule) for name, rule in RULES.items()}
    assert found
    assert not any(found.values()), found


def test_the_rule_for_stopped_scoring_counts_heartbeats(installed: Server, stream: str, write: Write) -> None:
    leading, degraded = beat(), beat()
    leading["qscore"]["heartbeat"]["state"] = "leading"
    assert degraded["qscore"]["heartbeat"]["state"] == "degraded", "alive, and nothing is scored"
    write(make_row(), leading, degraded, error_row())
    (query,) = [stopped_rule().query]
    assert installed.admin.count(index=stream, query={"kql": {"query": query}})["count"] == 1


# Generated activity: what the rules raise on windows of a seed that the model has never seen.

UNSEEN_SEED, BENIGN = 20_260_101, 20_000


@pytest.fixture(scope="module", params=["lateral", "lateral_flow"])
def starter(request: pytest.FixtureRequest) -> TrainedModel:
    """The starter as `qscore train --model NAME` makes it."""
    return train_starter(load_recipe(request.param))


@pytest.fixture(scope="module")
def activity(starter: TrainedModel) -> tuple[ScoredRows, ScoredRows]:
    """Scored rows of 20,000 benign and more than 2,000 malicious windows."""
    events = generate_events(starter.name, 30_000, np.random.default_rng(UNSEEN_SEED), attack_share=0.1)
    rows = build_rows(starter.recipe, events, "window", STARTER_COLUMNS)
    label = np.array(rows["label"].to_pylist()).astype(int)
    inputs = {input_.name for input_ in starter.recipe.inputs} & set(rows.column_names)
    columns = {name: rows[name].to_numpy(zero_copy_only=False).astype(float) for name in inputs}
    context = {name: list(map(str, rows[name].to_pylist())) for name in CONTEXT_COLUMNS if name in rows.column_names}
    batch = FeatureBatch("generated", starter.name, columns, context, list(range(len(label))))
    card = card_of(starter, "1-starter")
    shaped = scored_rows(batch, score(starter, "1-starter", batch, ScoreOptions()), card, ScoringFacts(errors=True))
    assert len(shaped.rows) == len(label), "every window is scored"
    return shaped.rows.where(label == 0)[:BENIGN], shaped.rows.where(label == 1)


@pytest.fixture
def sent(installed: Server, key_file: Callable[[str], Path]) -> Callable[[ScoredRows], int]:
    """Writes rows through the sink, with the runtime key, into a stream of their own; gives the rules' alerts."""

    def alerts_on(rows: ScoredRows) -> int:
        namespace = "t" + uuid.uuid4().hex[:10]
        sink = make_elastic_sink(installed.url, key_file(installed.runtime_key()), namespace)
        start = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
        for first in range(0, len(rows), 5000):
            outcome = sink.send(rows[first : first + 5000])
            assert (outcome.refused, len(outcome.unsent)) == ((), 0)
        installed.admin.indices.refresh(index=sink.stream)
        assert installed.admin.count(index=sink.stream)["count"] == len(rows)
        end = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)
        pair = (RULES["high-score"], RULES["critical-score"])
        return sum(run_rule(installed.admin, rule, sink.stream, start, end).alerts for rule in pair)

    return alerts_on


@pytest.mark.slow
def test_rules_alert_on_benign_windows_as_often_as_the_card_says(
    starter: TrainedModel, activity: tuple[ScoredRows, ScoredRows], sent: Callable[[ScoredRows], int]
) -> None:
    benign, _ = activity
    assert len(benign) == BENIGN
    low, high = binom.interval(0.99, BENIGN, card_of(starter, "1-starter").fpr)
    assert low <= sent(benign) <= high


@pytest.mark.slow
def test_rules_find_attacks_as_often_as_the_card_says(
    starter: TrainedModel, activity: tuple[ScoredRows, ScoredRows], sent: Callable[[ScoredRows], int]
) -> None:
    _, attacks = activity
    card = card_of(starter, "1-starter")
    served = card.details["metrics"]["metrics"][card.serve]["recall"]
    assert len(attacks) > 2000
    assert sent(attacks) / len(attacks) >= served["low"]
