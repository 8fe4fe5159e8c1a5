"""`load_model` verifies, and `score` gives the rows of any table the columns that the gateway gives them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import qscore
from scorer.models.trained import TrainedModel
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score as scored
from scorer.wire.errors import ArtifactRejected, BadInput, BadOption, UnknownModel
from scorer.wire.names import MEDIA_CSV, OUTPUT_COLUMNS
from scorer.wire.options import ScoreOptions


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Path:
    folder = tmp_path_factory.mktemp("home")
    publish_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def model(home: Path) -> qscore.SignedModel:
    return qscore.load_model("lateral", home=home)


def rows(model: qscore.SignedModel, count: int = 60) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    events, *parts = model.columns
    total = rng.integers(1, 40, count)
    return {events: total.astype(float), **{name: rng.integers(0, total + 1).astype(float) for name in parts}}


def test_a_model_is_loaded_by_name_and_says_what_it_is(model: qscore.SignedModel, home: Path) -> None:
    assert (model.name, model.version, model.card.starter) == ("lateral", "1-starter", True)
    again = qscore.load_model(
        "lateral", "1-starter", registry=home / "registry", trusted_keys=str(home / "trusted_keys")
    )
    assert again.columns == model.columns == tuple(model.card.required_fields)


def test_a_changed_file_is_refused(home: Path, tmp_path: Path, publish_tiny: Callable[[Path], None]) -> None:
    publish_tiny(tmp_path)
    arrays = tmp_path / "registry" / "lateral" / "1-starter" / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))
    with pytest.raises(ArtifactRejected):
        qscore.load_model("lateral", home=tmp_path)
    with pytest.raises(ArtifactRejected, match="not among the trusted keys"):
        qscore.load_model("lateral", "1-starter", registry=home / "registry", trusted_keys=tmp_path / "trusted_keys")


def test_what_is_not_there_is_said(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="there is no model lateral"):
        qscore.load_model("lateral", home=tmp_path)
    with pytest.raises(UnknownModel, match="no version 7"):
        qscore.load_model("lateral", "7", home=home)


def test_scores_are_those_of_a_worker(model: qscore.SignedModel, tiny_model: TrainedModel) -> None:
    table = rows(model) | {"user": [f"u{k}" for k in range(60)]}
    body = pd.DataFrame({name: table[name] for name in model.columns}).to_csv(index=False).encode()
    options = ScoreOptions.parse({"version": model.version, "explain": "all"})
    batch = decode(body, MEDIA_CSV, 60, tiny_model, model_name="lateral", batch_id="b", write=False)
    reply = csv.DictReader(io.StringIO(encode_reply(scored(tiny_model, model.version, batch, options)).decode()))
    ours = qscore.score(model, table, explain="all")
    assert list(ours) == [*table, *OUTPUT_COLUMNS]
    assert ours["user"] is table["user"]
    for row, line in enumerate(reply):
        assert f"{ours['qscore'][row]:.4f}" == line["qscore"]
        assert f"{ours['qscore_classical'][row]:.4f}" == line["qscore_classical"]
        assert [str(ours[name][row]) for name in ("qscore_risk", "qscore_band", "qscore_alert")] == [
            line["qscore_risk"],
            line["qscore_band"],
            line["qscore_alert"],
        ]
        assert [ours[name][row] for name in ("qscore_reason", "qscore_status")] == [
            line["qscore_reason"],
            line["qscore_status"],
        ]
        assert line["qscore_reason"]


def test_each_kind_of_table_comes_back_as_it_was(model: qscore.SignedModel) -> None:
    columns = rows(model)
    plain = qscore.score(model, columns)
    frame = pd.DataFrame(columns | {"note": [object() for _ in range(60)]}, index=[7] * 60)
    scored_frame = model.score(frame)
    assert isinstance(scored_frame, pd.DataFrame)
    assert list(scored_frame.index) == [7] * 60
    assert list(scored_frame.columns) == [*frame.columns, *OUTPUT_COLUMNS]
    assert "qscore" not in frame
    table = qscore.score(model, pa.table(columns))
    assert isinstance(table, pa.Table)
    for scores in (scored_frame["qscore"], table["qscore"].to_numpy()):
        assert np.array_equal(scores, plain["qscore"])
    assert scored_frame["qscore_alert"].dtype == "Int64"


def test_scoring_again_replaces_the_scores(model: qscore.SignedModel) -> None:
    frame = pd.DataFrame(rows(model))
    once = model.score(frame)
    pd.testing.assert_frame_equal(model.score(once), once)
    table = qscore.score(model, pa.table(rows(model)))
    assert qscore.score(model, table).equals(table)


def test_rows_that_cannot_be_scored_say_why(model: qscore.SignedModel) -> None:
    first, *_ = model.columns
    frame = pd.DataFrame(rows(model, 4)).astype({first: object})
    frame[first] = [None, "many", -5.0, 100.0]
    out = model.score(frame)
    assert [text.split(":")[0] for text in out["qscore_status"]] == [
        "missing_feature",
        "not_a_number",
        "out_of_range",
        "ok",
    ]
    assert out["qscore"].isna().tolist() == [True, True, True, False]
    assert out["qscore_risk"].isna().tolist() == [True, True, True, False]


def test_no_rows_are_no_error(model: qscore.SignedModel) -> None:
    assert len(model.score(pd.DataFrame(rows(model, 0)))) == 0
    assert len(model.score({})["qscore"]) == 0


def test_a_threshold_of_ones_own_decides(model: qscore.SignedModel) -> None:
    columns = rows(model)
    middle = float(np.median(model.score(columns)["qscore"]))
    out = model.score(columns, threshold=middle)
    assert np.array_equal(out["qscore_alert"] == 1, out["qscore"] >= middle)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((3, 3)), "rows of the type ndarray"),
        (5, "rows of the type int"),
        ({"a": [1], "b": [1, 2]}, "columns of 1 to 2 rows"),
    ],
)
def test_what_is_no_table_is_said(model: qscore.SignedModel, given: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        qscore.score(model, given)


def test_two_columns_of_one_name_are_refused(model: qscore.SignedModel) -> None:
    frame = pd.DataFrame(rows(model))
    with pytest.raises(BadInput, match="two columns are called"):
        model.score(pd.concat([frame, frame], axis=1))


def test_options_are_checked(model: qscore.SignedModel) -> None:
    with pytest.raises(BadOption, match="explain"):
        model.score({}, explain="some")
