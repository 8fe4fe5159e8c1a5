"""The table of docs/fields.md that maps Splunk's fields to Elastic's says what both sinks write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.wire.names import OUTPUT_COLUMNS
from tests.unit.delivery.builders import INDEXED_FIELDS, documents_of, events_of, make_batches, make_card


@pytest.fixture(scope="module")
def table(repository: Path) -> dict[str, str]:
    page = (repository / "docs" / "fields.md").read_text("utf-8")
    section = page.split("## The same in Elastic")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", section, flags=re.M))


def at(made: dict[str, Any], path: str) -> Any:
    found: Any = made
    for part in path.split("."):
        found = found[part]
    return found


def alike(splunk: object, elastic: object) -> bool:
    """The same value in the two forms: text there, types here."""
    if isinstance(elastic, list):
        elastic = elastic[0]
    if isinstance(elastic, bool):
        return splunk == str(int(elastic))
    if isinstance(elastic, int | float):
        return abs(float(str(splunk)) - elastic) < 1e-4
    return splunk == elastic


def test_every_field_of_splunk_has_its_line(table: dict[str, str]) -> None:
    assert set(table) == {*INDEXED_FIELDS, *OUTPUT_COLUMNS, "_time", "host"}


def test_both_sinks_write_the_same_values_there(table: dict[str, str]) -> None:
    context = {name: [f"{name} of the row"] for name in ("host", "port_class", "origin_id", "index", "sourcetype")}
    batch, scores = make_batches(1, **context)
    rows = scored_rows(batch, scores, make_card(), ScoringFacts(scored=1.7e9)).rows
    (event,), (made,) = events_of(rows), documents_of(rows)
    splunk: dict[str, Any] = {**event["fields"], "host": event["host"], "qscore_status": "ok"}
    assert made["@timestamp"] == "2023-11-14T22:20:00.000Z"
    assert event["time"] == 1_700_000_400.0
    for name, path in table.items():
        if name != "_time":
            assert alike(splunk[name], at(made, path)), (name, path, splunk[name], at(made, path))
