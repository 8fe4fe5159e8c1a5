"""What models there are and what they say of themselves; imports no NumPy, so that the gateway can use it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scorer.files import check_folder
from scorer.logs import get_log
from scorer.registry.aliases import ALIAS_CAP, ALIAS_FILE, Aliases, read
from scorer.registry.aliases import REMEDY as SET_AGAIN
from scorer.registry.files import read_bounded
from scorer.registry.keys import verify
from scorer.registry.seen import SeenAliases
from scorer.wire.card import ModelCard
from scorer.wire.errors import ArtifactRejected, NonsenseReply, UnknownModel
from scorer.wire.names import ALIASES, check_model_name, check_version

MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
ARRAYS = "arrays.npz"

MANIFEST_CAP = 2 * 1024 * 1024
_SIGNATURE_CAP = 4096
#: Called with a model's name and the versions that were and are live.
LiveChanged = Callable[[str, str, str], None]


class CardStore:
    """Verified model cards of one registry folder, ``root``, by the public keys in the folder ``trusted_keys``.

    It reads files on every call, but keeps what it verified: a manifest is verified again only when its file, its
    signature or a trusted key changed. ``seen``: what is remembered of aliases, so that old ones stay refused.
    ``on_live``: told when another version of a model is live.
    """

    def __init__(
        self, root: Path, trusted_keys: Path, seen: SeenAliases | None = None, on_live: LiveChanged | None = None
    ) -> None:
        self.root = root
        self.trusted_keys = trusted_keys
        self.seen = seen or SeenAliases()
        self._on_live = on_live
        self._aliases: dict[str, tuple[tuple[int, ...], Aliases | ArtifactRejected]] = {}
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
        """Read alias -> version of one model.

        Raises ArtifactRejected where their file is damaged, gone, older than one that was seen, or not rightly signed.
        """
        folder = self.root / name
        stamp = (*_mark(folder / ALIAS_FILE), *_trust_stamp(self.trusted_keys), *_modes(self.root, folder))
        kept, found = self._aliases.get(name, (None, None))
        if found is None or kept != stamp:
            found = self._aliases_or_fault(name)
            if folder.is_dir():  # a caller can make up names without end
                self._aliases[name] = stamp, found
            self._tell_refused(name, found)
        if isinstance(found, ArtifactRejected):
            raise found.with_traceback(None)
        return dict(found.versions)

    def manifest(self, name: str, version: str) -> Mapping[str, Any]:
        """Read and verify the manifest of an exact version. Raises ArtifactRejected, UnknownModel."""
        folder = self.root / check_model_name(name) / check_version(version)
        stamp = (*_stamp(folder, self.trusted_keys), *_modes(self.root, folder.parent, folder))
        cached = self._verified.get(folder)
        if cached is not None and cached[0] == stamp:
            return cached[1]
        manifest = self._read(name, version, folder)
        self._verified[folder] = (stamp, manifest)
        return manifest

    def signed_manifest(self, name: str, version: str) -> bytes:
        """Read the bytes of a version's manifest, after their signature was verified. Raises ArtifactRejected."""
        folder = self.root / name / version
        self._check_folders(folder.parent, folder)
        content = read_bounded(folder / MANIFEST, MANIFEST_CAP, self.root)
        signature = read_bounded(folder / SIGNATURE, _SIGNATURE_CAP, self.root)
        verify(content, signature, self.trusted_keys, f"model {name} version {version}")
        return content

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

    def _aliases_or_fault(self, name: str) -> Aliases | ArtifactRejected:
        try:
            found = self.read_aliases(name)
            before = self.seen.admit(self.root, name, found)
        except ArtifactRejected as fault:
            return fault
        if before.live and before.live != found.live:
            self._tell_live(name, before.live, found)
        return found

    def _tell_refused(self, name: str, found: Aliases | ArtifactRejected) -> None:
        """Log a refusal once for each change of the file; commands say it themselves."""
        if isinstance(found, ArtifactRejected) and self.seen.writes:
            get_log().error("aliases_refused", model=name, reason=found.sentence())

    def _tell_live(self, name: str, before: str, found: Aliases) -> None:
        if self.seen.writes:
            get_log().info("live_changed", model=name, before=before, now=found.live, signed_by=found.key_id)
        if self._on_live is not None:
            self._on_live(name, before, found.live)

    def read_aliases(self, name: str) -> Aliases:
        """Read and verify a model's aliases, however old they are. Raises ArtifactRejected."""
        path = self.root / name / ALIAS_FILE
        if not os.path.lexists(path):
            return self._no_aliases(name)
        self._check_folders(path.parent)
        return read(name, read_bounded(path, ALIAS_CAP, self.root), self.trusted_keys)

    def _no_aliases(self, name: str) -> Aliases:
        """Tell a model that has none yet from one whose file was taken away."""
        if self.seen.of(self.root, name).counter and self.versions(name):
            raise ArtifactRejected(f"the {ALIAS_FILE} of {name} is gone, and was there before", SET_AGAIN)
        return Aliases({}, self.seen.of(self.root, name).counter, self.seen.of(self.root, name).sha256)

    def _check_folders(self, *folders: Path) -> None:
        for folder in (self.root, *folders):
            check_folder(folder, ArtifactRejected)

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
        try:
            manifest = json.loads(self.signed_manifest(name, version))
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
    return (*_mark(folder / MANIFEST), *_mark(folder / SIGNATURE), *_trust_stamp(trusted_keys))


def _trust_stamp(trusted_keys: Path) -> tuple[int, ...]:
    marks = [*_modes(trusted_keys, trusted_keys.parent)]
    try:
        with os.scandir(trusted_keys) as entries:
            keys = sorted((entry for entry in entries if entry.name.endswith(".json")), key=lambda entry: entry.name)
            marks += [mark for entry in keys for mark in _mark(entry)]
    except (FileNotFoundError, NotADirectoryError):
        pass
    return tuple(marks)


def _modes(*folders: Path) -> list[int]:
    """Change where somebody opens a folder to others."""
    return [_mode(folder) for folder in folders]


def _mode(folder: Path) -> int:
    try:
        return folder.stat().st_mode
    except OSError:
        return -1


def _mark(file: Path | os.DirEntry[str]) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:  # not there, or not to be read: reading says which
        return (-1,)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
