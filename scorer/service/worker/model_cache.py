"""Models that a worker holds in memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scorer.models.trained import TrainedModel
from scorer.registry.store import Registry, canonical
from scorer.wire.card import ModelCard

#: A model is at most a few megabytes; an alias that moves back finds its version still loaded.
_CAPACITY = 16


@dataclass(frozen=True)
class HeldModel:
    """A verified model with its exact version and card."""

    model: TrainedModel
    version: str
    card: ModelCard
    sha256: str = ""  # of the manifest


class ModelCache:
    """Loads each exact version once, and again when its manifest changed.

    Aliases are resolved for every batch, so that a promotion acts at once.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._held: OrderedDict[tuple[str, str], tuple[Mapping[str, Any], HeldModel]] = OrderedDict()

    @property
    def roots(self) -> dict[str, str]:
        """The folders of the models and keys, path to the word by which callers know them."""
        return {str(self.registry.root): "<registry>", str(self.registry.trusted_keys): "<trusted_keys>"}

    def get(self, name: str, reference: str) -> HeldModel:
        """Get the model that ``reference`` (version or alias) names now. Raises UnknownModel, ArtifactRejected."""
        version = self.registry.resolve(name, reference)
        # Verified again when the file or a trusted key changed: a revoked key stops a model that is already loaded,
        # and a version that was removed and trained anew is loaded anew.
        manifest = self.registry.manifest(name, version)
        read, held = self._held.get((name, version), (None, None))
        if held is None or read is not manifest:
            held = HeldModel(
                self.registry.load(name, version), version, self.registry.card(name, version), _digest(manifest)
            )
            self._held[name, version] = manifest, held
        self._held.move_to_end((name, version))
        while len(self._held) > _CAPACITY:
            self._held.popitem(last=False)
        return held


def _digest(manifest: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of the file: it was written in the canonical form of what was read."""
    return hashlib.sha256(canonical(manifest)).hexdigest()
