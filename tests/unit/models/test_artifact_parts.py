"""Artifact format 2: there and back bit for bit for every family, every damaged part refused, format 1 still read."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scorer.circuits.plugins import feature_map
from scorer.circuits.zz import ZZMap
from scorer.models.artifact import from_parts, layout_of, to_parts
from scorer.models.calibration import Platt, Ranks
from scorer.models.families import FAMILIES, Twin
from scorer.models.machine import Machine, ObservableMachine
from scorer.models.observable import FeatureMap
from scorer.models.parts import ArtifactFormatError
from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry
from scorer.training.families.density import fit_density, fit_density_twin
from scorer.training.families.leverage import fit_leverage, fit_leverage_twin
from scorer.training.families.nystrom_logistic import fit_nystrom_logistic, fit_nystrom_twin
from scorer.training.families.projected import fit_projected
from scorer.training.families.svc import fit_svc, fit_twin
from scorer.training.families.table import FAMILY_TRAINING
from scorer.training.families.vqc import fit_vqc

STORED = Path(__file__).parent / "data" / "format1"


def fitted(family: str, circuit: FeatureMap) -> tuple[Machine, Twin]:
    """Machine and twin of a family on a few random rows of three features."""
    rng = np.random.default_rng(1)
    Z = rng.random((60, 3))
    y = (Z[:, 0] + 0.3 * rng.random(60) > 0.6).astype(np.int64)
    if family == "projected":
        return fit_projected(Z, y, circuit, 1.0, 1.0), fit_twin(Z, y, 1.0, 1.0)
    if family == "leverage":
        return ObservableMachine(circuit, fit_leverage(Z, circuit, 1e-2)), fit_leverage_twin(Z, 1.0, 1e-2, Z[:20])
    if family == "density":
        return ObservableMachine(circuit, fit_density(Z, circuit)), fit_density_twin(Z, 1.0)
    if family == "nystrom-logistic":
        observable = fit_nystrom_logistic(Z, y, circuit, 1.0, Z[:20])
        return ObservableMachine(circuit, observable), fit_nystrom_twin(Z, y, 1.0, 1.0, Z[:20])
    observable = fit_svc(Z, y, circuit, 1.0)
    if family == "vqc":
        observable = fit_vqc(Z, y, circuit, 1.0, 1, seed=0, restarts=1, steps=3)
    return ObservableMachine(circuit, observable), fit_twin(Z, y, 1.0, 1.0)


def of_family(tiny: TrainedModel, family: str, map_name: str = "zz") -> TrainedModel:
    """The tiny model with the machine and twin of another family."""
    made = feature_map(map_name, 3, bandwidth=0.5)
    machine, twin = fitted(family, made if isinstance(made, ZZMap) else made.plan)
    ranked = FAMILY_TRAINING[family].one_class
    held = np.random.default_rng(2).random((150, 3))
    benign, twin_benign = np.sort(machine.scores(held)), np.sort(twin.scores(held))
    return dataclasses.replace(
        tiny,
        family=family,
        machine=machine,
        twin=twin,
        benign_scores=benign,
        twin_benign_scores=twin_benign,
        calibration=Ranks(benign, machine.rounding) if ranked else tiny.calibration,
        twin_calibration=Ranks(twin_benign, twin.rounding) if ranked else tiny.twin_calibration,
    )


@pytest.mark.parametrize("map_name", ["zz", "qft"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_scores_the_same_after_json_and_back(tiny_model: TrainedModel, family: str, map_name: str) -> None:
    model = of_family(tiny_model, family, map_name)
    description, arrays = to_parts(model)
    assert description["machine"]["circuit"]["kind"] == ("zz" if map_name == "zz" else "plan")
    assert set(arrays) == set(layout_of(model.kind, model.machine.to_dict()))
    back = from_parts(json.loads(json.dumps(description)), {k: np.array(v) for k, v in arrays.items()})
    Z = np.random.default_rng(0).random((300, 3))
    assert np.array_equal(back.scores(Z), model.scores(Z))
    assert np.array_equal(back.twin_scores(Z), model.twin_scores(Z))
    assert type(back.calibration) is type(model.calibration)
    assert back.threshold == model.threshold
    assert to_parts(back)[0] == description


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_row_that_equals_held_out_rows_has_their_p_value_however_it_is_scored(
    tiny_model: TrainedModel, family: str
) -> None:
    """Rows of counts repeat. Compiled or not, in whatever batch, the last digit differs: it made such rows alerts."""
    few = np.random.default_rng(4).random((12, 3))
    model = of_family(tiny_model, family)
    benign = np.sort(np.repeat(model.scores(few), 20))
    if FAMILY_TRAINING[family].one_class:
        model = dataclasses.replace(model, calibration=Ranks(benign, model.machine.rounding), benign_scores=benign)
    else:
        model = dataclasses.replace(model, benign_scores=benign)
    expected = model.rule.pvalues(model.scores(few))
    assert sorted((241.0 * expected).round().tolist()) == [1.0 + 20.0 * k for k in range(1, 13)]
    for ours in (model.machine.exact_scores(few), *(model.scores(few) + step for step in (-1e-7, 1e-7))):
        assert model.rule.pvalues(ours).tolist() == expected.tolist()
        if FAMILY_TRAINING[family].one_class:
            assert model.calibration.probability(ours).tolist() == (1.0 - expected).tolist()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_damaged_arrays_of_every_family_are_refused(tiny_model: TrainedModel, family: str) -> None:
    description, arrays = to_parts(of_family(tiny_model, family))
    for name, array in arrays.items():
        for how in ("nan", "type", "object", "short", "flat"):
            if how == "short" and name.endswith("benign_scores"):
                continue  # another line, which the stated threshold guards, or the twin's, which has no stated line
            with pytest.raises(ArtifactFormatError):
                from_parts(description, {**arrays, name: spoiled(array, how)})


def test_parts_of_one_family_are_no_model_of_another(tiny_model: TrainedModel) -> None:
    leverage, arrays = to_parts(of_family(tiny_model, "leverage"))
    for family in ("svc", "projected"):
        with pytest.raises(ArtifactFormatError, match="missing or unknown parts"):
            from_parts({**leverage, "family": family}, arrays)
    with pytest.raises(ArtifactFormatError, match="family density has no twin of the type LeverageTwin"):
        dataclasses.replace(of_family(tiny_model, "leverage"), family="density")


def test_ranks_say_one_minus_the_p_value_and_agree_with_the_line(tiny_model: TrainedModel) -> None:
    model = of_family(tiny_model, "density")
    raw = np.linspace(model.benign_scores[0] - 1, model.benign_scores[-1] + 1, 2001)
    probability = model.calibration.probability(raw)
    assert np.array_equal(probability, 1.0 - model.rule.pvalues(raw))
    assert ((model.rule.pvalues(raw) <= model.fpr) == (probability > model.threshold)).all()


def test_a_stored_artifact_of_format_1_still_loads_and_scores_as_it_did() -> None:
    model = Registry(STORED / "registry", STORED / "trusted_keys").load("lateral", "1-starter")
    expected = json.loads((STORED / "scores.json").read_text())
    Z = np.random.default_rng(11).random((16, 3))
    assert np.abs(model.scores(Z) - expected["quantum"]).max() <= 1e-5
    assert np.abs(model.twin_scores(Z) - expected["twin"]).max() <= 1e-5
    assert np.abs(model.calibration.probability(model.scores(Z)) - expected["probability"]).max() <= 1e-5
    assert isinstance(model.calibration, Platt)
    assert model.threshold == pytest.approx(expected["threshold"], rel=1e-9)
    assert (model.family, to_parts(model)[0]["format"]) == ("svc", 2)


@pytest.mark.parametrize("damage", [{"family": "vqc"}, {"circuit": 5}, {"observable_offset": "x"}, {"more": 1}])
def test_damaged_parts_of_format_1_are_refused(damage: dict[str, Any]) -> None:
    registry = Registry(STORED / "registry", STORED / "trusted_keys")
    manifest = registry.manifest("lateral", "1-starter")
    with np.load(STORED / "registry" / "lateral" / "1-starter" / "arrays.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    assert from_parts(manifest["model"], arrays).name == "lateral"
    with pytest.raises(ArtifactFormatError):
        from_parts({**manifest["model"], **damage}, arrays)


def test_a_model_keeps_its_recipe_and_line(tiny_model: TrainedModel) -> None:
    description, arrays = to_parts(tiny_model)
    back = from_parts(json.loads(json.dumps(description)), arrays)
    Z = np.random.default_rng(0).random((1000, 3))
    assert np.array_equal(back.scores(Z), tiny_model.scores(Z))
    assert np.array_equal(back.twin_scores(Z), tiny_model.twin_scores(Z))
    assert back.threshold == tiny_model.threshold
    assert back.recipe == tiny_model.recipe
    assert to_parts(back)[0] == description


def test_arrays_are_plain_and_contiguous(tiny_model: TrainedModel) -> None:
    arrays = to_parts(tiny_model)[1]
    assert arrays
    for array in arrays.values():
        assert array.dtype.str in ("<f4", "<f8")
        assert array.flags.c_contiguous


def test_the_threshold_is_the_probability_at_the_line(tiny_model: TrainedModel) -> None:
    raw = np.linspace(tiny_model.benign_scores[0] - 1, tiny_model.benign_scores[-1] + 1, 4001)
    alert = tiny_model.rule.pvalues(raw) <= tiny_model.fpr
    probability = tiny_model.calibration.probability(raw)
    assert (alert == (probability > tiny_model.threshold)).all()


ZZ3 = {"kind": "zz", "qubits": 3, "reps": 2, "entanglement": "full", "bandwidth": 0.5}
CHANGES: list[tuple[str, Any, str]] = [
    ("format", 3, "reads the model formats 1 and 2"),
    ("format", 1, "missing or unknown parts"),
    ("format", True, "missing or unknown parts"),
    ("family", "forest", "family 'forest'"),
    ("family", ["svc"], "is not known"),
    ("name", "../etc", "called '../etc'"),
    ("name", 5, "name is '5', not text"),
    ("grain", "year", "grain 'year'"),
    ("recipe", {}, "recipe has no 'schema'"),
    ("features", ["log_events"], "1 features"),
    ("features", ["log_events", "log_events", "logon_ratio"], "different ones"),
    ("features", ["log_events", "entropy", "logon_ratio"], "entropy"),
    ("features", "log_events", "list of texts"),
    ("machine", {"circuit": {**ZZ3, "reps": 99}, "offset": 0.0}, "reps is 99"),
    ("machine", {"circuit": {**ZZ3, "qubits": 4}, "offset": 0.0}, "observable of shape"),
    ("machine", {"circuit": {"kind": "plan", "qubits": 40}, "offset": 0.0}, "plan"),
    ("machine", {"circuit": {"kind": "qiskit"}, "offset": 0.0}, "plan"),
    ("machine", {"circuit": "zz", "offset": 0.0}, "circuit is not an object"),
    ("machine", {"circuit": ZZ3}, "missing or unknown parts: offset"),
    ("machine", {"circuit": ZZ3, "offset": None}, "offset"),
    ("machine", {"circuit": ZZ3, "offset": float("nan")}, "offset"),
    ("machine", [], "machine is not an object"),
    ("twin", {"gamma": -1.0, "offset": 0.0}, "gamma -1.0"),
    ("twin", {"gamma": True, "offset": 0.0}, "gamma"),
    ("twin", {"gamma": 1.0}, "missing or unknown parts: offset"),
    ("calibration", {"kind": "platt", "slope": -1.0, "intercept": 0.0}, "slope -1.0"),
    ("calibration", {"kind": "platt", "slope": 1.0}, "calibration: missing or unknown parts"),
    ("calibration", {"kind": "isotonic", "slope": 1.0, "intercept": 0.0}, "'isotonic'; known are platt and ranks"),
    ("calibration", {"kind": "ranks", "slope": 1.0}, "calibration: missing or unknown parts"),
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
        ("machine_values", (9,), np.float64),
    ],
)
def test_caps_hold(tiny_model: TrainedModel, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    description, arrays = to_parts(tiny_model)
    changed = {**arrays, name: np.zeros(shape, dtype)}
    if name == "machine_values":
        changed |= {part: np.zeros((9, 8), np.float32) for part in ("machine_real", "machine_imag")}
    with pytest.raises(ArtifactFormatError, match=r"observable of shape|support vectors of shape|at most 200000"):
        from_parts(description, changed)


def test_facts_that_json_cannot_hold_are_refused(tiny_model: TrainedModel) -> None:
    for value in (np.int64(3), float("nan"), {1, 2}):
        with pytest.raises(ArtifactFormatError, match="cannot be written as JSON"):
            dataclasses.replace(tiny_model, facts={**tiny_model.facts, "odd": value})


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("fpr", 10**400, "fpr is '1000"),
        ("machine", {"circuit": ZZ3, "offset": 1e300}, "an observable reaches scores of .* offset 1e[+]300"),
        ("twin", {"gamma": 1.0, "offset": -1e300}, "a twin reaches scores of .* offset -1e[+]300"),
    ],
)
def test_numbers_that_no_score_can_hold_are_refused(
    tiny_model: TrainedModel, key: str, value: Any, complaint: str
) -> None:
    description, arrays = to_parts(tiny_model)
    with pytest.raises(ArtifactFormatError, match=complaint):
        from_parts({**description, key: value}, arrays)


def test_a_whole_number_beyond_every_float_is_refused_in_a_recipe(tiny_model: TrainedModel) -> None:
    description, arrays = to_parts(tiny_model)
    damaged = copy.deepcopy(description)
    damaged["recipe"]["input"][0]["min"] = 10**400
    with pytest.raises(ArtifactFormatError, match=r"min is '1000.*must be a finite number"):
        from_parts(damaged, arrays)


@pytest.mark.parametrize(
    ("family", "name", "value", "complaint"),
    [
        ("svc", "machine_values", 1e300, "an observable reaches scores"),
        ("svc", "twin_coefficients", 3e38, "a twin reaches scores"),
        ("svc", "twin_support", 3e38, "support vectors beyond 1e[+]06"),
        ("leverage", "twin_vectors", 3e38, "a twin reaches scores"),
        ("leverage", "twin_values", -1e300, "a twin reaches scores"),
        ("projected", "machine_coefficients", 3e38, "reaches scores"),
        ("svc", "reference", 1e300, "no value of"),
        ("svc", "reference", 700.0, "700.0 is no value of log_events; the largest is 36.7"),
    ],
)
def test_finite_numbers_that_overflow_when_scored_are_refused(
    tiny_model: TrainedModel, family: str, name: str, value: float, complaint: str
) -> None:
    """Each made scores of NaN or infinity, or a reason that could not be written, of rows that are fine."""
    description, arrays = to_parts(of_family(tiny_model, family))
    changed = arrays[name].copy()
    changed.flat[0] = value
    with pytest.raises(ArtifactFormatError, match=complaint):
        from_parts(description, {**arrays, name: changed})


@pytest.mark.parametrize("scale", [0.0, -1.0, 1.1e9, 1e300])
def test_a_projection_of_no_possible_scale_is_refused(tiny_model: TrainedModel, scale: float) -> None:
    description, arrays = to_parts(of_family(tiny_model, "projected"))
    with pytest.raises(ArtifactFormatError, match="a scale of"):
        from_parts({**description, "machine": {**description["machine"], "scale": scale}}, arrays)


def test_eigenvectors_of_another_length_are_refused(tiny_model: TrainedModel) -> None:
    description, arrays = to_parts(tiny_model)
    with pytest.raises(ArtifactFormatError, match="do not have unit norm"):
        from_parts(description, {**arrays, "machine_real": 1.1 * arrays["machine_real"].astype(np.float32)})
