"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scorer.circuits.zz import ZZMap
from scorer.features.recipe import load_recipe
from scorer.features.transform import Scaler, derive, required_inputs
from scorer.models.calibration import fit_platt
from scorer.models.fit import fit_svc, fit_twin
from scorer.models.machine import ObservableMachine
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def require() -> Callable[[bool, str], None]:
    """``require(there, "what is missing")``: skips with that one line, or fails where CI=true."""

    def check(there: bool, missing: str) -> None:
        if there:
            return
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"required when CI=true: {missing}")
        pytest.skip(missing)

    return check


@pytest.fixture(scope="session")
def shared_data(require: Callable[[bool, str], None]) -> Path:
    """The folder of real captures."""
    folder = Path(os.environ.get("QSCORE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    require(folder.is_dir(), f"real captures are not at {folder}; set QSCORE_SHARED_DATA")
    return folder


def make_tiny_model(name: str = "lateral", starter: bool = True, seed: int = 5) -> TrainedModel:
    """A real model on a few hundred random rows of three features: quick to fit, weak, and signed like any other."""
    rng = np.random.default_rng(seed)
    recipe = load_recipe(name)
    features = tuple(feature.name for feature in recipe.features[:3])
    columns = {column: np.floor(rng.gamma(2.0, 3.0, 400)) + 1.0 for column in required_inputs(recipe, features)}
    X = derive(recipe, features, columns)
    y = (X[:, 0] + rng.normal(0.0, 0.3, len(X)) > np.quantile(X[:, 0], 0.8)).astype(np.int64)
    scaler = Scaler.fit(X[:200], features)
    Z = scaler.apply(X)
    circuit = ZZMap(qubits=3, reps=2, entanglement="full", bandwidth=0.5)
    observable = fit_svc(Z[:200], y[:200], circuit, 1.0)
    twin = fit_twin(Z[:200], y[:200], 1.0, 1.0)
    held, labels = Z[200:], y[200:]
    scores, twin_scores = observable.scores(circuit, held), twin.scores(held)
    return TrainedModel(
        name=name,
        family="svc",
        recipe=recipe,
        grain="window",
        feature_names=features,
        scaler=scaler,
        machine=ObservableMachine(circuit, observable),
        twin=twin,
        calibration=fit_platt(scores, labels),
        twin_calibration=fit_platt(twin_scores, labels),
        benign_scores=np.sort(scores[labels == 0]),
        twin_benign_scores=np.sort(twin_scores[labels == 0]),
        fpr=0.05,
        reference=np.median(X[y == 0], axis=0),
        facts={"trained_on": "400 random rows of a test", "starter": starter},
    )


@pytest.fixture(scope="session")
def tiny_model() -> TrainedModel:
    """A small model of the recipe `lateral`, marked as a starter."""
    return make_tiny_model()


@pytest.fixture(scope="session")
def publish_tiny(tiny_model: TrainedModel) -> Callable[[Path], None]:
    """Signs the small model and makes it live in the registry of a qscore home."""

    def publish(home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        signer, _ = Signer.load_or_create(home / "private" / "signing_key.pem", home / "trusted_keys")
        Registry(home / "registry", home / "trusted_keys").publish(tiny_model, signer)

    return publish
