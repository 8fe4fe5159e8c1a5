"""Changes of the registry as an administrator makes them: each leaves an entry in the audit record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.publish import Published, publish
from scorer.registry.seen import SeenAliases
from scorer.registry.store import Registry
from scorer.service.access.audit import audit, audited
from scorer.service.access.trust.anchors import close_to_group
from scorer.service.settings import Settings
from scorer.wire.errors import ArtifactRejected, ConfigurationError


@dataclass(frozen=True)
class Resigned:
    """What was signed again. ``versions``: of ``model``. ``aliases``: whether it has some. ``faults``: versions, or
    aliases, that do not verify and were left as they are, as sentences."""

    model: str
    versions: tuple[str, ...]
    aliases: bool
    faults: tuple[str, ...] = ()


def known_registry(settings: Settings) -> Registry:
    """Open the whole models for a command: old aliases are refused, and nothing new is remembered."""
    return Registry(settings.registry, settings.trusted_keys, SeenAliases(settings.seen_aliases))


def publish_audited(settings: Settings, model: TrainedModel, promote: bool) -> Published:
    """Sign a model with this home's key and add it to the registry; ``promote``: make it live.

    Raises ConfigurationError, ArtifactRejected or UnknownModel.
    """
    registry = known_registry(settings)
    close_to_group(settings)
    with audited(settings, "published", model=model.name) as note:
        published = publish(model, registry, settings.signing_key, promote)
        digest = hashlib.sha256(registry.signed_manifest(model.name, published.version)).hexdigest()
        note.facts |= {"version": published.version, "sha256": digest, "signed_by": published.key_id}
    if published.key_made:
        audit(settings, "signing_key_made", key=published.key_id)
    if published.is_live:
        audit(settings, "promoted", model=model.name, alias="live", version=published.version)
    return published


def promote_audited(settings: Settings, name: str, alias: str, version: str) -> str:
    """Point an alias at a version; returns what it named before, "" where that is not known.

    Raises ConfigurationError, ArtifactRejected or UnknownModel.
    """
    registry, signer = known_registry(settings), own_signer(settings)
    exact = registry.resolve(name, version)
    try:
        before = registry.aliases(name).get(alias, "")
    except ArtifactRejected:
        before = ""  # setting an alias is how a refused file is mended
    facts: dict[str, Any] = {
        "model": name,
        "alias": alias,
        "version": exact,
        "before": before,
        "signed_by": signer.key_id,
    }
    with audited(settings, "promoted", **facts):
        registry.set_alias(name, alias, exact, signer)
    return before


def resign_audited(settings: Settings, name: str, version: str = "") -> Resigned:
    """Sign a model's versions and aliases with this home's present key, or one version alone.

    What does not verify is left as it is and told. Raises ConfigurationError, UnknownModel.
    """
    registry, signer = known_registry(settings), own_signer(settings)
    versions = [registry.resolve(name, version)] if version else registry.versions(name) or [registry.resolve(name)]
    with audited(settings, "resigned", model=name, signed_by=signer.key_id) as note:
        faults = {one: fault for one in versions if (fault := _resigned(registry, name, one, signer))}
        aliases, fault = (False, "") if version else _resigned_aliases(registry, name, signer)
        done = tuple(one for one in versions if one not in faults)
        note.facts |= {"versions": done, "aliases": aliases}
    return Resigned(name, done, aliases, (*faults.values(), *([fault] if fault else [])))


def own_signer(settings: Settings) -> Signer:
    """Load this home's signing key. Raises ConfigurationError where there is none."""
    if not settings.signing_key.exists():
        raise ConfigurationError(
            f"there is no signing key at {settings.signing_key}",
            "Run this where models are signed; the first `qscore train` makes a key.",
        )
    return Signer.load(settings.signing_key)


def _resigned(registry: Registry, name: str, version: str, signer: Signer) -> str:
    try:
        registry.resign(name, version, signer)
    except ArtifactRejected as fault:
        return fault.sentence()
    return ""


def _resigned_aliases(registry: Registry, name: str, signer: Signer) -> tuple[bool, str]:
    try:
        return registry.resign_aliases(name, signer), ""
    except ArtifactRejected as fault:
        return False, fault.sentence()
