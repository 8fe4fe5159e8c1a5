"""Which model a worker scores with when the registry changes under it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.service.worker.model_cache import ModelCache
from tests.conftest import make_tiny_model


def test_a_version_is_loaded_once_and_again_when_it_was_trained_anew(
    tmp_path: Path, tiny_model: TrainedModel, publish_tiny: Callable[[Path], None]
) -> None:
    publish_tiny(tmp_path)
    registry = Registry(tmp_path / "registry", tmp_path / "trusted_keys")
    cache = ModelCache(registry)
    first = cache.get("lateral", "live")
    assert cache.get("lateral", "live") is first
    assert np.array_equal(first.model.benign_scores, tiny_model.benign_scores)
    shutil.rmtree(tmp_path / "registry" / "lateral")
    other = make_tiny_model(seed=6)
    signer, _ = Signer.load_or_create(tmp_path / "private" / "signing_key.pem", tmp_path / "trusted_keys")
    assert registry.publish(other, signer) == first.version
    assert np.array_equal(cache.get("lateral", "live").model.benign_scores, other.benign_scores)
