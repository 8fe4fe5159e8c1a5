"""What lies in files: signed models, aliases, keys, recipes, settings. Manifests are changed, and then signed again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scorer.circuits.errors import CircuitError
from scorer.circuits.plan import Plan
from scorer.models.artifact import from_parts, to_parts
from scorer.models.parts import ArtifactFormatError
from scorer.models.trained import TrainedModel
from scorer.registry import arrays as npz
from scorer.registry.aliases import signed
from scorer.registry.keys import Signer, verify
from scorer.registry.store import Registry
from scorer.registry.trusted import trust
from scorer.rows.recipe import Recipe, RecipeError, load_recipe
from scorer.rows.recipe_files import recipe_for
from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import load_settings
from tests.fuzz.mutate import mutated_json
from tests.fuzz.target import Target

RECIPES = Path(__file__).resolve().parents[2] / "scorer" / "rows" / "recipes"
UNSIGNED = b'{"live": {"version": "1-starter"}, "shadow": {"version": "2"}}'
SETTINGS = b"""
sink = "hec"
broker_url = "rediss://h:6379/0"
[gateway]
port = 8417
hostnames = ["a.example", "127.0.0.1"]
max_timeout = 55.0
[worker]
processes = 2
[hec]
url = "https://h:8088"
token_file = "/x"
[elastic]
url = "https://h:9200"
[[elastic.sources]]
name = "logons"
index = "logs-*,-logs-qscore.*"
model = "lateral"
"""


def targets(model: TrainedModel) -> list[Target]:
    """List the readers of files; what must be a file is written into a folder that goes with this process."""
    folder = Path(_FOLDERS.enter(tempfile.TemporaryDirectory(prefix="qscore-fuzz-")))
    home = _Home(folder, model)
    plan = json.dumps(model.machine.circuit.plan.to_dict()).encode()
    recipe = json.dumps(load_recipe("lateral").to_dict()).encode()
    toml = tuple(path.read_bytes() for path in sorted(RECIPES.glob("*.toml")))
    description, arrays = to_parts(model)
    packed = npz.pack(arrays)
    described = npz.describe(arrays)
    return [
        Target(
            "model of an artifact",
            _json(lambda raw: from_parts(raw, arrays)),
            (_bytes(description),),
            mutated_json,
            (ArtifactFormatError, KeyError),
            20,
        ),
        Target("plan", _json(Plan.from_dict), (plan,), mutated_json, (CircuitError,), 20),
        Target("arrays.npz", lambda raw: npz.unpack(raw, described, "a model"), (packed,)),
        Target(
            "described arrays",
            _json(lambda raw: npz.unpack(packed, raw, "a model") if isinstance(raw, dict) else None),
            (_bytes(described),),
            mutated_json,
        ),
        Target("signed manifest", home.signed, (home.manifest,), mutated_json, weight=5),
        Target("signature", home.signature, (home.signer.sign(home.manifest),), mutated_json),
        Target("trusted key", home.trusted, (home.key_file.read_bytes(),), mutated_json, weight=5),
        Target("aliases", home.aliases, (UNSIGNED, home.signed_aliases()), mutated_json),
        Target("api keys", home.keys, (home.api_keys(),), mutated_json),
        Target("recipe", _json(Recipe.from_dict), (recipe,), mutated_json, (RecipeError,)),
        Target("recipe file", home.recipe, toml, weight=5),
        Target("settings", home.settings, (SETTINGS,), weight=5),
    ]


class _Folders:
    """Keeps temporary folders until the process ends."""

    def __init__(self) -> None:
        self._kept: list[tempfile.TemporaryDirectory[str]] = []

    def enter(self, folder: tempfile.TemporaryDirectory[str]) -> str:
        self._kept.append(folder)
        return folder.name


_FOLDERS = _Folders()


def _bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def _json(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    """Read decoded JSON, as it comes out of a file whose own reader has refused what is none."""

    def whole(raw: bytes) -> object:
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError):
            return None
        return read(value)

    return whole


class _Home:
    """Files of one home, each replaced by an input before it is read."""

    def __init__(self, folder: Path, model: TrainedModel) -> None:
        self.folder = folder
        self.signer, _ = Signer.load_or_create(folder / "private" / "key.pem", folder / "trusted")
        self.registry = Registry(folder / "registry", folder / "trusted")
        self.version = self.registry.publish(model, self.signer)
        self.version_folder = folder / "registry" / "lateral" / self.version
        self.manifest = (self.version_folder / "manifest.json").read_bytes()
        self.key_file = folder / "trusted" / f"{self.signer.key_id}.json"
        self.key_file_content = self.key_file.read_bytes()

    def signed(self, content: bytes) -> object:
        (self.version_folder / "manifest.json").write_bytes(content)
        (self.version_folder / "manifest.sig").write_bytes(self.signer.sign(content))
        self.registry.card("lateral", self.version)
        return self.registry.load("lateral", self.version)

    def signature(self, content: bytes) -> object:
        return verify(self.manifest, content, self.folder / "trusted", "a model")

    def trusted(self, content: bytes) -> object:
        self.key_file.write_bytes(content)
        try:
            return verify(self.manifest, self.signer.sign(self.manifest), self.folder / "trusted", "a model")
        finally:
            self.key_file.unlink()  # it may say that the key was revoked
            trust(self.signer.private_key.public_key(), self.folder / "trusted")

    def aliases(self, content: bytes) -> object:
        folder = self.folder / "registry" / "other"
        folder.mkdir(exist_ok=True)
        (folder / "aliases.json").write_bytes(content)
        return self.registry.aliases("other")

    def signed_aliases(self) -> bytes:
        return signed("other", {"live": "1-starter", "shadow": "2"}, 1_796_052_315_123, self.signer)

    def api_keys(self) -> bytes:
        keys = KeyFile(self.folder / "made_keys.json")
        for scopes in (("read", "score"), ("write",)):
            keys.add(scopes, "note")
        return keys.path.read_bytes()

    def keys(self, content: bytes) -> object:
        path = self.folder / "api_keys.json"
        path.touch(mode=0o600)
        path.write_bytes(content)
        return KeyFile(path).keys()

    def recipe(self, content: bytes) -> object:
        path = self.folder / "recipe.toml"
        path.write_bytes(content)
        return recipe_for(None, path)

    def settings(self, content: bytes) -> object:
        path = self.folder / "qscore.toml"
        path.write_bytes(content)
        os.environ["QSCORE_CONFIG"] = str(path)
        try:
            return load_settings()
        finally:
            del os.environ["QSCORE_CONFIG"]
