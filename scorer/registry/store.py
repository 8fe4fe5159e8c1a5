"""Whole models: publish on the administrator's host, load verified ones in a worker."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from scorer.models.artifact import from_parts, to_parts
from scorer.models.parts import ArtifactFormatError
from scorer.models.trained import TrainedModel
from scorer.registry import arrays as npz
from scorer.registry.aliases import ALIAS_FILE, next_counter, signed
from scorer.registry.cards import ARRAYS, MANIFEST, SIGNATURE, CardStore, version_number
from scorer.registry.files import read_bounded, write_atomic
from scorer.registry.keys import Signer
from scorer.registry.trusted import check_may_sign
from scorer.rows.columns import CONTEXT_COLUMNS
from scorer.rows.transform import required_inputs
from scorer.wire.card import ModelCard
from scorer.wire.errors import ArtifactRejected
from scorer.wire.names import ALIASES, check_model_name

_ALIAS_NAMES = frozenset(ALIASES)


class Registry(CardStore):
    """A registry folder with models in it; everything that CardStore reads, and arrays beside it."""

    def load(self, name: str, version: str) -> TrainedModel:
        """Load the model of an exact version, after signature, digests, shapes and caps were checked.

        Raises ArtifactRejected or UnknownModel.
        """
        manifest = self.manifest(name, version)
        what = f"model {name} version {version}"
        content = read_bounded(self.root / name / version / ARRAYS, npz.FILE_CAP, self.root)
        loaded = npz.unpack(content, _described(manifest, what), what)
        try:
            return from_parts(manifest["model"], loaded)
        except (ArtifactFormatError, KeyError) as error:
            raise ArtifactRejected(f"{what} does not hold a model: {error}", "Train and sign it again.") from None

    def load_named(self, name: str, reference: str) -> TrainedModel:
        """Load the model that ``reference`` (version or alias) names now. Raises ArtifactRejected or UnknownModel."""
        return self.load(name, self.resolve(name, reference))

    def publish(self, model: TrainedModel, signer: Signer) -> str:
        """Sign a model and add it as the next version, which is returned. The first version becomes ``live``.

        Versions of starters (trained on generated rows) end in ``-starter``, so that every place that shows a version
        says so. Raises UnknownModel for a name that no model can have, ArtifactRejected where the new version does not
        verify because the signer's key is not trusted.
        """
        folder = self.root / check_model_name(model.name)
        check_may_sign(signer.key_id, self.trusted_keys)
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o755, exist_ok=True)
        with _lock(folder):
            first = not self.versions(model.name)
            version = self._next_version(model)
            _write_version(folder, version, model, signer)
        if first or self._may_go_live(model.name):
            self.set_alias(model.name, "live", version, signer)
        return version

    def set_alias(self, name: str, alias: str, version: str, signer: Signer) -> None:
        """Point ``live`` or ``shadow`` at a version whose signature verifies. Workers see it with their next batch.

        Raises ValueError for another alias, ArtifactRejected or UnknownModel for a version that does not verify,
        ConfigurationError for a key that may sign nothing new.
        """
        if alias not in _ALIAS_NAMES:
            raise ValueError(f"{alias!r} is not an alias; aliases are {', '.join(ALIASES)}")
        self.manifest(name, version)
        with _lock(self.root / name):
            self._sign_aliases(name, {**self._intact_aliases(name), alias: version}, signer)

    def resign_aliases(self, name: str, signer: Signer) -> bool:
        """Sign a model's aliases as they are with another key; False where it has none. Raises ArtifactRejected."""
        with _lock(self.root / name):
            versions = self.aliases(name)
            if versions:
                self._sign_aliases(name, versions, signer)
        return bool(versions)

    def resign(self, name: str, version: str, signer: Signer) -> None:
        """Sign a version's manifest, which has to verify, with another key; not a byte of it changes.

        Raises ArtifactRejected or UnknownModel, ConfigurationError for a key that may sign nothing new.
        """
        check_may_sign(signer.key_id, self.trusted_keys)
        exact = self.resolve(name, version)
        self.manifest(name, exact)
        with _lock(self.root / name):
            signature = signer.sign(self.signed_manifest(name, exact))
            write_atomic(self.root / name / exact / SIGNATURE, signature, mode=0o644)

    def _sign_aliases(self, name: str, versions: Mapping[str, str], signer: Signer) -> None:
        check_may_sign(signer.key_id, self.trusted_keys)
        counter = next_counter(max(self._counter(name), self.seen.of(self.root, name).counter))
        write_atomic(self.root / name / ALIAS_FILE, signed(name, versions, counter, signer), mode=0o644)

    def _counter(self, name: str) -> int:
        """The counter of the aliases that lie there, 0 where they are damaged."""
        try:
            return self.read_aliases(name).counter
        except ArtifactRejected:
            return 0

    def _may_go_live(self, name: str) -> bool:
        """Tell whether a new version may be live by itself: there is none, and no file of aliases that was refused."""
        try:
            return "live" not in self.aliases(name)
        except ArtifactRejected:
            return False

    def _intact_aliases(self, name: str) -> dict[str, str]:
        """The aliases, or none where their file is refused: setting one is how such a file is mended."""
        try:
            return self.aliases(name)
        except ArtifactRejected:
            return {}

    def _next_version(self, model: TrainedModel) -> str:
        versions = self.versions(model.name)
        number = max((version_number(version)[0] for version in versions), default=0) + 1
        return f"{number}-starter" if model.facts["starter"] else str(number)


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ".lock")


def card_of(model: TrainedModel, version: str) -> ModelCard:
    """Write the public card of a model under a version."""
    return ModelCard(
        name=model.name,
        version=version,
        family=model.family,
        title=model.recipe.title,
        trained_on=model.facts["trained_on"],
        starter=model.facts["starter"],
        serve="quantum",
        grain=model.grain,
        required_fields=required_inputs(model.recipe, model.feature_names),
        context_fields=CONTEXT_COLUMNS,
        macro=model.recipe.macro_for(model.grain),
        threshold=model.threshold,
        fpr=model.fpr,
        details={
            **model.facts,
            "mitre": list(model.recipe.mitre),
            "features": list(model.feature_names),
            "qubits": model.machine.circuit.qubits,
            "recipe": model.recipe.to_dict(),
        },
        qubits=model.machine.circuit.qubits,  # which workers can score it
        span=float(model.recipe.span) if model.grain == "window" else None,
        mitre=tuple(model.recipe.mitre),
    )


def canonical(document: Mapping[str, Any]) -> bytes:
    """Encode as canonical JSON: sorted keys, no spaces, UTF-8, no NaN.

    Equal documents have equal bytes and one signature. Raises ValueError for numbers that JSON does not have, TypeError
    for what is not JSON.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _write_version(folder: Path, version: str, model: TrainedModel, signer: Signer) -> None:
    """Write a version's three files into a hidden folder and rename it: a reader sees all of it or none."""
    description, arrays = to_parts(model)
    manifest = {
        "schema": 1,
        "name": model.name,
        "version": version,
        "model": description,
        "arrays": npz.describe(arrays),
        "card": card_of(model, version).to_dict(),
    }
    content = canonical(manifest)
    staging = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
    try:
        for name, data in ((MANIFEST, content), (SIGNATURE, signer.sign(content)), (ARRAYS, npz.pack(arrays))):
            write_atomic(staging / name, data, mode=0o644)
        staging.chmod(0o755)
        staging.rename(folder / version)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _described(manifest: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    described = manifest.get("arrays")
    if not isinstance(described, dict) or len(described) > 100:
        raise ArtifactRejected(f"the manifest of {what} lists no arrays", "Train and sign it again.")
    return described
