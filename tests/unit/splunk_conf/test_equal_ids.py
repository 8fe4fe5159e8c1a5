"""A score that was written twice counts once: rows of a batch that came again, and of another one of the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from scorer.splunk_preview.environment import Environment, hec_rows
from scorer.splunk_preview.notable import SplunkApp, fill, preview
from scorer.splunk_preview.pipeline import run
from tests.unit.delivery.builders import events_of, make_rows, objects_of, rows_from

NOW = 1_700_010_000.0
ROWS = 4


@pytest.fixture(scope="module")
def app(repository: Path) -> SplunkApp:
    return SplunkApp.read(repository)


def written_twice() -> list[dict[str, object]]:
    """Events as a collector has them after a repeated delivery, and after the same rows were sent anew."""
    first = make_rows(ROWS)
    again = rows_from(*({**row, "batch_id": "batch-0002"} for row in objects_of(first)))
    assert first.ids == again.ids
    return [*events_of(first), *events_of(first), *events_of(again)]


def test_searches_over_events_see_each_score_once(app: SplunkApp) -> None:
    full, indexed = hec_rows(written_twice(), NOW - 1)
    environment = Environment(full, indexed, app.macros, now=NOW)
    assert len(run("`qscore_index`", environment)) == 3 * ROWS
    rows = run("`qscore_index` | `qscore_dedup`", environment)
    assert sorted(str(row["dest"]) for row in rows) == [f"srv{k:02d}" for k in range(ROWS)]
    drilldown = app.searches[app.rule()]["action.notable.param.drilldown_search"]
    filled = fill(drilldown, {"qscore_model": "lateral", "src": "10.0.0.1", "dest": "srv01"})
    assert len(run(filled, environment)) == 1


def test_the_rule_counts_each_window_once(app: SplunkApp) -> None:
    notables = preview(app, written_twice(), NOW)
    assert [(notable.entities["dest"], notable.row["windows"]) for notable in notables] == [("srv03", 1), ("srv01", 1)]
