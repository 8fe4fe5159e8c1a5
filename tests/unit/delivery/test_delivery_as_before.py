"""What 0.1.0 wrote is what is written: the same events to the byte, the same documents, rows of its queue read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorer.delivery.hec.event import event_lines
from scorer.delivery.rows import ScoredRows
from scorer.delivery.scored import ScoringFacts, Shaped, scored_rows
from scorer.delivery.stored_rows import read_rows, stored
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.defects import Defect
from scorer.wire.card import ModelCard
from tests.unit.delivery.builders import documents_of, objects_of

CASES = ("search", "events", "stream", "nobody")


class Said(Defect):
    """A status as 0.1.0 could hold it: any text at all, with a tab or without a colon."""

    def __str__(self) -> str:
        return self.text


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, repository: Path) -> Any:
    """A batch and what 0.1.0 made of it; tests/fixtures/delivery/make.py says how."""
    return json.loads((repository / "tests" / "fixtures" / "delivery" / f"{request.param}.json").read_text("utf-8"))


def shaped(case: Any) -> Shaped:
    card, columns = case["card"], dict(case["scores"])
    defects = {at: Said("not_scored", text) for at, text in enumerate(columns.pop("status")) if text != "ok"}
    ids = list(range(len(columns["probability"])))
    for name in ("probability", "pvalue", "classical", "risk", "band", "alert"):
        columns[name] = np.array(columns[name])
    batch = FeatureBatch("batch-0001", "lateral", {}, case["context"], ids)
    scores = ScoreBatch("batch-0001", "lateral", card["version"], ids, serve=card["serve"], defects=defects, **columns)
    facts = None if case["facts"] is None else ScoringFacts(**case["facts"])
    return scored_rows(batch, scores, ModelCard.from_dict(card), facts)


def text(value: Any) -> str:
    """As text, so that NaN equals itself and 1 does not equal True."""
    return json.dumps(value, sort_keys=True)


def check(rows: ScoredRows, case: Any) -> None:
    assert len(case["rows"]) > 15
    assert event_lines(rows, "qscore").body().decode().split("\n") == [*case["events"], ""]
    for name, options in (("documents", {"ingested": "2026-01-31T08:15:00.123Z"}), ("bare", {"bare": True})):
        made = documents_of(rows, "lab", **options)
        assert [text(document) for document in made] == [text(document) for document in case[name]]


def test_rows_make_what_they_made(case: Any) -> None:
    rows, skipped = shaped(case)
    assert list(skipped) == case["skipped"]
    assert [text(row) for row in objects_of(rows)] == [text(row) for row in case["rows"]]
    check(rows, case)


def test_rows_on_the_queue_make_what_they_made(case: Any) -> None:
    check(read_rows(stored(shaped(case).rows)), case)


def test_rows_that_0_1_0_left_on_the_queue_make_what_they_made(case: Any) -> None:
    check(read_rows(case["rows"]), case)


def test_what_is_left_of_a_part_makes_what_it_made(case: Any) -> None:
    """After a partial delivery a slice lies on the queue again, and may be cut once more."""
    rows = read_rows(stored(shaped(case).rows[3:]))
    left = read_rows(stored(rows[2:9]))
    some = {name: case[name][5:12] for name in ("events", "documents")}
    assert event_lines(left, "qscore").body().decode().split("\n") == [*some["events"], ""]
    made = documents_of(left, "lab", ingested="2026-01-31T08:15:00.123Z")
    assert [text(document) for document in made] == [text(document) for document in some["documents"]]
