from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.standins.hec_rules import HecRules
from scorer.delivery.hec.event import event_lines
from scorer.delivery.rows import ScoredRows, joined
from scorer.delivery.scored import scored_rows
from scorer.rows.identity import canonical_time, row_identity, score_id
from tests.unit.delivery.builders import (
    INDEXED_FIELDS,
    changed,
    events_of,
    make_batches,
    make_card,
    make_rows,
    objects_of,
    rows_from,
)
from tests.unit.rows.statuses import defects_of


def test_a_row_carries_its_own_time_and_the_id_of_its_entities_and_window() -> None:
    batch, scores = make_batches(2)
    rows, skipped = scored_rows(batch, scores, make_card())
    assert skipped == ()
    row = objects_of(rows)[1]
    assert row["time"] == 1_700_001_000.0
    identity = row_identity(batch.context, 1)
    assert identity is not None
    assert row["id"] == rows.ids[1] == score_id("lateral", "1-starter", identity)
    assert row["entities"] == {"user": "user1", "src": "10.0.0.1", "dest": "srv01"}


def test_only_rows_scored_ok_are_written() -> None:
    batch, scores = make_batches(3)
    scores = replace(scores, defects=defects_of(["ok", "missing_feature: events is empty", "ok"]))
    rows, skipped = scored_rows(batch, scores, make_card())
    assert [row["entities"]["user"] for row in objects_of(rows)] == ["user0", "user2"]
    assert skipped == ()


@pytest.mark.parametrize("time", ["", "yesterday", "nan", "-5", "1e300"])
def test_a_row_without_usable_time_is_named_not_written(time: str) -> None:
    batch, scores = make_batches(2, _time=["1700000400", time], origin_id=["a", "b"])
    rows, skipped = scored_rows(batch, scores, make_card())
    assert len(rows) == 1
    assert skipped == (1,)


@given(
    st.lists(
        st.floats(-1.0, 2e11).map(repr)
        | st.sampled_from(
            ["", " 5", "+5", "1_0", "1e9", "5.", ".5", "inf", "-nan", "1e400", "0.0001", "1700000400.0005"]
        )
        | st.text(max_size=6),
        min_size=1,
        max_size=5,
    )
)
def test_a_rows_time_is_the_one_that_enters_ids(times: list[str]) -> None:
    """Whole columns are read otherwise than single texts, and must be read alike."""
    rows, skipped = scored_rows(*make_batches(len(times), _time=times), make_card())
    canonical = [canonical_time(text) for text in times]
    assert [row["time"] for row in objects_of(rows)] == [float(text) for text in canonical if text is not None]
    assert skipped == tuple(at for at, text in enumerate(canonical) if text is None)


def test_a_row_without_identity_is_named_not_written() -> None:
    batch, scores = make_batches(1, user=[""], src=[""], dest=[""])
    rows, skipped = scored_rows(batch, scores, make_card())
    assert (len(rows), skipped) == (0, (0,))


def test_batches_of_different_length_are_a_fault() -> None:
    batch, _ = make_batches(2)
    _, scores = make_batches(3)
    with pytest.raises(ValueError, match="2 rows but 3 scores"):
        scored_rows(batch, scores, make_card())


def fields_of(rows: ScoredRows) -> dict[str, Any]:
    """Indexed fields of the first row."""
    found: dict[str, Any] = events_of(rows)[0]["fields"]
    return found


def test_indexed_fields_are_flat_text_of_known_names_and_empty_ones_are_left_out() -> None:
    rows = make_rows(1, port_class=[""], index=["wineventlog"], sourcetype=["XmlWinEventLog"], origin_id=["7"])
    fields = fields_of(changed(rows, reason=""))
    assert set(fields) <= set(INDEXED_FIELDS)
    assert all(isinstance(value, str) for value in fields.values())
    assert fields["qscore_alert"] == "0"
    assert fields["qscore"] == "0.1000"
    assert fields["orig_index"] == "wineventlog"
    assert "port_class" not in fields
    assert "qscore_reason" not in fields


def test_a_row_of_which_everything_is_known_has_every_indexed_field() -> None:
    known = {name: [name] for name in ("port_class", "index", "sourcetype", "origin_id")}
    assert set(fields_of(make_rows(1, **known))) == set(INDEXED_FIELDS)


def test_a_number_that_is_none_is_left_out() -> None:
    fields = fields_of(changed(make_rows(1), classical=float("nan"), pvalue=float("nan")))
    assert not {"qscore_classical", "qscore_pvalue"} & set(fields)


def test_pvalues_are_rounded_up_as_in_a_reply() -> None:
    batch, scores = make_batches(4)
    rows = scored_rows(batch, replace(scores, pvalue=np.array([0.01, 0.000001, 1.0, 0.123456])), make_card()).rows
    shown = [event["fields"]["qscore_pvalue"] for event in events_of(rows)]
    assert shown == ["0.01000", "0.00001", "1.00000", "0.12346"]


def test_the_event_has_its_own_time_source_and_host() -> None:
    (event,) = events_of(make_rows(1, host=["dc01"]), "qscore")
    assert (event["time"], event["host"], event["index"]) == (1_700_000_400.0, "dc01", "qscore")
    assert (event["source"], event["sourcetype"]) == ("qscore:lateral", "qscore:score")
    assert "index" not in events_of(make_rows(1), "")[0]
    assert event["event"]["starter"] == "trained on generated activity, not on yours"


def test_rows_of_several_batches_keep_their_order_and_what_their_batch_says() -> None:
    one, other = make_rows(2), changed(make_rows(3), 2, batch_id="batch-0002", starter=False)
    events = events_of(joined([one, other]))
    assert [event["fields"]["qscore_batch"][-1] for event in events] == ["1", "1", "1", "1", "2"]
    assert [event["fields"]["qscore_id"] for event in events] == [*one.ids, *other.ids]
    assert ["starter" in event["event"] for event in events] == [True] * 4 + [False]
    assert joined([one, other])[1:4].ids == [*one.ids, *other.ids][1:4]


def test_neighbours_of_one_batch_become_one_block_whatever_each_knows() -> None:
    """Dead letters are read one by one; a block costs as much for one row as for hundreds."""
    rows = make_rows(4, qscore_revision=["", "2", "", ""], host=["", "", "gw", ""], qscore_flags=["", "", "", "x"])
    alone = [rows_from(row) for row in objects_of(rows)]
    whole = joined([*alone, changed(make_rows(1), batch_id="batch-0002")])
    assert [len(block) for block in whole.blocks] == [4, 1]
    assert objects_of(whole)[:4] == objects_of(rows)


@given(st.lists(st.tuples(st.text(max_size=2000), st.text(max_size=50)), min_size=1, max_size=4))
def test_any_entity_becomes_an_event_that_the_collector_takes(cells: list[tuple[str, str]]) -> None:
    users, reasons = map(list, zip(*cells, strict=True))
    batch, scores = make_batches(len(cells), user=users)
    rows, _ = scored_rows(batch, replace(scores, reason=reasons), make_card())
    body = event_lines(rows, "qscore").body()
    assert body.count(b"\n") == len(cells)
    answer = HecRules("t").answer("/services/collector/event", "Splunk t", body)
    assert answer.status == 200
    assert [event["event"].get("reason", "") for event in answer.events] == reasons
    assert [event["fields"]["dest"] for event in answer.events] == [f"srv{at:02d}" for at in range(len(cells))]
