"""The estimators as scikit-learn has them: its own checks, pipelines, searches, data frames, pickles."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from qscore import FidelityKernel, NystromFeatures, QuantumKernelClassifier, QuantumNoveltyDetector

#: All of scikit-learn's checks on every estimator. SCIPY_ARRAY_API has to be set before SciPy is loaded.
CHECKS = """
import json
from sklearn.utils.estimator_checks import check_estimator
import qscore
found = {}
for estimator in (
    qscore.QuantumKernelClassifier(),
    qscore.QuantumKernelClassifier(bandwidth=0.4, C=3.0, class_weight="balanced"),
    qscore.QuantumNoveltyDetector(),
    qscore.QuantumNoveltyDetector(method="density"),
    qscore.FidelityKernel(),
    qscore.NystromFeatures(),
):
    found[repr(estimator)] = [
        (one["check_name"], one["status"], repr(one["exception"]), one["expected_to_fail"])
        for one in check_estimator(estimator, on_skip=None, on_fail=None)
    ]
print(json.dumps(found))
"""


def moons(rows: int = 120) -> tuple[Any, Any]:
    X, y = make_moons(rows, noise=0.2, random_state=0)
    return X, y


ESTIMATORS = [QuantumKernelClassifier(), QuantumNoveltyDetector(), FidelityKernel(), NystromFeatures(n_components=20)]


def output(estimator: Any, X: Any) -> Any:
    return estimator.transform(X) if hasattr(estimator, "transform") else estimator.decision_function(X)


def test_scikit_learns_checks_pass_without_a_failure_a_skip_or_an_expected_failure() -> None:
    variables = {"SCIPY_ARRAY_API": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-c", CHECKS], env=os.environ | variables, capture_output=True, text=True, timeout=300
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert len(found) == 6
    for estimator, checks in found.items():
        odd = [check for check in checks if check[1] != "passed" or check[3]]
        assert len(checks) > 40
        assert odd == [], estimator


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_a_clone_fits_alike(estimator: Any) -> None:
    X, y = moons()
    first, second = clone(estimator).fit(X, y), clone(clone(estimator)).fit(X, y)
    assert np.array_equal(output(first, X), output(second, X))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_a_pickle_scores_to_the_last_digit(estimator: Any) -> None:
    X, y = moons()
    fitted = clone(estimator).fit(X, y)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - made here
    assert type(again) is type(fitted)
    assert again.get_params() == fitted.get_params()
    assert np.array_equal(output(again, X), output(fitted, X))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_sparse_rows_are_refused_as_scikit_learn_does(estimator: Any) -> None:
    X, y = moons(20)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        clone(estimator).fit(scipy.sparse.csr_matrix(X), y)


def test_pipelines_and_grids_search_map_bandwidth_and_cost() -> None:
    X, y = moons()
    search = GridSearchCV(
        make_pipeline(FidelityKernel(), SVC(kernel="precomputed")),
        {
            "fidelitykernel__bandwidth": [0.2, 0.8],
            "fidelitykernel__feature_map": ["zz", "pauli"],
            "svc__C": [1.0, 10.0],
        },
        scoring="roc_auc",
        cv=3,
    ).fit(X, y)
    assert search.best_score_ > 0.9
    direct = GridSearchCV(QuantumKernelClassifier(), {"bandwidth": np.geomspace(0.2, 0.8, 2), "C": [1, 10]}, cv=3)
    assert direct.fit(X, y).best_score_ > 0.85


def test_nystrom_features_of_all_rows_are_the_kernel() -> None:
    X, _ = moons(60)
    features = NystromFeatures(bandwidth=1.5, n_components=60).fit(X)
    kernel = FidelityKernel(bandwidth=1.5).fit(X)
    assert np.abs(features.transform(X) @ features.transform(X).T - kernel.transform(X)).max() < 1e-6


def test_a_linear_machine_on_nystrom_features_tells_the_moons_apart() -> None:
    X, y = moons(200)
    machine = make_pipeline(NystromFeatures(bandwidth=0.6, n_components=40), LogisticRegression(C=100.0))
    assert cross_val_score(machine, X, y, scoring="roc_auc", cv=3).mean() > 0.95


def test_probabilities_come_from_a_calibration_on_held_out_rows() -> None:
    X, y = moons(300)
    machine = CalibratedClassifierCV(QuantumKernelClassifier(bandwidth=0.6, C=10.0), ensemble=False, cv=3).fit(X, y)
    probability = machine.predict_proba(X)[:, 1]
    assert ((probability > 0.0) & (probability < 1.0)).all()
    assert np.mean((probability - y) ** 2) < 0.06


def test_data_frames_come_out_with_names_and_index() -> None:
    X, y = moons(30)
    frame = pd.DataFrame(X, columns=["left", "right"], index=np.arange(100, 130))
    out = FidelityKernel().set_output(transform="pandas").fit(frame).transform(frame[:5])
    assert list(out.columns) == [f"fidelitykernel{k}" for k in range(30)]
    assert list(out.index) == list(range(100, 105))
    fitted = QuantumKernelClassifier().fit(frame, y)
    assert list(fitted.feature_names_in_) == ["left", "right"]
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["right", "left"]])


@pytest.mark.parametrize("method", ["leverage", "density"])
def test_rows_unlike_the_fitted_ones_are_found(method: str) -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(400, 1)) + 0.2 * rng.normal(size=(400, 4))  # four features that go together
    odd = rng.normal(size=(100, 4))
    detector = QuantumNoveltyDetector(method=method, contamination=0.05).fit(normal[:300])
    scores = detector.score_samples(np.concatenate([normal[300:], odd]))
    assert roc_auc_score(np.repeat([1, 0], 100), scores) > (0.95 if method == "leverage" else 0.6)
    assert np.mean(detector.predict(normal[:300]) == -1) == pytest.approx(0.05, abs=0.005)
    assert np.array_equal(detector.predict(odd) == -1, detector.decision_function(odd) < 0.0)


@pytest.mark.parametrize("parameters", [{"method": "far"}, {"contamination": 0.0}, {"ridge": -1.0}])
def test_a_detector_says_which_parameter_is_not_possible(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        QuantumNoveltyDetector(**parameters).fit(moons(20)[0])


def test_nystrom_features_need_a_landmark() -> None:
    with pytest.raises(ValueError, match="n_components is 0"):
        NystromFeatures(n_components=0).fit(moons(20)[0])
