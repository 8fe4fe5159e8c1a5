"""From rows and a fitted classifier to the file that `qscore import-qsvc` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import qscore
from scorer.rows.recipe import load_recipe
from scorer.rows.transform import derive, required_inputs
from scorer.training.qsvc.file import read_qsvc
from scorer.wire.errors import BadInput, BadTrainingData, UnknownModel

NAMES = ["log_events", "failure_ratio", "remote_ratio"]


def table(rows: int = 120) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Rows as `qscore rows` writes them, as far as the features of NAMES need, and labels."""
    rng = np.random.default_rng(0)
    events = rng.integers(1, 60, rows)
    inputs = {"events": events, "failures": rng.binomial(events, 0.3), "remote_logons": rng.binomial(events, 0.4)}
    malicious = inputs["failures"] > 0.3 * events + rng.normal(0.0, 1.0, rows)
    return pd.DataFrame(inputs), np.where(malicious, "attack", "benign")


def whole(frame: pd.DataFrame) -> pd.DataFrame:
    recipe = load_recipe("lateral")
    wanted = required_inputs(recipe, [feature.name for feature in recipe.features])
    return frame.assign(**{name: 1 for name in wanted if name not in frame})


def features(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(qscore.recipe_features("lateral", whole(frame)))[NAMES]


def test_features_are_those_that_a_worker_computes() -> None:
    frame = whole(table()[0])
    recipe = load_recipe("lateral")
    names = [feature.name for feature in recipe.features]
    found = qscore.recipe_features("lateral", frame)
    assert list(found) == names
    wanted = derive(recipe, names, {name: frame[name].to_numpy() for name in frame})
    assert np.array_equal(np.column_stack(list(found.values())), wanted)


@pytest.mark.parametrize("absent", ["empty", "column"])
def test_what_is_not_there_is_zero_where_the_recipe_says_so(absent: str) -> None:
    recipe = load_recipe("lateral_flow")
    zero = [one.name for one in recipe.inputs if one.zero]
    frame = pd.DataFrame({one.name: np.full(4, 1.0) for one in recipe.inputs})
    wanted = qscore.recipe_features("lateral_flow", frame.assign(**dict.fromkeys(zero, 0.0)))
    without = frame.assign(**dict.fromkeys(zero, np.nan)) if absent == "empty" else frame.drop(columns=zero)
    found = qscore.recipe_features("lateral_flow", without)
    assert len(zero) > 3
    assert np.array_equal(np.column_stack(list(found.values())), np.column_stack(list(wanted.values())))


def test_rows_of_which_no_features_come_are_refused(tmp_path: Path) -> None:
    frame = whole(table()[0])
    with pytest.raises(BadInput, match="events is empty or infinite on 120 of 120 rows"):
        qscore.recipe_features("lateral", frame.drop(columns="events"))
    with pytest.raises(BadInput, match=r"row 3: failures is 1000, more than events"):
        qscore.recipe_features("lateral", frame.assign(failures=np.where(np.arange(120) == 3, 1000, frame["failures"])))
    with pytest.raises(UnknownModel, match="no recipe for a model beacons"):
        qscore.recipe_features("beacons", frame)
    with pytest.raises(BadTrainingData, match="cannot be read"):
        qscore.recipe_features(tmp_path / "none.toml", frame)


@pytest.mark.parametrize(
    "parameters",
    [{"bandwidth": 0.8}, {"feature_map": "pauli", "bandwidth": 2.0}, {"scale": False, "feature_map": qscore.zz(3)}],
)
def test_the_file_holds_the_machine_that_was_fitted(parameters: dict[str, Any], tmp_path: Path) -> None:
    frame, y = table()
    X = features(frame)
    machine = qscore.QuantumKernelClassifier(C=5.0, class_weight="balanced", **parameters).fit(X, y)
    qscore.write_machine(tmp_path / "machine.json", machine, features=NAMES, X=X, y=y, positive="attack")
    stored = read_qsvc(tmp_path / "machine.json")
    scores = stored.machine.collapsed().exact_scores(stored.machine.plan, stored.scaler.apply(X.to_numpy()))
    # classes_ is ["attack", "benign"]: high scores of the classifier mean benign, those of the file an attack.
    assert np.abs(scores + machine.decision_function(X)).max() < 1e-9
    assert stored.features == tuple(NAMES)
    assert np.array_equal(stored.labels == 1, y == "attack")


def test_rows_beyond_the_fitted_ones_score_alike_where_the_model_is_loaded(tmp_path: Path) -> None:
    """Both end at half the range beyond the fitted rows."""
    frame, y = table()
    X = features(frame)
    machine = qscore.QuantumKernelClassifier(bandwidth=0.8).fit(X, y)
    qscore.write_machine(tmp_path / "machine.json", machine, features=NAMES, X=X, y=y)
    stored = read_qsvc(tmp_path / "machine.json")
    far = pd.DataFrame(np.array([[9.0, 3.0, -2.0], [0.0, 0.5, 0.5]]), columns=NAMES)
    scores = stored.machine.collapsed().exact_scores(stored.machine.plan, stored.scaler.apply(far.to_numpy()))
    assert np.abs(scores - machine.decision_function(far)).max() < 1e-9


@pytest.mark.parametrize("around", ["pipeline", "search"])
def test_what_ends_in_a_classifier_is_written_too(around: str, tmp_path: Path) -> None:
    frame, y = table()
    X = features(frame)
    inner = qscore.QuantumKernelClassifier("zz", bandwidth=0.8)
    machine = (
        make_pipeline(StandardScaler(), inner) if around == "pipeline" else GridSearchCV(inner, {"C": [1.0]}, cv=2)
    )
    machine.fit(X, y)
    qscore.write_machine(tmp_path / "machine.json", machine, features=NAMES, X=X, y=y)
    stored = read_qsvc(tmp_path / "machine.json")
    scores = stored.machine.collapsed().exact_scores(stored.machine.plan, stored.scaler.apply(X.to_numpy()))
    assert np.abs(scores - machine.decision_function(X)).max() < 1e-9


def test_what_is_not_fitted_is_refused(tmp_path: Path) -> None:
    X = features(table()[0])
    with pytest.raises(ValueError, match="not fitted yet"):
        qscore.write_machine(tmp_path / "m.json", qscore.QuantumKernelClassifier(), features=NAMES, X=X, y=table()[1])


def test_other_rows_than_the_fitted_ones_are_refused(tmp_path: Path) -> None:
    frame, y = table()
    X = features(frame)
    machine = qscore.QuantumKernelClassifier(bandwidth=0.8).fit(X, y)
    for others in (X[::-1], X[:50], features(table(300)[0])):
        with pytest.raises(ValueError, match="not the rows that the classifier was fitted on"):
            qscore.write_machine(tmp_path / "m.json", machine, features=NAMES, X=others, y=y[: len(others)])
    assert not (tmp_path / "m.json").exists()


def test_a_machine_of_three_classes_is_refused(tmp_path: Path) -> None:
    X = features(table()[0])
    machine = qscore.QuantumKernelClassifier().fit(X, np.arange(120) % 3)
    with pytest.raises(ValueError, match="3 classes; one machine tells two apart"):
        qscore.write_machine(tmp_path / "m.json", machine, features=NAMES, X=X, y=np.arange(120) % 3)


def test_the_file_is_data(tmp_path: Path) -> None:
    frame, y = table()
    machine = qscore.QuantumKernelClassifier().fit(features(frame), y)
    qscore.write_machine(tmp_path / "machine.json", machine, features=NAMES, X=features(frame), y=y)
    assert json.loads((tmp_path / "machine.json").read_text())["qsvc_format"] == 1
