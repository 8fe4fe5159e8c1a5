"""Publishing: a trained model is signed, put into the registry and, if asked, made live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry


@dataclass(frozen=True)
class Published:
    """A model's new version, as the registry holds it.

    ``version``: the model's. ``live``: the version that is live now, "" where none is. ``key_id``: whose signature
    it has. ``key_made``: whether that key was made for it.
    """

    version: str
    live: str
    key_id: str
    key_made: bool

    @property
    def is_live(self) -> bool:
        return self.version == self.live


def publish(model: TrainedModel, registry: Registry, signing_key: Path, promote: bool = False) -> Published:
    """Sign a model with the key at ``signing_key``, made and trusted where there is none, and add it to ``registry``.

    A model's first version is live; ``promote``: so is this one. Raises ConfigurationError for a key that cannot be
    used, ArtifactRejected or UnknownModel where the new version does not verify.
    """
    signer, made = Signer.load_or_create(signing_key, registry.trusted_keys)
    version = registry.publish(model, signer)
    if promote:
        registry.set_alias(model.name, "live", version, signer)
    return Published(version, registry.aliases(model.name).get("live", ""), signer.key_id, made)
