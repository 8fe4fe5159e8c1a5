"""Which model a worker scores with when the registry changes under it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.registry.trusted import revoke
from scorer.service.worker.model_cache import ModelCache
from scorer.wire.errors import ArtifactRejected, ModelRevoked
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


def test_a_model_that_is_held_stops_with_its_key_and_with_its_alias(
    tmp_path: Path, publish_tiny: Callable[[Path], None]
) -> None:
    """What a worker has loaded and scored with is asked for anew at each batch."""
    for _ in range(2):
        publish_tiny(tmp_path)
    registry = Registry(tmp_path / "registry", tmp_path / "trusted_keys")
    cache = ModelCache(registry)
    held = cache.get("lateral", "live")
    aliases = tmp_path / "registry" / "lateral" / "aliases.json"
    good = aliases.read_bytes()
    aliases.write_bytes(good.replace(b"1-starter", b"2-starter"))
    with pytest.raises(ArtifactRejected):
        cache.get("lateral", "live")
    aliases.write_bytes(good)
    assert cache.get("lateral", "live") is held
    (key,) = (path.stem for path in (tmp_path / "trusted_keys").glob("*.json"))
    revoke(key, tmp_path / "trusted_keys")
    for reference in ("live", "1-starter", "2-starter"):
        with pytest.raises(ModelRevoked):
            cache.get("lateral", reference)
