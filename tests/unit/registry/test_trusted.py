"""Trusted keys: their end, their revocation, and what their files must not be."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from scorer.models.trained import TrainedModel
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.registry.trusted import (
    TrustedKey,
    ending,
    keep,
    last_moment,
    listed,
    parse_trusted,
    read_trusted,
    revoke,
    set_end,
    trust,
)
from scorer.wire.errors import ArtifactRejected, BadOption, ConfigurationError, ModelRevoked

DAY = 86_400.0


def change(registry: Registry, signer: Signer, **fields: Any) -> None:
    path = registry.trusted_keys / f"{signer.key_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_a_key_signs_nothing_new_after_its_end_and_its_versions_load(
    registry: Registry, signer: Signer, tiny_model: TrainedModel
) -> None:
    set_end(signer.key_id, registry.trusted_keys, "2020-01-01")
    assert registry.load("lateral", "1-starter").name == "lateral"
    assert registry.card("lateral").version == "1-starter"
    for work in (
        lambda: registry.publish(tiny_model, signer),
        lambda: registry.set_alias("lateral", "shadow", "1-starter", signer),
        lambda: registry.resign("lateral", "1-starter", signer),
        lambda: registry.resign_aliases("lateral", signer),
    ):
        with pytest.raises(ConfigurationError, match="ended on 2020-01-01 and signs nothing new"):
            work()
    assert registry.versions("lateral") == ["1-starter"]
    set_end(signer.key_id, registry.trusted_keys, "2999-12-31")
    registry.publish(tiny_model, signer)


def test_a_date_is_the_whole_day() -> None:
    assert last_moment("2027-11-30") == pytest.approx(last_moment("2027-12-01T00:00+00:00"), abs=1.0)
    assert last_moment("2027-11-30T12:00") == last_moment("2027-11-30T13:00+01:00")


@pytest.mark.parametrize(
    ("days", "said"), [(29, ["ends on"]), (31, []), (-1, ["ended on"])], ids=["soon", "later", "past"]
)
def test_an_end_is_told_thirty_days_ahead(registry: Registry, signer: Signer, days: int, said: list[str]) -> None:
    set_end(signer.key_id, registry.trusted_keys, "2027-11-30")
    found = ending(registry.trusted_keys, last_moment("2027-11-30") - days * DAY)
    assert [words in line for words, line in zip(said, found, strict=True)] == [True] * len(said)
    revoke(signer.key_id, registry.trusted_keys)
    assert ending(registry.trusted_keys, last_moment("2027-11-30")) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expires": "2020-01-01"}, "field 'expires' that means nothing here"),
        ({"not_after": "soon"}, "not_after = 'soon'"),
        ({"not_after": 20200101}, "damaged"),
        ({"not_after": "9999-99-99"}, "damaged"),
        ({"not_after": None}, "damaged"),
        ({"note": 5}, "damaged"),
        ({"key_id": "0" * 16}, ""),
    ],
)
def test_what_a_key_file_must_not_say(registry: Registry, signer: Signer, fields: dict[str, Any], message: str) -> None:
    change(registry, signer, **fields)
    if not message:  # its name counts, as in 0.1.0
        assert registry.card("lateral")
        return
    with pytest.raises(ArtifactRejected, match=message):
        registry.card("lateral")
    assert [isinstance(key, ArtifactRejected) for key in listed(registry.trusted_keys)] == [True]


@pytest.mark.parametrize("revoked", [True, None, "false", 0, []])
def test_what_does_not_plainly_say_no_is_revoked(registry: Registry, signer: Signer, revoked: object) -> None:
    change(registry, signer, revoked=revoked)
    with pytest.raises(ModelRevoked, match="was revoked"):
        registry.card("lateral")


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 4000, b'{"a":' * 600, b"\xff\xfe", b'{"public_key": 5}'])
def test_what_is_no_key_is_refused(content: bytes) -> None:
    with pytest.raises(ArtifactRejected, match="does not hold"):
        parse_trusted(content)


def test_a_revoked_key_is_not_trusted_again_by_the_way(registry: Registry, signer: Signer) -> None:
    """By its file from a machine that does not know yet that it was revoked."""
    revoke(signer.key_id, registry.trusted_keys)
    with pytest.raises(BadOption, match=f"key {signer.key_id} was revoked here"):
        trust(signer.private_key.public_key(), registry.trusted_keys)
    assert read_trusted(signer.key_id, registry.trusted_keys).revoked
    (registry.trusted_keys / f"{signer.key_id}.json").unlink()
    trust(signer.private_key.public_key(), registry.trusted_keys)
    assert not read_trusted(signer.key_id, registry.trusted_keys).revoked


def test_who_sets_a_keys_end_waits_for_whoever_revokes_it(registry: Registry, signer: Signer) -> None:
    folder = registry.trusted_keys
    setting = threading.Thread(target=set_end, args=(signer.key_id, folder, "2999-01-01"))
    with FileLock(folder / ".lock"):
        setting.start()
        setting.join(0.3)
        assert setting.is_alive()
        keep(replace(read_trusted(signer.key_id, folder), revoked=True), folder)
    setting.join()
    key = read_trusted(signer.key_id, folder)
    assert (key.revoked, key.not_after) == (True, "2999-01-01")


def test_a_revoked_or_unknown_key_signs_nothing(registry: Registry, signer: Signer, tiny_model: TrainedModel) -> None:
    assert revoke(signer.key_id, registry.trusted_keys).revoked
    with pytest.raises(ConfigurationError, match="was revoked"):
        registry.publish(tiny_model, signer)
    with pytest.raises(BadOption, match="no trusted key"):
        revoke("../../etc/passwd", registry.trusted_keys)
    with pytest.raises(BadOption, match="is no date"):
        set_end(signer.key_id, registry.trusted_keys, "tomorrow")


def test_a_key_is_rotated_without_a_gap(registry: Registry, signer: Signer, tmp_path: Path) -> None:
    manifest = (registry.root / "lateral" / "1-starter" / "manifest.json").read_bytes()
    later = Signer.create(tmp_path / "private" / "key.pem", registry.trusted_keys, not_after="2999-12-31")
    assert (tmp_path / "private" / f"key.{signer.key_id}.pem").stat().st_mode & 0o777 == 0o600
    assert read_trusted(later.key_id, registry.trusted_keys).not_after == "2999-12-31"
    registry.resign("lateral", "1-starter", later)
    registry.resign_aliases("lateral", later)
    revoke(signer.key_id, registry.trusted_keys)
    assert registry.load("lateral", registry.resolve("lateral", "live"))
    assert (registry.root / "lateral" / "1-starter" / "manifest.json").read_bytes() == manifest


def test_what_does_not_verify_is_not_signed_again(registry: Registry, signer: Signer) -> None:
    path = registry.root / "lateral" / "1-starter" / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"starter":true', b'"starter":null'))
    with pytest.raises(ArtifactRejected, match="does not match"):
        registry.resign("lateral", "1-starter", signer)


def test_an_end_far_away_is_nobodys_business() -> None:
    key = TrustedKey("0" * 16, b"", not_after="2999-12-31")
    assert not key.ends_soon(time.time())
