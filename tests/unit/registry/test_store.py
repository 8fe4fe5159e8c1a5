from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.cards import CardStore
from scorer.registry.keys import Signer
from scorer.registry.store import Registry, canonical
from scorer.wire.errors import ArtifactRejected, UnknownModel


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry", tmp_path / "trusted")


def _rows(model: TrainedModel) -> np.ndarray:
    return np.random.default_rng(0).random((50, len(model.feature_names)))


def test_a_published_model_scores_as_before(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    version = registry.publish(tiny_model, signer)
    loaded = registry.load("lateral", version)
    Z = _rows(tiny_model)
    assert np.array_equal(loaded.scores(Z), tiny_model.scores(Z))
    assert np.array_equal(loaded.twin_scores(Z), tiny_model.twin_scores(Z))


def test_versions_count_up_and_the_first_goes_live(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    assert registry.publish(tiny_model, signer) == "1-starter"
    own = dataclasses.replace(tiny_model, facts={"trained_on": "own rows", "starter": False})
    assert registry.publish(own, signer) == "2"
    assert registry.versions("lateral") == ["1-starter", "2"]
    assert registry.resolve("lateral", "live") == "1-starter"
    registry.set_alias("lateral", "live", "2", signer)
    assert registry.card("lateral").version == "2"
    assert [card.version for card in registry.cards()] == ["1-starter", "2"]


def test_the_card_asks_for_what_the_features_need(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    registry.publish(tiny_model, signer)
    card = registry.card("lateral")
    assert card.required_fields == ("events", "logons", "failures")
    assert card.macro == "qscore_lateral_rows"
    assert card.starter
    assert card.threshold == tiny_model.threshold


def test_an_unknown_model_or_version_is_named(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    with pytest.raises(UnknownModel, match="no model lateral"):
        registry.resolve("lateral")
    registry.publish(tiny_model, signer)
    with pytest.raises(UnknownModel, match="no version 7"):
        registry.resolve("lateral", "7")
    with pytest.raises(UnknownModel, match="no version shadow"):
        registry.resolve("lateral", "shadow")
    with pytest.raises(UnknownModel, match="cannot be a model's name"):
        registry.resolve("../lateral")


@pytest.mark.parametrize("file", ["manifest.json", "arrays.npz"])
def test_a_changed_byte_in_any_file_stops_the_model(
    registry: Registry, signer: Signer, tiny_model: TrainedModel, file: str
) -> None:
    version = registry.publish(tiny_model, signer)
    path = registry.root / "lateral" / version / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactRejected):
        registry.load("lateral", version)


def test_a_damaged_version_does_not_hide_the_others(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    registry.publish(tiny_model, signer)
    registry.publish(tiny_model, signer)
    path = registry.root / "lateral" / "2-starter" / "manifest.json"
    path.write_bytes(path.read_bytes() + b" ")
    assert [card.version for card in registry.cards()] == ["1-starter"]
    assert ["version 2-starter" in fault.detail for fault in registry.rejected()] == [True]


def test_copies_and_strange_folders_are_no_models(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    registry.publish(tiny_model, signer)
    shutil.copytree(registry.root / "lateral", registry.root / "lateral.bak")
    shutil.copytree(registry.root / "lateral" / "1-starter", registry.root / "lateral" / "1-starter.bak")
    shutil.copytree(registry.root / "lateral" / "1-starter", registry.root / "lateral" / "live")
    assert [(card.name, card.version) for card in registry.cards()] == [("lateral", "1-starter")]
    with pytest.raises(UnknownModel, match="Models here: lateral\\."):
        registry.resolve("absent")


def test_a_manifest_changed_after_it_was_verified_is_verified_again(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    version = registry.publish(tiny_model, signer)
    registry.manifest("lateral", version)
    path = registry.root / "lateral" / version / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"starter":true', b'"starter":false'))
    with pytest.raises(ArtifactRejected, match="signature"):
        registry.card("lateral")


def test_a_card_is_kept_only_as_long_as_its_files_are_the_same(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    version = registry.publish(tiny_model, signer)
    first = registry.card("lateral")
    assert registry.card("lateral") is first
    folder = registry.root / "lateral" / version
    signature, key = folder / "manifest.sig", registry.trusted_keys / f"{signer.key_id}.json"
    for path, said in ((signature, "manifest.sig cannot be read"), (key, "not among the trusted keys")):
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(ArtifactRejected, match=said):
            registry.card("lateral")
        path.write_bytes(kept)
        assert registry.card("lateral") == first
    # The same version trained anew, as after its folder was removed by hand.
    shutil.rmtree(folder)
    with pytest.raises(UnknownModel):
        registry.card("lateral", version)
    registry.publish(dataclasses.replace(tiny_model, facts={**tiny_model.facts, "trained_on": "other rows"}), signer)
    assert registry.card("lateral").trained_on == "other rows"


@pytest.mark.parametrize("changed", ["manifest", "key"])
def test_a_change_that_keeps_size_and_time_is_seen(
    registry: Registry, signer: Signer, tiny_model: TrainedModel, changed: str
) -> None:
    version = registry.publish(tiny_model, signer)
    registry.card("lateral")
    manifest, key = (
        registry.root / "lateral" / version / "manifest.json",
        registry.trusted_keys / f"{signer.key_id}.json",
    )
    path, old, new = {
        "manifest": (manifest, b'"starter":true', b'"starter":null'),
        "key": (key, b'"revoked": false', b'"revoked":  true'),
    }[changed]
    before = path.stat()
    content = path.read_bytes().replace(old, new)
    with path.open("r+b") as stream:  # the same file, as an editor that writes in place leaves it
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(ArtifactRejected):
        registry.card("lateral")


def test_a_revoked_key_stops_its_models(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    version = registry.publish(tiny_model, signer)
    registry.manifest("lateral", version)
    path = registry.trusted_keys / f"{signer.key_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revoked": True}))
    with pytest.raises(ArtifactRejected, match="was revoked"):
        registry.card("lateral")


def test_a_signed_model_copied_over_another_does_not_pass(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    version = registry.publish(tiny_model, signer)
    folder = registry.root / "lateral"
    (folder / version).rename(folder / "9")
    with pytest.raises(ArtifactRejected, match="is not that of model lateral version 9"):
        registry.card("lateral", "9")


def test_a_signed_manifest_that_holds_no_model_is_refused(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    version = registry.publish(tiny_model, signer)
    folder = registry.root / "lateral" / version
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["model"]["twin_gamma"] = -1.0
    content = canonical(manifest)
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(signer.sign(content))
    with pytest.raises(ArtifactRejected, match="does not hold a model"):
        registry.load("lateral", version)


def test_an_oversized_manifest_is_not_read(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    version = registry.publish(tiny_model, signer)
    (registry.root / "lateral" / version / "manifest.json").write_bytes(b" " * (2 * 1024 * 1024 + 1))
    with pytest.raises(ArtifactRejected, match="larger than"):
        registry.card("lateral")


def test_a_damaged_alias_file_is_named(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    registry.publish(tiny_model, signer)
    (registry.root / "lateral" / "aliases.json").write_text('{"live": {"version": "../../x"}}')
    with pytest.raises(ArtifactRejected, match=r"aliases\.json of lateral is damaged"):
        registry.resolve("lateral")
    registry.set_alias("lateral", "live", "1-starter", signer)
    assert registry.resolve("lateral") == "1-starter"


def test_cards_are_read_without_numpy() -> None:
    code = "import sys, scorer.registry.cards; print('numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_an_empty_registry_has_no_models(tmp_path: Path) -> None:
    assert CardStore(tmp_path / "nowhere", tmp_path).names() == []


@pytest.mark.parametrize("content", ["[" * 60_000, '{"live": ' * 6_000, '{"live": {"version": []}}'])
def test_a_damaged_alias_file_of_any_kind_is_named(
    registry: Registry, signer: Signer, tiny_model: TrainedModel, content: str
) -> None:
    registry.publish(tiny_model, signer)
    (registry.root / "lateral" / "aliases.json").write_text(content)
    with pytest.raises(ArtifactRejected, match="aliases"):
        registry.resolve("lateral")


@pytest.mark.parametrize("change", [{"card": None}, {"card": {"name": 1}}, {"arrays": {"scaler_low": {"dtype": {}}}}])
def test_a_signed_manifest_of_wrong_parts_is_refused_and_hides_no_other(
    registry: Registry, signer: Signer, tiny_model: TrainedModel, change: dict[str, object]
) -> None:
    registry.publish(tiny_model, signer)
    version = registry.publish(tiny_model, signer)
    folder = registry.root / "lateral" / version
    content = canonical(json.loads((folder / "manifest.json").read_bytes()) | change)
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(signer.sign(content))
    with pytest.raises(ArtifactRejected):
        _ = (registry.card("lateral", version), registry.load("lateral", version))
    assert "1-starter" in [card.version for card in registry.cards()]
