"""Ed25519 keys: signing on the administrator's host, verification everywhere else.

``trusted_keys/`` holds one JSON file for each public key: id, key, scope, revocation. It lies outside the registry, so
that who can write models cannot also decide who is trusted.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scorer.registry.files import read_bounded, write_atomic
from scorer.wire.errors import ArtifactRejected, ConfigurationError

SCOPE_MODELS = "models"
_KEY_FILE_CAP = 4096
_REMEDY = "Take the model from where it was signed, or have the administrator sign it again; nothing runs unsigned."


def key_id_of(public_key: Ed25519PublicKey) -> str:
    """Give the first 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


@dataclass(frozen=True)
class Signer:
    """A private key that may sign artifacts."""

    private_key: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        return key_id_of(self.private_key.public_key())

    def sign(self, payload: bytes) -> bytes:
        """Write the signature document for ``payload``: JSON with key id, algorithm and signature."""
        signature = base64.b64encode(self.private_key.sign(payload)).decode()
        document = {"algorithm": "ed25519", "key_id": self.key_id, "signature": signature}
        return json.dumps(document, sort_keys=True).encode()

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Read a PEM private key; raises ConfigurationError when others may read it or it is not Ed25519."""
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others", f"Run chmod 600 {path}, or make a new key.")
        try:
            key = serialization.load_pem_private_key(read_bounded(path, _KEY_FILE_CAP), password=None)
        except ValueError:
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(f"{path} is not an Ed25519 private key in PEM", "Move it away to get a new one.")
        return cls(key)

    @classmethod
    def load_or_create(cls, path: Path, trusted_keys: Path) -> tuple[Signer, bool]:
        """Read the key at ``path``, or make one and trust it, as on one machine. True when it was made.

        Raises ConfigurationError when others may read it or it is not Ed25519.
        """
        if path.exists():
            return cls.load(path), False
        signer = cls(Ed25519PrivateKey.generate())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = signer.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomic(path, pem, mode=0o600)
        trust(signer.private_key.public_key(), trusted_keys, note="made by the first run on this machine")
        return signer, True


def trust(public_key: Ed25519PublicKey, trusted_keys: Path, note: str = "") -> Path:
    """Add a public key to ``trusted_keys``; returns its file."""
    key_id = key_id_of(public_key)
    document = {
        "key_id": key_id,
        "public_key": base64.b64encode(public_key.public_bytes_raw()).decode(),
        "scope": SCOPE_MODELS,
        "revoked": False,
        "note": note,
    }
    trusted_keys.mkdir(parents=True, exist_ok=True)
    path = trusted_keys / f"{key_id}.json"
    write_atomic(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n", mode=0o644)
    return path


def verify(payload: bytes, signature_document: bytes, trusted_keys: Path, what: str) -> str:
    """Check a signature document over ``payload``; returns the id of the key that signed.

    Raises ArtifactRejected naming ``what`` and whether the key is unknown, revoked, of another scope, or the
    signature wrong.
    """
    key_id, signature = _parse_signature(signature_document, what)
    public_key = _trusted(key_id, trusted_keys, what)
    try:
        public_key.verify(signature, payload)
    except InvalidSignature:
        raise ArtifactRejected(f"the signature of {what} does not match its content", _REMEDY) from None
    return key_id


def _parse_signature(document: bytes, what: str) -> tuple[str, bytes]:
    raw = _json_object(document)
    key_id = raw.get("key_id", "")
    signature = _base64(raw.get("signature"))
    known = raw.get("algorithm") == "ed25519" and isinstance(key_id, str) and len(key_id) == 16 and key_id.isalnum()
    if not known or signature is None:
        raise ArtifactRejected(f"the signature file of {what} is damaged", _REMEDY)
    return key_id, signature


def _trusted(key_id: str, trusted_keys: Path, what: str) -> Ed25519PublicKey:
    path = trusted_keys / f"{key_id}.json"
    if not path.is_file():
        raise ArtifactRejected(
            f"{what} is signed by key {key_id}, which is not among the trusted keys in {trusted_keys}", _REMEDY
        )
    raw = _json_object(read_bounded(path, _KEY_FILE_CAP))
    if raw.get("revoked") is not False:
        raise ArtifactRejected(f"{what} is signed by key {key_id}, which was revoked", _REMEDY)
    if raw.get("scope") != SCOPE_MODELS:
        raise ArtifactRejected(f"{what} is signed by key {key_id}, which may not sign models", _REMEDY)
    public = _base64(raw.get("public_key"))
    if public is None or len(public) != 32 or hashlib.sha256(public).hexdigest()[:16] != key_id:
        raise ArtifactRejected(f"the trusted key file {path} does not hold key {key_id}", "Restore that file.")
    return Ed25519PublicKey.from_public_bytes(public)


def _json_object(document: bytes) -> Mapping[str, Any]:
    try:
        raw = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def _base64(text: object) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:  # of binascii, or for characters beyond ASCII
        return None
