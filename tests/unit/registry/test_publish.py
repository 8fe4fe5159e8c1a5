"""A trained model becomes a signed version, with a key that is made when there is none."""

from __future__ import annotations

from pathlib import Path

from scorer.models.trained import TrainedModel
from scorer.registry.publish import Published, publish
from scorer.registry.store import Registry


def test_the_first_version_is_live_and_others_wait_to_be_promoted(tmp_path: Path, tiny_model: TrainedModel) -> None:
    registry = Registry(tmp_path / "registry", tmp_path / "trusted_keys")
    key = tmp_path / "private" / "key.pem"
    first = publish(tiny_model, registry, key)
    assert first == Published("1-starter", "1-starter", first.key_id, key_made=True)
    assert first.is_live
    second = publish(tiny_model, registry, key)
    assert second == Published("2-starter", "1-starter", first.key_id, key_made=False)
    assert not second.is_live
    third = publish(tiny_model, registry, key, promote=True)
    assert third.is_live
    assert registry.resolve("lateral", "live") == third.version == "3-starter"
    assert registry.load("lateral", third.version).feature_names == tiny_model.feature_names
