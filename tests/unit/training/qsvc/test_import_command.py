"""A QSVC trained with qiskit-machine-learning, through its file and `qscore import-qsvc`, to a model that scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import zz_feature_map
from qiskit_machine_learning.algorithms import QSVC
from qiskit_machine_learning.kernels import FidelityStatevectorKernel
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from typer.testing import CliRunner

from scorer.cli.main import build
from scorer.models.calibration import Platt, fit_platt
from scorer.models.machine import ObservableMachine
from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry
from scorer.rows.builder import Columns
from scorer.rows.files import read_table, write_table
from scorer.rows.recipe import load_recipe
from scorer.service.settings import load_settings
from scorer.training.dataset import dataset
from scorer.training.prepare import prepared
from scorer.training.qsvc.convert import ImportRefused
from scorer.training.qsvc.file import QsvcFileError, read_qsvc, write_qsvc
from scorer.training.starter.generator import generate_events
from scorer.wire.errors import BadTrainingData

RECIPE = load_recipe("lateral")
RUNNER = CliRunner()


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files of labelled events of different companies: to train on, and to be judged on."""
    folder = tmp_path_factory.mktemp("events")
    files = folder / "train.csv", folder / "held.csv"
    for seed, file in enumerate(files):
        write_table(generate_events("lateral", 1_500, np.random.default_rng(seed), 0.1), file)
    return files


@pytest.fixture(scope="module")
def trained(events: tuple[Path, Path]) -> tuple[Any, tuple[str, ...], Any, Any, Any]:
    """A QSVC as a notebook has it: (qsvc, features' names, their values, its inputs, labels)."""
    ready = prepared(RECIPE, read_table(events[0]), Columns("label", None, "activity"))
    data = dataset(RECIPE, ready.rows, ready.columns)
    order = np.argsort(-np.array([abs(np.corrcoef(x, data.y)[0, 1]) if np.ptp(x) else 0.0 for x in data.X.T]))[:3]
    rng = np.random.default_rng(0)
    attacks, benign = np.flatnonzero(data.y == 1), np.flatnonzero(data.y == 0)
    rows = np.concatenate([attacks[:40], rng.choice(benign, 80, replace=False)])
    values = data.X[np.ix_(rows, order)]
    inputs = MinMaxScaler((0.0, 1.0)).fit_transform(values)
    words = np.where(data.y[rows] == 1, "attack", "benign")  # "attack" sorts first: high scores mean benign here
    kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(3, reps=2))
    qsvc = QSVC(quantum_kernel=kernel, C=2.0).fit(inputs, words)
    return qsvc, tuple(data.names[k] for k in order), values, inputs, words


@pytest.fixture(scope="module")
def machine(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    qsvc, names, values, inputs, words = trained
    path = tmp_path_factory.mktemp("machine") / "machine.json"
    write_qsvc(path, qsvc, features=names, values=values, inputs=inputs, labels=words, positive="attack")
    return path


@pytest.fixture(scope="module")
def imported(
    machine: Path, events: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainedModel, str]:
    """The model of the registry, and what the command said."""
    home = tmp_path_factory.mktemp("home")
    words = ["import-qsvc", str(machine), "--model", "lateral", "--data", str(events[1]), "--label", "label"]
    words += ["--group", "activity", "--fpr", "0.02", "--prevalence", "0.01"]
    done = RUNNER.invoke(build(), words, env={"QSCORE_HOME": str(home)})
    assert done.exit_code == 0, (done.output, done.exception)
    settings = load_settings(home=home)
    registry = Registry(settings.registry, settings.trusted_keys)
    return registry.load("lateral", registry.resolve("lateral", "live")), " ".join(done.output.split())


def test_the_model_scores_as_the_machine_did(imported: tuple[TrainedModel, str], trained: Any) -> None:
    model, said = imported
    qsvc, names, values, inputs, _ = trained
    assert model.feature_names == names
    # All of the training rows' range, between the rows too.
    share = np.random.default_rng(3).random((1_000, 3))
    low, high = values.min(0), values.max(0)
    Z = model.scaler.apply(low + share * (high - low))
    theirs = -qsvc.decision_function(inputs.min(0) + share * (inputs.max(0) - inputs.min(0)))
    assert isinstance(model.machine, ObservableMachine)
    bound = model.facts["hyper_parameters"]["truncation_bound"]
    assert np.abs(model.machine.exact_scores(Z) - theirs).max() <= bound + 1e-5 * np.abs(theirs).max()
    assert bound == 0.0  # eight eigenvalues, all kept
    assert "a QSVC trained elsewhere" in said
    assert "on 3 qubits Features:" in said
    assert "PR-AUC" in said
    assert "is live" in said


def test_it_is_calibrated_judged_and_explained_on_other_rows(
    imported: tuple[TrainedModel, str], events: tuple[Path, Path]
) -> None:
    model, _ = imported
    ready = prepared(RECIPE, read_table(events[1]), Columns("label", None, "activity"))
    data = dataset(RECIPE, ready.rows, ready.columns)
    where = [data.names.index(name) for name in model.feature_names]
    Z = model.scaler.apply(data.X[:, where])
    assert model.facts["split"]["judged_rows"] == len(data)
    assert np.array_equal(model.benign_scores, np.sort(model.machine.scores(Z)[data.y == 0]))
    assert set(model.facts["metrics"]["metrics"]) == {"quantum", "twin", "boosting"}
    assert model.facts["metrics"]["metrics"]["twin"]["roc_auc"] > 0.7
    asked = fit_platt(model.machine.scores(Z), data.y, 0.01)
    assert isinstance(model.calibration, Platt)
    assert (model.calibration.slope, model.calibration.intercept) == pytest.approx((asked.slope, asked.intercept))
    assert model.facts["hyper_parameters"]["tried"] == 15
    assert any("have the values of rows that it was trained on" in remark for remark in model.facts["remarks"])


def falling(values: Any) -> Any:
    """Large values of a feature to small inputs."""
    return 1.5 - 0.8 * (values - values.min(0)) / np.ptp(values, axis=0)


@pytest.mark.parametrize("scaler", [MinMaxScaler((0.0, 6.28)), StandardScaler(), falling])
def test_whatever_scaled_the_inputs_is_part_of_the_circuit(scaler: Any, trained: Any, tmp_path: Path) -> None:
    _, names, values, _, words = trained
    inputs = scaler(values) if callable(scaler) else scaler.fit_transform(values)
    kernel = FidelityStatevectorKernel(feature_map=zz_feature_map(3, reps=1, entanglement="linear"))
    qsvc = QSVC(quantum_kernel=kernel).fit(inputs, words)
    path = tmp_path / "m.json"
    write_qsvc(path, qsvc, features=names, values=values, inputs=inputs, labels=words, positive="attack")
    stored = read_qsvc(path)
    scores = stored.machine.collapsed().exact_scores(stored.machine.plan, stored.scaler.apply(values))
    assert np.abs(scores + qsvc.decision_function(inputs)).max() <= 1e-9
    assert stored.labels.tolist() == (words == "attack").astype(int).tolist()


def test_what_is_no_line_or_no_row_is_refused(trained: Any, tmp_path: Path) -> None:
    qsvc, names, values, inputs, words = trained
    given: dict[str, Any] = {"features": names, "values": values, "inputs": inputs, "labels": words}
    bent = np.log1p(values)
    with pytest.raises(ImportRefused, match=f"input of '{names[0]}' is no multiple of it plus a constant"):
        write_qsvc(tmp_path / "m.json", qsvc, **given | {"values": np.column_stack([bent[:, 0], values[:, 1:]])})
    constant = values.copy()
    constant[:, 1] = 4.0
    with pytest.raises(ImportRefused, match=f"'{names[1]}' or its input is the same on every training row"):
        write_qsvc(tmp_path / "m.json", qsvc, **given | {"values": constant})
    with pytest.raises(ImportRefused, match="do not belong to one machine of 3 features"):
        write_qsvc(tmp_path / "m.json", qsvc, **given | {"features": names[:2]})
    with pytest.raises(ImportRefused, match="must be finite"):
        write_qsvc(tmp_path / "m.json", qsvc, **given | {"values": np.full_like(values, np.nan)})


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw | {"qsvc_format": 3}, "no machine of the formats 1 and 2"),
        (lambda raw: [raw], "no machine of the formats 1 and 2"),
        (lambda raw: raw | {"more": 1}, "missing or unknown parts: more"),
        (lambda raw: raw | {"support": raw["support"][1:]}, "dual coefficients for"),
        (lambda raw: raw | {"support": [[1.0], [1.0, 2.0]]}, "support is not a table of finite numbers"),
        (lambda raw: raw | {"coefficients": ["a"]}, "coefficients is not a list of finite numbers"),
        (lambda raw: raw | {"coefficients": {"0": 1.0}}, "coefficients is not a list of finite numbers"),
        (lambda raw: raw | {"intercept": None}, "intercept is 'None'"),
        (lambda raw: raw | {"labels": [0] * len(raw["labels"])}, "labels of 0 and 1, both present"),
        (lambda raw: raw | {"rows": raw["rows"][1:]}, "rows of shape"),
        (lambda raw: raw | {"features": [raw["features"][0]] * 3}, "rows of shape"),
        (lambda raw: raw | {"low": raw["high"]}, "bounds are not finite and increasing"),
        (lambda raw: raw | {"low": raw["low"][:2], "high": raw["high"][:2]}, "scales for 2 of 3 features"),
        (lambda raw: raw | {"circuit": raw["circuit"] | {"qubits": 40}}, "qubits is 40"),
        (lambda raw: raw | {"circuit": {"kind": "pickle"}}, "circuit"),
    ],
)
def test_a_file_that_is_not_trusted_is_checked(change: Change, message: str, machine: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(change(json.loads(machine.read_text()))))
    with pytest.raises(QsvcFileError, match=message):
        read_qsvc(path)


def test_other_files_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "m.model").write_bytes(b"\x80\x04\x95\x00")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "huge.json").write_text('{"qsvc_format": 1, "a": 1e999, "b": NaN}')
    for name, message in (
        ("m.model", "is not JSON: pickles"),
        ("deep.json", "is not JSON"),
        ("huge.json", "unknown parts"),
        ("absent.json", "cannot be read"),
    ):
        with pytest.raises(QsvcFileError, match=message):
            read_qsvc(tmp_path / name)


def test_a_feature_that_the_recipe_lacks_is_named(
    trained: Any, events: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    qsvc, names, values, inputs, words = trained
    renamed = ("phase_of_moon", *names[1:])
    write_qsvc(tmp_path / "m.json", qsvc, features=renamed, values=values, inputs=inputs, labels=words)
    words_ = ["import-qsvc", str(tmp_path / "m.json"), "--model", "lateral", "--data", str(events[1])]
    done = RUNNER.invoke(build(), [*words_, "--label", "label"])
    assert isinstance(done.exception, BadTrainingData)
    assert "the machine's feature 'phase_of_moon' is none of the recipe's" in str(done.exception)
    absent = RUNNER.invoke(build(), ["import-qsvc", "no.json", *words_[2:], "--label", "label"])
    assert isinstance(absent.exception, BadTrainingData)
    assert "no.json cannot be read" in str(absent.exception)


def test_a_machine_that_scores_the_wrong_way_round_is_refused(
    trained: Any, events: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without positive="attack" high scores mean benign rows."""
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path / "home"))
    qsvc, names, values, inputs, words = trained
    write_qsvc(tmp_path / "m.json", qsvc, features=names, values=values, inputs=inputs, labels=words)
    command = ["import-qsvc", str(tmp_path / "m.json"), "--model", "lateral", "--data", str(events[1])]
    done = RUNNER.invoke(build(), [*command, "--label", "label"])
    assert isinstance(done.exception, BadTrainingData)
    assert "the imported machine says nothing that holds on these rows" in str(done.exception)
