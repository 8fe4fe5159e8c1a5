"""Artifact format 1: there and back bit for bit, and every damaged part refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from scorer.models.artifact import ArtifactFormatError, TrainedModel, from_parts, to_parts


def test_a_model_scores_the_same_after_json_and_back(tiny_model: TrainedModel) -> None:
    description, arrays = to_parts(tiny_model)
    back = from_parts(json.loads(json.dumps(description)), arrays)
    Z = np.random.default_rng(0).random((1000, 3))
    assert np.array_equal(back.scores(Z), tiny_model.scores(Z))
    assert np.array_equal(back.twin_scores(Z), tiny_model.twin_scores(Z))
    assert back.threshold == tiny_model.threshold
    assert back.recipe == tiny_model.recipe
    assert to_parts(back)[0] == description


def test_arrays_are_plain_and_contiguous(tiny_model: TrainedModel) -> None:
    for array in to_parts(tiny_model)[1].values():
        assert array.dtype.str in ("<f4", "<f8")
        assert array.flags.c_contiguous


def test_the_threshold_is_the_probability_at_the_line(tiny_model: TrainedModel) -> None:
    raw = np.linspace(tiny_model.benign_scores[0] - 1, tiny_model.benign_scores[-1] + 1, 4001)
    alert = tiny_model.rule.pvalues(raw) <= tiny_model.fpr
    probability = tiny_model.calibration.probability(raw)
    assert (alert == (probability > tiny_model.threshold)).all()


CHANGES: list[tuple[str, Any, str]] = [
    ("format", 2, "reads model format 1"),
    ("family", "vqc", "family 'vqc'"),
    ("name", "../etc", "called '../etc'"),
    ("name", 5, "name is '5', not text"),
    ("grain", "year", "grain 'year'"),
    ("recipe", {}, "recipe has no 'schema'"),
    ("features", ["log_events"], "1 features"),
    ("features", ["log_events", "log_events", "logon_ratio"], "different ones"),
    ("features", ["log_events", "entropy", "logon_ratio"], "entropy"),
    ("features", "log_events", "list of texts"),
    ("circuit", {"kind": "zz", "qubits": 3, "reps": 99, "entanglement": "full", "bandwidth": 0.5}, "reps is 99"),
    ("circuit", "zz", "feature map"),
    ("observable_offset", None, "observable_offset"),
    ("observable_offset", float("nan"), "observable_offset"),
    ("twin_gamma", -1.0, "gamma -1.0"),
    ("twin_gamma", True, "twin_gamma"),
    ("calibration", {"slope": -1.0, "intercept": 0.0}, "slope -1.0"),
    ("calibration", {"slope": 1.0}, "calibration has the keys"),
    ("twin_calibration", [], "not an object"),
    ("fpr", 0.9, "false-positive rate"),
    ("threshold", 0.999999, "threshold is stated"),
    ("facts", {}, "trained_on"),
    ("facts", {"trained_on": "x", "starter": "yes"}, "starter"),
    ("surprise", 1, "surprise"),
]


@pytest.mark.parametrize(("key", "value", "complaint"), CHANGES)
def test_a_damaged_description_is_refused(tiny_model: TrainedModel, key: str, value: Any, complaint: str) -> None:
    description, arrays = to_parts(tiny_model)
    damaged = copy.deepcopy(description)
    damaged[key] = value
    with pytest.raises(ArtifactFormatError, match=complaint):
        from_parts(damaged, arrays)


@pytest.mark.parametrize("description", [None, [], "model", {}, {"format": 1}])
def test_what_is_no_description_is_refused(tiny_model: TrainedModel, description: Any) -> None:
    with pytest.raises(ArtifactFormatError):
        from_parts(description, to_parts(tiny_model)[1])


def spoiled(array: Any, how: str) -> Any:
    wrong = array.copy()
    if how == "nan":
        wrong.flat[0] = np.nan
    elif how == "type":
        wrong = wrong.astype(np.float16)
    elif how == "object":
        wrong = wrong.astype(object)
    elif how == "short":
        wrong = wrong[:-1]
    elif how == "flat":
        wrong = wrong[None]
    return wrong


@pytest.mark.parametrize("how", ["nan", "type", "object", "short", "flat"])
def test_damaged_arrays_are_refused(tiny_model: TrainedModel, how: str) -> None:
    description, arrays = to_parts(tiny_model)
    for name, array in arrays.items():
        if how == "short" and name.endswith("benign_scores"):
            continue  # another line, which the stated threshold guards, or the twin's, which has no stated line
        with pytest.raises(ArtifactFormatError):
            from_parts(description, {**arrays, name: spoiled(array, how)})


def test_missing_and_additional_arrays_are_refused(tiny_model: TrainedModel) -> None:
    description, arrays = to_parts(tiny_model)
    fewer = {name: array for name, array in arrays.items() if name != "reference"}
    for wrong in (fewer, {**arrays, "payload": arrays["reference"]}):
        with pytest.raises(ArtifactFormatError, match="missing or unknown parts"):
            from_parts(description, wrong)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("twin_support", (20_001, 3), np.float32),
        ("benign_scores", (200_001,), np.float64),
        ("observable_values", (9,), np.float64),
    ],
)
def test_caps_hold(tiny_model: TrainedModel, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    description, arrays = to_parts(tiny_model)
    changed = {**arrays, name: np.zeros(shape, dtype)}
    if name == "observable_values":
        changed |= {part: np.zeros((9, 8), np.float32) for part in ("observable_real", "observable_imag")}
    with pytest.raises(ArtifactFormatError, match=r"observable of shape|support vectors of shape|at most 200000"):
        from_parts(description, changed)


def test_facts_that_json_cannot_hold_are_refused(tiny_model: TrainedModel) -> None:
    for value in (np.int64(3), float("nan"), {1, 2}):
        with pytest.raises(ArtifactFormatError, match="cannot be written as JSON"):
            dataclasses.replace(tiny_model, facts={**tiny_model.facts, "odd": value})
