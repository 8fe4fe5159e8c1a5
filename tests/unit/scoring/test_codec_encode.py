"""Replies: read back by Python's own CSV reader, line for line."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.rows.batches import ScoreBatch
from scorer.rows.columns import BANDS
from scorer.rows.defects import Defect
from scorer.scoring.encode import encode_reply
from scorer.wire.names import OUTPUT_COLUMNS, STATUS_CODES

ROW = st.tuples(
    st.floats(0, 1) | st.just(float("nan")),
    st.floats(1e-6, 1),
    st.floats(0, 1),
    st.integers(0, 100),
    st.integers(0, 3),
    st.booleans(),
    st.text(max_size=20),
    st.none() | st.builds(Defect, st.sampled_from(sorted(STATUS_CODES)), st.text(max_size=20)),
)


def build(rows: list[tuple[Any, ...]], version: str = "1") -> ScoreBatch:
    probability, pvalue, classical, risk, band, alert, reason, defects = zip(*rows, strict=True) if rows else [()] * 8
    return ScoreBatch(
        batch_id="b" * 8,
        model="lateral",
        version=version,
        row_ids=range(len(rows)),
        probability=np.array(probability, np.float64),
        pvalue=np.array(pvalue, np.float64),
        classical=np.array(classical, np.float64),
        risk=np.array(risk, np.int64),
        band=np.array(band, np.int64),
        alert=np.array(alert, np.bool_),
        reason=reason,
        defects={row: defect for row, defect in enumerate(defects) if defect is not None},
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(ROW, max_size=12))
def test_line_k_is_row_k_whatever_the_texts_hold(rows: list[tuple[Any, ...]]) -> None:
    body = encode_reply(build(rows))
    assert body.count(b"\n") == len(rows) + 1
    assert b"\r" not in body
    read = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert len(read) == len(rows)
    for row, line in zip(rows, read, strict=True):
        probability, pvalue, classical, risk, band, alert, reason, defect = row
        clean = " ".join(str(defect or "ok").split()).encode("utf-8", "replace").decode()
        assert line["qscore_status"] == clean
        assert (line["qscore_model"], line["qscore_version"]) == ("lateral", "1")
        if np.isnan(probability):
            assert not any(line[name] for name in OUTPUT_COLUMNS[:7])
            continue
        assert abs(float(line["qscore"]) - probability) <= 0.00005 + 1e-12
        assert abs(float(line["qscore_classical"]) - classical) <= 0.00005 + 1e-12
        assert -1e-10 <= float(line["qscore_pvalue"]) - pvalue <= 1e-5
        assert (line["qscore_risk"], line["qscore_band"]) == (str(risk), BANDS[band])
        assert line["qscore_alert"] == str(int(alert))
        assert line["qscore_reason"] == " ".join(reason.split()).encode("utf-8", "replace").decode()


def test_a_reply_byte_for_byte() -> None:
    rows = [
        (0.98765, 0.01, 0.5, 93, 3, True, 'share of "x" 1, 2', None),
        (0.0, 1.0, 0.0, 0, 0, False, "", None),
        (float("nan"), 1.0, 1.0, 0, 0, False, "never shown", "missing_feature: failures is empty"),
    ]
    assert encode_reply(build(rows, "1-starter")).decode().splitlines() == [
        "qscore,qscore_risk,qscore_band,qscore_alert,qscore_pvalue,qscore_classical,"
        "qscore_reason,qscore_model,qscore_version,qscore_status",
        '0.9876,93,critical,1,0.01000,0.5000,"share of ""x"" 1, 2",lateral,1-starter,ok',
        "0.0000,0,low,0,1.00000,0.0000,,lateral,1-starter,ok",
        ",,,,,,,lateral,1-starter,missing_feature: failures is empty",
    ]


def test_no_rows_are_a_header() -> None:
    assert encode_reply(build([])).decode() == ",".join(OUTPUT_COLUMNS) + "\n"
