"""Rows as arrays, checked: what a model can be trained on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from scorer.rows.builder import Columns
from scorer.training.dataset import dataset
from scorer.training.starter.model import STARTER_COLUMNS
from scorer.wire.errors import BadTrainingData
from tests.unit.training.made_rows import RECIPE, generated, made, replaced


def test_rows_become_arrays() -> None:
    table = generated()
    data = dataset(RECIPE, table, STARTER_COLUMNS)
    assert data.names == tuple(f.name for f in RECIPE.features)
    assert data.X.shape == (table.num_rows, len(data.names))
    assert data.positives == int(np.sum(table["label"].to_numpy()))
    assert data.groups is not None
    assert len(np.unique(data.groups)) == len(set(table["activity"].to_pylist()))


def test_text_numbers_of_a_csv_are_the_same_rows() -> None:
    table = generated()
    text = pa.table({name: table[name].cast(pa.string()) for name in table.column_names})
    assert np.array_equal(dataset(RECIPE, text, STARTER_COLUMNS).X, dataset(RECIPE, table, STARTER_COLUMNS).X)


def test_a_dropped_feature_takes_its_column_along() -> None:
    data = made(30, 5).without(("b",))
    assert data.names == ("a", "c")
    assert data.X.shape == (30, 2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("failures", "many", "failures holds 'many', which is not a number"),
        ("failures", "", "failures is empty or infinite on 1 rows \\(first: 1\\)"),
        ("failures", "nan", "failures holds 'nan', which is not a number"),
        ("failures", "1e400", "failures is empty or infinite"),
        ("failures", "-1", "row 1: failures is -1"),
        ("events", "0", "row 1: events is 0"),
        ("failures", "1e6", "row 1: failures is .* more than events"),
    ],
)
def test_cells_that_no_model_can_use_are_named(name: str, value: str, message: str) -> None:
    table = generated()
    cells = [value, *(str(v) for v in table[name].to_pylist()[1:])]
    with pytest.raises(BadTrainingData, match=message):
        dataset(RECIPE, replaced(table, name, list(cells)), STARTER_COLUMNS)


def test_absent_columns_are_named_with_the_command_that_builds_them() -> None:
    with pytest.raises(BadTrainingData, match=r"no column events.*qscore rows --model lateral"):
        dataset(RECIPE, generated().drop_columns(["events"]), STARTER_COLUMNS)


@pytest.mark.parametrize(
    ("values", "message"), [(1, "all .* rows are malicious"), (0, "0 of .* rows are malicious; training needs 20")]
)
def test_one_class_cannot_be_learnt(values: int, message: str) -> None:
    table = generated()
    with pytest.raises(BadTrainingData, match=message):
        dataset(RECIPE, replaced(table, "label", [values] * table.num_rows), STARTER_COLUMNS)


def test_rows_without_a_label_are_refused() -> None:
    table = generated()
    holes = [None, *table["label"].to_pylist()[1:]]
    with pytest.raises(BadTrainingData, match="1 rows have no label"):
        dataset(RECIPE, replaced(table, "label", list(holes)), Columns("label"))


def test_rows_of_normal_activity_need_no_label() -> None:
    table = generated()
    data = dataset(RECIPE, table, Columns(), normal=True)
    assert data.positives == 0
    with pytest.raises(BadTrainingData, match=r"all .* rows are malicious"):
        dataset(RECIPE, replaced(table, "label", [1] * table.num_rows), STARTER_COLUMNS, normal=True)
    with pytest.raises(BadTrainingData, match="there is no label column"):
        dataset(RECIPE, table, Columns())
