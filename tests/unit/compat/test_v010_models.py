"""Signed models of 0.1.0, in artifact format 2, are verified and loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scorer.registry.store import Registry
from scorer.wire.errors import ArtifactRejected
from tests.v010 import FOLDER, content

MODELS = {
    "lateral/1-starter": "svc",
    "lateral/2": "nystrom-logistic",
    "lateral_density/1-starter": "density",
    "lateral_flow/1-starter": "svc",
    "lateral_leverage/1-starter": "leverage",
    "lateral_projected/1-starter": "projected",
}


@pytest.fixture
def registry() -> Registry:
    return Registry(FOLDER / "registry", FOLDER / "trusted_keys")


@pytest.mark.parametrize(("path", "family"), MODELS.items())
def test_a_model_loads_and_says_of_itself_what_it_said(registry: Registry, path: str, family: str) -> None:
    name, version = path.split("/")
    model = registry.load(name, version)
    manifest = content(f"registry/{path}/manifest.json")
    assert manifest["model"]["format"] == 2
    assert (model.name, model.family, model.grain) == (name, family, manifest["card"]["grain"])
    assert (model.threshold, model.fpr) == (manifest["card"]["threshold"], manifest["card"]["fpr"])
    card = registry.card(name, version).to_dict()
    assert {part: card[part] for part in manifest["card"]} == manifest["card"]


def test_names_versions_and_aliases_are_found(registry: Registry) -> None:
    assert [f"{name}/{version}" for name in registry.names() for version in registry.versions(name)] == list(MODELS)
    assert registry.aliases("lateral") == {"live": "2", "shadow": "1-starter"}
    assert [registry.resolve("lateral", alias) for alias in ("live", "shadow")] == ["2", "1-starter"]


def test_signatures_of_0_1_0_are_checked(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRejected, match="not among the trusted keys"):
        Registry(registry.root, tmp_path).load("lateral", "2")
    shutil.copytree(registry.root, tmp_path / "registry")
    manifest = tmp_path / "registry" / "lateral" / "2" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"starter":false', b'"starter":true '))
    with pytest.raises(ArtifactRejected, match="does not match its content"):
        Registry(tmp_path / "registry", registry.trusted_keys).load("lateral", "2")
