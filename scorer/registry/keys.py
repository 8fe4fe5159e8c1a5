"""Ed25519 keys: signing on the administrator's host, verification everywhere else."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scorer.files import read_file, write_atomic
from scorer.registry.trusted import (
    KEY_FILE_CAP,
    REMEDY,
    TrustedKey,
    decoded,
    json_object,
    key_for,
    key_id_of,
    trust,
)
from scorer.wire.errors import ArtifactRejected, ConfigurationError


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
        content = read_file(path, KEY_FILE_CAP, ConfigurationError, inside=path.parent, secret=True)
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError):
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
        return cls.create(path, trusted_keys, "made by the first run on this machine"), True

    @classmethod
    def create(cls, path: Path, trusted_keys: Path, note: str = "", not_after: str = "") -> Signer:
        """Make a key at ``path`` and trust it; one that is there steps aside under a name with its id.

        Raises ConfigurationError where the key that is there cannot be read.
        """
        if path.exists():
            path.rename(path.with_name(f"{path.stem}.{cls.load(path).key_id}{path.suffix}"))
        signer = cls(Ed25519PrivateKey.generate())
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pem = signer.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_atomic(path, pem, mode=0o600)
        trust(signer.private_key.public_key(), trusted_keys, note, not_after)
        return signer


def verify(payload: bytes, signature_document: bytes, trusted_keys: Path, what: str) -> TrustedKey:
    """Check a signature document over ``payload``; returns the key that signed.

    Raises ArtifactRejected naming ``what`` and whether the key is unknown, revoked (ModelRevoked), of another scope,
    or the signature wrong.
    """
    key_id, signature = _parse_signature(signature_document, what)
    key = key_for(key_id, trusted_keys, what)
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, payload)
    except InvalidSignature:
        raise ArtifactRejected(f"the signature of {what} does not match its content", REMEDY) from None
    return key


def _parse_signature(document: bytes, what: str) -> tuple[str, bytes]:
    raw = json_object(document)
    key_id = raw.get("key_id", "")
    signature = decoded(raw.get("signature"))
    known = raw.get("algorithm") == "ed25519" and isinstance(key_id, str) and len(key_id) == 16 and key_id.isalnum()
    if not known or signature is None:
        raise ArtifactRejected(f"the signature file of {what} is damaged", REMEDY)
    return key_id, signature
