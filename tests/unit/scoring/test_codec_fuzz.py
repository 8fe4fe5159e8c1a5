"""Random bodies never raise anything outside qscore's own exceptions, and rows survive a round trip."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.models.trained import TrainedModel
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.wire.errors import BadInput
from scorer.wire.names import MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON, STATUS_CODES
from scorer.wire.options import ScoreOptions

INPUTS = ("events", "logons", "failures")
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FRAGMENTS = st.sampled_from(
    ["events", "logons", "failures", "user", "__mv_events", "_time", ",", ",", ",", "\n", "\n", "\r\n", '"', '""', "5",
     "1e400", "nan", "-1", "é", "\x00", " ", "\ufeff", "x", "0.5", ";", "\r"]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode())
BODIES = TEXTS | st.binary(max_size=200)


def whole_path(model: TrainedModel, body: bytes, media_type: str, rows: int) -> None:
    """Decode, score and encode; only bad input may be raised, and then the reply has every row."""
    try:
        batch = decode(body, media_type, rows, model, model_name="lateral", batch_id="b" * 8, write=True)
    except BadInput:
        return
    scores = score(model, "1", batch, ScoreOptions(explain="all"))
    assert encode_reply(scores).count(b"\n") == rows + 1
    for status, probability in zip(scores.status, scores.probability, strict=True):
        assert (status == "ok") == (not np.isnan(probability))
        assert status == "ok" or status.split(":")[0] in STATUS_CODES
    assert all(len(column) == rows for column in batch.context.values())


@MANY
@given(body=BODIES, rows=st.integers(0, 4))
@pytest.mark.parametrize("media_type", [MEDIA_CSV, MEDIA_JSON, MEDIA_ARROW])
def test_random_bodies(tiny_model: TrainedModel, media_type: str, body: bytes, rows: int) -> None:
    whole_path(tiny_model, body, media_type, rows)


@MANY
@given(body=TEXTS, rows=st.integers(1, 3))
def test_random_csv_after_a_good_header(tiny_model: TrainedModel, body: bytes, rows: int) -> None:
    whole_path(tiny_model, b"events,logons,failures,_time,user\n" + body, MEDIA_CSV, rows)


VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers(), max_size=2)
)


@MANY
@given(columns=st.dictionaries(st.sampled_from([*INPUTS, "_time", "user"]), st.lists(VALUES, min_size=2, max_size=2)))
def test_random_json_values(tiny_model: TrainedModel, columns: dict[str, list[Any]]) -> None:
    whole_path(tiny_model, json.dumps({"columns": columns}).encode(), MEDIA_JSON, 2)


@MANY
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_changed_byte_of_an_arrow_stream(tiny_model: TrainedModel, at: int, value: int) -> None:
    table = pa.table({"events": [5.0, 6.0], "logons": ["1", "2"], "failures": pa.array(["0", "0"]).dictionary_encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = bytearray(sink.getvalue().to_pybytes())
    body[at % len(body)] = value
    whole_path(tiny_model, bytes(body), MEDIA_ARROW, 2)


CELLS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.floats(0, 1e6).map(repr),
    st.just(""),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=5),
)


@MANY
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS, st.text('ab, \n"é', max_size=4)), min_size=1, max_size=8))
def test_what_pythons_csv_writes_is_read_cell_by_cell(
    tiny_model: TrainedModel, rows: list[tuple[str, str, str, str]]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([(*INPUTS, "user"), *rows])
    batch = decode(
        text.getvalue().encode(), MEDIA_CSV, len(rows), tiny_model, model_name="lateral", batch_id="b" * 8, write=True
    )
    assert list(batch.context["user"]) == [row[3] for row in rows]
    for k, name in enumerate(INPUTS):
        for row, cells in enumerate(rows):
            value = batch.columns[name][row]
            if row not in batch.defects and cells[k].strip():
                assert value == float(cells[k])
            elif not cells[k].strip(" \t\n\v\f\r"):
                assert np.isnan(value)


def test_the_fast_and_the_slow_path_agree(tiny_model: TrainedModel, body_of: Callable[[int], bytes]) -> None:
    body = body_of(3000)
    fast = decode(body, MEDIA_CSV, 3000, tiny_model, model_name="m", batch_id="b" * 8, write=False)
    slow = decode(body + b"x,1,0\n", MEDIA_CSV, 3001, tiny_model, model_name="m", batch_id="b" * 8, write=False)
    assert list(slow.defects) == [3000]
    for name in INPUTS:
        assert list(fast.columns[name]) == list(slow.columns[name])[:3000]
