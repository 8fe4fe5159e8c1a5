"""Fixtures that every test may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from demo.small_model import small_model
from scorer.circuits.zz import ZZMap
from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.rows.recipe import load_recipe
from scorer.rows.transform import derive, required_inputs

REPOSITORY = Path(__file__).resolve().parents[1]

# How long an example takes says nothing on a machine that does other work beside.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


def build(script: str, out: Path, **variables: str) -> Path:
    """The archive that a script of packaging/ builds into the folder ``out``, with more environment variables."""
    command = [sys.executable, str(REPOSITORY / "packaging" / script), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=os.environ | variables)
    (built,) = [path for path in out.iterdir() if path.name.endswith((".tar.gz", ".zip"))]
    return built


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
    circuit = ZZMap(qubits=3, reps=2, entanglement="full", bandwidth=0.5)
    return small_model(recipe, features, X, y, circuit, 0.05, "400 random rows of a test", starter)


def publish_model(home: Path, model: TrainedModel, live: bool = False) -> None:
    """Sign a model with the home's key, made where there is none, and publish it. A first version is live by itself;
    ``live``: so is this one."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    signer, _ = Signer.load_or_create(home / "private" / "signing_key.pem", home / "trusted_keys")
    registry = Registry(home / "registry", home / "trusted_keys")
    version = registry.publish(model, signer)
    if live:
        registry.set_alias(model.name, "live", version, signer)


@pytest.fixture(scope="session")
def tiny_model() -> TrainedModel:
    """A small model of the recipe `lateral`, marked as a starter."""
    return make_tiny_model()


@pytest.fixture(scope="session")
def publish_tiny(tiny_model: TrainedModel) -> Callable[[Path], None]:
    """Signs the small model and makes it live in the registry of a qscore home."""

    def publish(home: Path) -> None:
        publish_model(home, tiny_model)

    return publish
