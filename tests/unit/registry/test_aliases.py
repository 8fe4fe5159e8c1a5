"""Which version is live is signed, and what was live before cannot be put back by whoever can write the registry."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from scorer.models.trained import TrainedModel
from scorer.registry.aliases import read
from scorer.registry.cards import CardStore
from scorer.registry.keys import Signer
from scorer.registry.publish import publish
from scorer.registry.seen import SeenAliases
from scorer.registry.store import Registry
from scorer.registry.trusted import revoke, set_end
from scorer.wire.errors import ArtifactRejected, ModelRevoked, UnknownModel
from tests.v010 import FOLDER


@pytest.fixture
def registry(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> Registry:
    """Two versions, of which the first is live."""
    registry.publish(tiny_model, signer)
    return registry


@pytest.fixture
def reader(tmp_path: Path, registry: Registry) -> Callable[[], CardStore]:
    """Makes a service's view of the registry, as its processes make one each; all share the machine's memory."""
    seen = tmp_path / "home" / "state" / "aliases.json"
    return lambda: CardStore(registry.root, registry.trusted_keys, SeenAliases(seen, writes=True))


def alias_file(registry: Registry) -> Path:
    return registry.root / "lateral" / "aliases.json"


def test_aliases_put_back_are_refused_by_all_that_saw_newer_ones(
    registry: Registry, signer: Signer, reader: Callable[[], CardStore]
) -> None:
    running = reader()
    assert running.resolve("lateral") == "1-starter"
    old = alias_file(registry).read_bytes()
    registry.set_alias("lateral", "live", "2-starter", signer)
    assert running.resolve("lateral") == "2-starter"
    alias_file(registry).write_bytes(old)
    for store in (running, reader()):  # the one that was there, and one that starts afterwards
        with pytest.raises(ArtifactRejected, match=r"aliases of lateral are older \(counter \d+\) than those seen"):
            store.card("lateral")
        assert store.card("lateral", "1-starter").version == "1-starter"  # asked for by number it is still signed
    registry.set_alias("lateral", "live", "1-starter", signer)
    assert reader().resolve("lateral") == running.resolve("lateral") == "1-starter"


def test_a_process_that_saw_nothing_learns_from_the_machine(
    registry: Registry, signer: Signer, reader: Callable[[], CardStore], tmp_path: Path
) -> None:
    old = alias_file(registry).read_bytes()
    registry.set_alias("lateral", "live", "2-starter", signer)
    reader().resolve("lateral")
    alias_file(registry).write_bytes(old)
    command = CardStore(registry.root, registry.trusted_keys, SeenAliases(tmp_path / "home" / "state" / "aliases.json"))
    with pytest.raises(ArtifactRejected, match="older"):
        command.aliases("lateral")


def test_aliases_that_were_taken_away_are_missed(
    registry: Registry, signer: Signer, reader: Callable[[], CardStore], tiny_model: TrainedModel
) -> None:
    store = reader()
    store.resolve("lateral")
    alias_file(registry).unlink()
    for view in (store, reader()):
        with pytest.raises(ArtifactRejected, match="is gone, and was there before"):
            view.resolve("lateral")
    shutil.rmtree(registry.root / "lateral")  # the whole model: nothing is missed
    with pytest.raises(UnknownModel):
        store.resolve("lateral")
    registry.publish(tiny_model, signer)
    assert store.resolve("lateral") == "1-starter"


@pytest.mark.parametrize(
    "change",
    [
        {"live": {"version": "2-starter"}},
        {"shadow": {"version": "2-starter"}},
        {"counter": 10**14},
        {"counter": 0},
        {"counter": True},
        {"counter": "7"},
        {"counter": 1.5},
        {"counter": -1},
        {"model": "lateral_flow"},
        {"signature": None},
        {"signature": {}},
        {"signature": {"algorithm": "ed25519", "key_id": "0" * 16, "signature": "AA=="}},
        {"live": {"version": "live"}},
        {"live": "1-starter"},
        {"live": {"version": ["1"]}},
    ],
    ids=json.dumps,
)
def test_changed_aliases_are_refused(registry: Registry, change: dict[str, Any]) -> None:
    path = alias_file(registry)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactRejected):
        CardStore(registry.root, registry.trusted_keys).aliases("lateral")


def test_a_manifests_signature_is_none_of_aliases(registry: Registry) -> None:
    raw = json.loads(alias_file(registry).read_text())
    raw["signature"] = json.loads((registry.root / "lateral" / "1-starter" / "manifest.sig").read_text())
    alias_file(registry).write_text(json.dumps(raw))
    with pytest.raises(ArtifactRejected, match="does not match its content"):
        CardStore(registry.root, registry.trusted_keys).aliases("lateral")


def test_aliases_of_another_model_do_not_pass(registry: Registry) -> None:
    shutil.copytree(registry.root / "lateral", registry.root / "other")
    with pytest.raises(ArtifactRejected, match="another model's"):
        CardStore(registry.root, registry.trusted_keys).aliases("other")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["live", "shadow", "version", "counter", "signature", "model", "key_id", "x"]),
            inner,
            max_size=5,
        )
    ),
)


@given(JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200))
def test_whatever_lies_there_is_read_or_refused(content: bytes) -> None:
    try:
        found = read("lateral", content, Path("/nowhere"))
    except ArtifactRejected:
        return
    assert found.counter == 0
    assert set(found.versions) <= {"live", "shadow"}


@pytest.mark.parametrize("content", [b"[" * 60_000, b'{"live":' * 7_000, b'{"counter":' + b"9" * 5_000 + b"}"])
def test_deep_and_long_values_are_refused(registry: Registry, content: bytes) -> None:
    alias_file(registry).write_bytes(content)
    with pytest.raises(ArtifactRejected, match="damaged"):
        registry.aliases("lateral")


def test_unsigned_aliases_count_until_the_first_signed_ones(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "registry", tmp_path / "registry")
    shutil.copytree(FOLDER / "trusted_keys", tmp_path / "trusted")
    signer, _ = Signer.load_or_create(tmp_path / "key.pem", tmp_path / "trusted")
    seen = tmp_path / "state" / "aliases.json"
    registry = Registry(tmp_path / "registry", tmp_path / "trusted", SeenAliases(seen, writes=True))
    unsigned = alias_file(registry).read_bytes()
    assert registry.aliases("lateral") == {"live": "2", "shadow": "1-starter"}
    changed = json.dumps({"live": {"version": "1-starter"}}).encode()
    alias_file(registry).write_bytes(changed)  # 0.1.0 promotes
    assert registry.aliases("lateral") == {"live": "1-starter"}
    alias_file(registry).write_bytes(unsigned)
    assert registry.resign_aliases("lateral", signer)
    assert registry.aliases("lateral") == {"live": "2", "shadow": "1-starter"}
    alias_file(registry).write_bytes(changed)
    with pytest.raises(ArtifactRejected, match="unsigned, and signed ones were seen before"):
        registry.resolve("lateral")
    # What 0.1.0 reads of a signed file is what it read of its own.
    registry.set_alias("lateral", "live", "2", signer)
    assert json.loads(alias_file(registry).read_text())["live"] == {"version": "2"}


def test_a_revoked_key_takes_its_aliases_with_it(registry: Registry, signer: Signer) -> None:
    revoke(signer.key_id, registry.trusted_keys)
    with pytest.raises(ModelRevoked):
        registry.aliases("lateral")


def test_a_key_that_ended_promotes_nothing_more(
    registry: Registry, signer: Signer, reader: Callable[[], CardStore], tmp_path: Path
) -> None:
    assert reader().resolve("lateral") == "1-starter"
    other = Registry(registry.root, tmp_path / "elsewhere")  # a thief's, with an end of his own
    shutil.copytree(registry.trusted_keys, tmp_path / "elsewhere")
    set_end(signer.key_id, registry.trusted_keys, "2020-01-01")
    assert reader().resolve("lateral") == "1-starter"  # what was live stays live
    other.set_alias("lateral", "live", "2-starter", signer)
    with pytest.raises(ArtifactRejected, match="whose end was before that"):
        reader().resolve("lateral")


def test_a_change_of_live_is_told_once(registry: Registry, signer: Signer, reader: Callable[[], CardStore]) -> None:
    told: list[tuple[str, str, str]] = []
    store = CardStore(
        registry.root, registry.trusted_keys, reader().seen, lambda name, before, now: told.append((name, before, now))
    )
    store.resolve("lateral")
    registry.set_alias("lateral", "live", "2-starter", signer)
    registry.set_alias("lateral", "shadow", "1-starter", signer)
    for _ in range(3):
        store.resolve("lateral")
    assert told == [("lateral", "1-starter", "2-starter")]


@pytest.mark.parametrize("left", [b"", b"[]", b'{"x": 1}', b'{"x": {"counter": "1"}}', b"[" * 100_000])
def test_a_damaged_memory_is_begun_anew(
    registry: Registry, reader: Callable[[], CardStore], tmp_path: Path, left: bytes
) -> None:
    seen = tmp_path / "home" / "state" / "aliases.json"
    reader().resolve("lateral")
    assert seen.stat().st_mode & 0o777 == 0o600
    seen.write_bytes(left)
    assert reader().resolve("lateral") == "1-starter"
    assert json.loads(seen.read_text())


def test_a_memory_that_cannot_be_kept_lives_in_the_process(registry: Registry, signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    store = CardStore(
        registry.root, registry.trusted_keys, SeenAliases(tmp_path / "state" / "aliases.json", writes=True)
    )
    old = alias_file(registry).read_bytes()
    registry.set_alias("lateral", "live", "2-starter", signer)
    assert store.resolve("lateral") == "2-starter"
    alias_file(registry).write_bytes(old)
    with pytest.raises(ArtifactRejected, match="older"):
        store.resolve("lateral")


def test_publishing_over_refused_aliases_makes_nothing_live(
    registry: Registry, signer: Signer, tiny_model: TrainedModel, tmp_path: Path
) -> None:
    alias_file(registry).write_text("{}")
    with pytest.raises(ArtifactRejected, match="damaged"):
        publish(tiny_model, registry, tmp_path / "private" / "key.pem")
    assert "3-starter" in registry.versions("lateral")
    assert publish(tiny_model, registry, tmp_path / "private" / "key.pem", promote=True).is_live


def test_a_memory_that_another_process_holds_is_not_waited_for_without_end(
    registry: Registry, signer: Signer, tmp_path: Path
) -> None:
    seen = tmp_path / "state" / "aliases.json"
    seen.parent.mkdir()
    reader = CardStore(registry.root, registry.trusted_keys, SeenAliases(seen, writes=True))
    with FileLock(seen.with_suffix(".lock")):
        assert reader.aliases("lateral")["live"] == "1-starter"
    old = (registry.root / "lateral" / "aliases.json").read_bytes()
    registry.set_alias("lateral", "shadow", "1-starter", signer)
    assert "shadow" in reader.aliases("lateral")
    (registry.root / "lateral" / "aliases.json").write_bytes(old)
    with pytest.raises(ArtifactRejected, match="older"):
        reader.aliases("lateral")


def test_names_that_somebody_made_up_are_not_remembered(registry: Registry, tmp_path: Path) -> None:
    """Whoever has a key may ask for as many as there are."""
    reader = CardStore(registry.root, registry.trusted_keys, SeenAliases(tmp_path / "aliases.json", writes=True))

    def ask(first: int) -> None:
        for k in range(first, first + 2000):
            with pytest.raises(UnknownModel):
                reader.resolve(f"made_up_{k}")

    ask(0)
    tracemalloc.start()
    try:
        ask(2000)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
