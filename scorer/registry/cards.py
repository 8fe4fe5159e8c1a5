"""What models there are and what they say of themselves; imports no NumPy, so that the gateway can use it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scorer.registry.files import read_bounded
from scorer.registry.keys import verify
from scorer.wire.card import ModelCard
from scorer.wire.errors import ArtifactRejected, NonsenseReply, UnknownModel
from scorer.wire.names import ALIASES, check_model_name, check_version

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
ARRAYS = "arrays.npz"
ALIAS_FILE = "aliases.json"

MANIFEST_CAP = 2 * 1024 * 1024
_SIGNATURE_CAP = 4096
_ALIAS_CAP = 64 * 1024


class CardStore:
    """Verified model cards of one registry folder, ``root``, by the public keys in the folder ``trusted_keys``.

    It reads files on every call, but keeps what it verified: a manifest is verified again only when its file, its
    signature or a trusted key changed.
    """

    def __init__(self, root: Path, trusted_keys: Path) -> None:
        self.root = root
        self.trusted_keys = trusted_keys
        self._verified: dict[Path, tuple[tuple[int, ...], Mapping[str, Any]]] = {}
        self._cards: dict[tuple[str, str], tuple[Mapping[str, Any], ModelCard]] = {}

    def names(self) -> list[str]:
        """List the models that have at least one version, sorted."""
        if not self.root.is_dir():
            return []
        found = [entry.name for entry in self.root.iterdir() if _possible(check_model_name, entry.name)]
        return sorted(name for name in found if self.versions(name))

    def versions(self, name: str) -> list[str]:
        """List the versions of a model in the order in which they were published.

        Raises UnknownModel for what cannot be a model's name.
        """
        folder = self.root / check_model_name(name)
        if not folder.is_dir():
            return []
        found = [entry.name for entry in folder.iterdir() if (entry / MANIFEST).is_file()]
        found = [name for name in found if name not in ALIASES and _possible(check_version, name)]
        return sorted(found, key=version_number)

    def resolve(self, name: str, reference: str = "live") -> str:
        """Find the version that an alias or version names.

        Raises UnknownModel, which lists what there is, and ArtifactRejected for a damaged file of aliases.
        """
        check_model_name(name)
        check_version(reference)
        version = self.aliases(name).get(reference, "") if reference in ALIASES else reference
        if version and (self.root / name / version / MANIFEST).is_file():
            return version
        raise self._unknown(name, reference)

    def aliases(self, name: str) -> dict[str, str]:
        """Read alias -> version of one model. Raises ArtifactRejected where their file is damaged."""
        path = self.root / name / ALIAS_FILE
        if not path.is_file():
            return {}
        try:
            raw = json.loads(read_bounded(path, _ALIAS_CAP))
            return {alias: check_version(raw[alias]["version"]) for alias in ALIASES if alias in raw}
        except (ValueError, TypeError, KeyError, RecursionError, UnknownModel):
            raise ArtifactRejected(f"{path} is damaged", "Set the alias again with `qscore train --promote`.") from None

    def manifest(self, name: str, version: str) -> Mapping[str, Any]:
        """Read and verify the manifest of an exact version. Raises ArtifactRejected, UnknownModel."""
        folder = self.root / check_model_name(name) / check_version(version)
        stamp = _stamp(folder, self.trusted_keys)
        cached = self._verified.get(folder)
        if cached is not None and cached[0] == stamp:
            return cached[1]
        manifest = self._read(name, version, folder)
        self._verified[folder] = (stamp, manifest)
        return manifest

    def card(self, name: str, reference: str = "live") -> ModelCard:
        """Read the card of a version or alias. Raises UnknownModel, ArtifactRejected."""
        version = self.resolve(name, reference)
        manifest = self.manifest(name, version)
        read, card = self._cards.get((name, version), (None, None))
        if card is None or read is not manifest:
            card = _card(manifest, f"model {name} version {version}")
            self._cards[name, version] = manifest, card
        return card

    def cards(self) -> list[ModelCard]:
        """Read the card of every version of every model; those that do not verify are left out (see ``rejected``)."""
        return [card for card in self._listed() if isinstance(card, ModelCard)]

    def rejected(self) -> list[ArtifactRejected]:
        """Say why some versions do not verify."""
        return [fault for fault in self._listed() if isinstance(fault, ArtifactRejected)]

    def _listed(self) -> list[ModelCard | ArtifactRejected]:
        found: list[ModelCard | ArtifactRejected] = []
        for name in self.names():
            found += [self._card_or_fault(name, version) for version in self.versions(name)]
        return found

    def _card_or_fault(self, name: str, version: str) -> ModelCard | ArtifactRejected:
        try:
            return self.card(name, version)
        except ArtifactRejected as fault:
            return fault

    def _read(self, name: str, version: str, folder: Path) -> Mapping[str, Any]:
        what = f"model {name} version {version}"
        content = read_bounded(folder / MANIFEST, MANIFEST_CAP)
        signature = read_bounded(folder / SIGNATURE, _SIGNATURE_CAP)
        verify(content, signature, self.trusted_keys, what)
        try:
            manifest = json.loads(content)
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict) or (manifest.get("name"), manifest.get("version")) != (name, version):
            # A signed manifest copied into another model's folder must not pass for that model.
            raise ArtifactRejected(f"the manifest in {folder} is not that of {what}", "Restore the folder.")
        return manifest

    def _unknown(self, name: str, reference: str) -> UnknownModel:
        versions = self.versions(name)
        if not versions:
            known = ", ".join(self.names()) or "none yet"
            return UnknownModel(
                f"there is no model {name}",
                f"Models here: {known}. `qscore train --model {name}` makes one, `qscore models` lists them.",
            )
        return UnknownModel(f"model {name} has no version {reference}", f"It has {', '.join(versions)}.")


def _card(manifest: Mapping[str, Any], what: str) -> ModelCard:
    try:
        return ModelCard.from_dict(manifest.get("card"))
    except NonsenseReply as error:
        raise ArtifactRejected(f"the card of {what} cannot be read: {error.detail}", "Sign it again.") from None


def version_number(version: str) -> tuple[int, str]:
    """Give a version's sort key: the number that it starts with."""
    digits = version.split("-")[0]
    return (int(digits) if digits.isdigit() else 0, version)


def _possible(check: Callable[[str], str], name: str) -> bool:
    """Tell whether an entry can be a model's or a version's: people leave copies and backups in a registry."""
    try:
        check(name)
    except UnknownModel:
        return False
    return True


def _stamp(folder: Path, trusted_keys: Path) -> tuple[int, ...]:
    """Changes whenever a manifest, its signature or a trusted key does, so that a revocation takes effect at once.

    Asked for every batch, so with as few calls as it takes. The time of a file's last change of any kind is part of it:
    a file's own times and size can be set to what they were.
    """
    marks = [*_mark(folder / MANIFEST), *_mark(folder / SIGNATURE)]
    try:
        with os.scandir(trusted_keys) as entries:
            keys = sorted((entry for entry in entries if entry.name.endswith(".json")), key=lambda entry: entry.name)
            marks += [mark for entry in keys for mark in _mark(entry)]
    except (FileNotFoundError, NotADirectoryError):
        pass
    return tuple(marks)


def _mark(file: Path | os.DirEntry[str]) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:  # not there, or not to be read: reading says which
        return (-1,)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
