"""Defects of rows and their text form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.rows.batches import ScoreBatch
from scorer.rows.defects import LONGEST_STATUS, Defect
from scorer.wire.names import STATUS_CODES

CODES = st.sampled_from(sorted(STATUS_CODES))
LINES = st.text(max_size=200).map(lambda text: " ".join(text.split()))


@given(code=CODES, text=LINES)
def test_the_text_form_is_read_back(code: str, text: str) -> None:
    assert Defect.read(str(Defect(code, text))) == Defect(code, text)


@given(st.text(max_size=2 * LONGEST_STATUS))
def test_any_words_from_outside_are_a_defect_on_one_line(status: str) -> None:
    defect = Defect.read(status)
    assert defect.code in STATUS_CODES
    assert len(str(defect).splitlines()) == 1
    assert len(str(defect)) <= LONGEST_STATUS + len("not_scored: ")


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        ("multivalue: user.name holds 2 values", "multivalue", "user.name holds 2 values"),
        ("odd thing", "not_scored", "odd thing"),
        ("odd: thing", "not_scored", "odd: thing"),
        ("infinite:x\n y", "infinite", "x y"),
        ("", "not_scored", ""),
    ],
)
def test_a_code_that_nobody_knows_is_not_scored(status: str, code: str, text: str) -> None:
    assert Defect.read(status) == Defect(code, text)


@pytest.mark.parametrize("code", ["", "ok", "odd", "Multivalue"])
def test_a_defect_has_a_code_that_everybody_knows(code: str) -> None:
    with pytest.raises(ValueError, match="is no status code; known are missing_feature"):
        Defect(code, "x")


def test_a_batchs_statuses_are_its_defects_in_words() -> None:
    nothing = np.zeros(3)
    batch = ScoreBatch(
        batch_id="batch-0001",
        model="lateral",
        version="1",
        row_ids=range(3),
        probability=nothing,
        pvalue=nothing,
        classical=nothing,
        risk=np.zeros(3, np.int64),
        band=np.zeros(3, np.int64),
        alert=np.zeros(3, np.bool_),
        reason=[""] * 3,
        defects={1: Defect("infinite", "events is infinite")},
    )
    assert batch.status == ["ok", "infinite: events is infinite", "ok"]
