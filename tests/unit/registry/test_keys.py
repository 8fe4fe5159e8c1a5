from __future__ import annotations

import json
from pathlib import Path

import pytest

from scorer.registry.keys import Signer, verify
from scorer.wire.errors import ArtifactRejected, ConfigurationError


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    made, created = Signer.load_or_create(tmp_path / "private" / "signing_key.pem", tmp_path / "trusted")
    assert created
    return made


def test_the_first_run_makes_a_private_key_and_trusts_it(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "private" / "signing_key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    again, created = Signer.load_or_create(path, tmp_path / "trusted")
    assert not created
    assert again.key_id == signer.key_id
    assert verify(b"payload", again.sign(b"payload"), tmp_path / "trusted", "x").key_id == signer.key_id


def test_a_changed_byte_is_found(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(ArtifactRejected, match="signature of model x does not match"):
        verify(b"payloae", signer.sign(b"payload"), tmp_path / "trusted", "model x")


def test_an_unknown_key_is_named(tmp_path: Path, signer: Signer) -> None:
    stranger, _ = Signer.load_or_create(tmp_path / "other" / "key.pem", tmp_path / "elsewhere")
    with pytest.raises(ArtifactRejected, match=f"key {stranger.key_id}, which is not among the trusted"):
        verify(b"payload", stranger.sign(b"payload"), tmp_path / "trusted", "model x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"revoked": True}, "was revoked"),
        ({"scope": "candidates"}, "may not sign models"),
        ({"public_key": "AAAA"}, "does not hold key"),
    ],
)
def test_a_key_that_may_not_sign_is_refused(
    tmp_path: Path, signer: Signer, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "trusted" / f"{signer.key_id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ArtifactRejected, match=message):
        verify(b"payload", signer.sign(b"payload"), tmp_path / "trusted", "model x")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{",
        b'{"algorithm":"none","key_id":"0123456789abcdef","signature":""}',
        b'{"algorithm":"ed25519","key_id":"../../../../etc0","signature":"AA=="}',
        b'{"algorithm":"ed25519","key_id":"0123456789abcdef","signature":"!"}',
        b'{"algorithm":"ed25519","key_id":"0123456789abcdef","signature":"\\u00e9"}',
    ],
)
def test_a_damaged_signature_file_is_refused(tmp_path: Path, signer: Signer, document: bytes) -> None:
    with pytest.raises(ArtifactRejected, match="signature file of model x is damaged"):
        verify(b"payload", document, tmp_path / "trusted", "model x")


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "private" / "signing_key.pem"
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="can be read by others"):
        Signer.load(path)


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not an Ed25519 private key"):
        Signer.load(path)
