"""A registry in the test's folder, and who signs for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    """A signer whose key is among those that are trusted there."""
    return Signer.load_or_create(tmp_path / "private" / "key.pem", tmp_path / "trusted")[0]


@pytest.fixture
def registry(tmp_path: Path, signer: Signer, tiny_model: TrainedModel) -> Registry:
    """A registry with one version of `lateral`, which is live."""
    made = Registry(tmp_path / "registry", tmp_path / "trusted")
    made.publish(tiny_model, signer)
    return made
