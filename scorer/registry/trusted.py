"""The public keys that are trusted: one JSON file each in ``trusted_keys/``, which lies outside the registry.

    {"key_id": ..., "public_key": <base64>, "scope": "models", "revoked": false, "note": ..., "not_after": "2027-11-30"}

``not_after`` is the last day, or moment, of new signatures; what was signed before it loads until the key is revoked.
A field that is none of these is refused, for somebody relies on it.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from filelock import FileLock

from scorer.files import check_folder, write_atomic
from scorer.registry.files import read_bounded
from scorer.wire.errors import ArtifactRejected, BadOption, ConfigurationError, ModelRevoked

SCOPE_MODELS = "models"
KEY_FILE_CAP = 4096
REMEDY = "Take the model from where it was signed, or have the administrator sign it again; nothing runs unsigned."
WARN_DAYS = 30
_FIELDS = frozenset(("key_id", "public_key", "scope", "revoked", "note", "not_after"))
_DAY = 86_400.0


@dataclass(frozen=True)
class TrustedKey:
    """A public key. ``not_after``: ISO date or moment of its last new signature, "" where there is none."""

    key_id: str
    public_key: bytes
    scope: str = SCOPE_MODELS
    revoked: bool = False
    note: str = ""
    not_after: str = ""

    @property
    def ends(self) -> float | None:
        """The epoch seconds after which it signs nothing new."""
        return last_moment(self.not_after) if self.not_after else None

    def ended(self, now: float) -> bool:
        """Tell whether it may sign nothing new any more."""
        return self.ends is not None and now > self.ends

    def ends_soon(self, now: float) -> bool:
        """Tell whether its end is less than thirty days away, or past."""
        return not self.revoked and self.ends is not None and self.ends - now < WARN_DAYS * _DAY

    def warning(self, now: float) -> str:
        """Say when it ends, and what to do, in one sentence."""
        verb = "ended" if self.ended(now) else "ends"
        return f"signing key {self.key_id} {verb} on {self.not_after}: `qscore trust new` makes its successor"


def key_id_of(public_key: Ed25519PublicKey) -> str:
    """Give the first 16 hexadecimal digits of the SHA-256 of the raw public key."""
    return _id(public_key.public_bytes_raw())


def last_moment(text: str) -> float:
    """Read a date (its whole day, UTC) or a moment as epoch seconds. Raises ValueError."""
    if len(text) == len("2027-11-30"):
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time.max, dt.UTC).timestamp()
    moment = dt.datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def trust(public_key: Ed25519PublicKey, trusted_keys: Path, note: str = "", not_after: str = "") -> Path:
    """Add a public key to ``trusted_keys``; returns its file. Raises BadOption for one that was revoked there."""
    raw = public_key.public_bytes_raw()
    key = TrustedKey(_id(raw), raw, note=note, not_after=not_after)
    trusted_keys.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _alone(trusted_keys):
        if _revoked(key.key_id, trusted_keys):
            raise BadOption(
                f"key {key.key_id} was revoked here",
                "Remove its file from trusted_keys/ first, if it is to count again.",
            )
        return keep(key, trusted_keys)


def keep(key: TrustedKey, trusted_keys: Path) -> Path:
    """Write a key's file; returns it. A folder that is missing is made so that its owner alone writes there."""
    document = {
        "key_id": key.key_id,
        "public_key": base64.b64encode(key.public_key).decode(),
        "scope": key.scope,
        "revoked": key.revoked,
        "note": key.note,
    } | ({"not_after": key.not_after} if key.not_after else {})
    trusted_keys.mkdir(mode=0o755, parents=True, exist_ok=True)
    path = trusted_keys / f"{key.key_id}.json"
    write_atomic(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n", mode=0o644)
    return path


def read_trusted(key_id: str, trusted_keys: Path) -> TrustedKey:
    """Read a key's file, whether it is revoked or not. Raises ArtifactRejected where it is not as it has to be."""
    check_folder(trusted_keys, ArtifactRejected, parent=True)
    return parse_trusted(read_bounded(trusted_keys / f"{key_id}.json", KEY_FILE_CAP), key_id)


def parse_trusted(content: bytes, key_id: str = "") -> TrustedKey:
    """Read what a key's file holds; ``key_id``: whose it has to be. Raises ArtifactRejected."""
    raw = json_object(content)
    called = f"the trusted key file {key_id}.json" if key_id else "the key file"
    public = decoded(raw.get("public_key"))
    if public is None or len(public) != 32 or _id(public) != (key_id or raw.get("key_id")):
        raise ArtifactRejected(f"{called} does not hold key {key_id or 'that it names'}", "Restore that file.")
    unknown = sorted(raw.keys() - _FIELDS)
    if unknown:
        raise ArtifactRejected(
            f"{called} has a field {unknown[0][:40]!r} that means nothing here", "The end of a key is its not_after."
        )
    try:
        key = TrustedKey(
            **{
                **raw,
                "key_id": _id(public),
                "public_key": public,
                "scope": raw.get("scope", ""),
                "revoked": raw.get("revoked") is not False,  # what does not plainly say no counts as revoked
            }
        )
        texts = (key.scope, key.note, key.not_after)
        if not all(isinstance(text, str) for text in texts) or (key.not_after and key.ends is None):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ArtifactRejected(
            f"{called} is damaged: not_after = {str(raw.get('not_after', ''))[:40]!r}",
            "not_after is a date such as 2027-11-30; the other fields are texts.",
        ) from None
    return key


def key_for(key_id: str, trusted_keys: Path, what: str) -> TrustedKey:
    """Find the trusted key that signed ``what``.

    Raises ArtifactRejected when it is unknown or of another scope, ModelRevoked when it was revoked.
    """
    if not (trusted_keys / f"{key_id}.json").exists():
        raise ArtifactRejected(
            f"{what} is signed by key {key_id}, which is not among the trusted keys in {trusted_keys}", REMEDY
        )
    key = read_trusted(key_id, trusted_keys)
    if key.revoked:
        raise ModelRevoked(f"{what} is signed by key {key_id}, which was revoked", REMEDY)
    if key.scope != SCOPE_MODELS:
        raise ArtifactRejected(f"{what} is signed by key {key_id}, which may not sign models", REMEDY)
    return key


def listed(trusted_keys: Path) -> Iterator[TrustedKey | ArtifactRejected]:
    """Read every key, in order of name; those that are not as they have to be come as the reason."""
    for path in sorted(trusted_keys.glob("*.json")) if trusted_keys.is_dir() else ():
        try:
            yield read_trusted(path.stem, trusted_keys)
        except ArtifactRejected as fault:
            yield fault


def ending(trusted_keys: Path, now: float | None = None) -> list[str]:
    """Say which keys end within thirty days, or have ended: a sentence for each."""
    moment = time.time() if now is None else now
    keys = [key for key in listed(trusted_keys) if isinstance(key, TrustedKey)]
    return [key.warning(moment) for key in keys if key.ends_soon(moment)]


def check_may_sign(key_id: str, trusted_keys: Path) -> None:
    """Make sure that a key may sign something new now. Raises ConfigurationError."""
    try:
        key = key_for(key_id, trusted_keys, "what it would sign")
    except ArtifactRejected as fault:
        raise ConfigurationError(
            f"the signing key {key_id} cannot be used: {fault.detail}", "`qscore trust new` makes another."
        ) from None
    if key.ended(time.time()):
        raise ConfigurationError(
            f"the signing key {key_id} ended on {key.not_after} and signs nothing new",
            "`qscore trust new` makes its successor; what was signed loads on until the key is revoked.",
        )


def revoke(key_id: str, trusted_keys: Path) -> TrustedKey:
    """Revoke a key: nothing that it signed loads any more. Raises BadOption, ArtifactRejected."""
    return _changed(key_id, trusted_keys, revoked=True)


def set_end(key_id: str, trusted_keys: Path, not_after: str) -> TrustedKey:
    """Set the last day, or moment, of a key's new signatures. Raises BadOption, ArtifactRejected."""
    try:
        last_moment(not_after)
    except (ValueError, OverflowError):
        raise BadOption(f"{not_after[:40]!r} is no date", "Give one such as 2027-11-30.") from None
    return _changed(key_id, trusted_keys, not_after=not_after)


def _changed(key_id: str, trusted_keys: Path, **changes: Any) -> TrustedKey:
    if not (key_id.isalnum() and (trusted_keys / f"{key_id}.json").is_file()):
        raise BadOption(f"there is no trusted key {key_id[:40]}", "`qscore trust list` shows them.")
    with _alone(trusted_keys):
        key = dataclasses.replace(read_trusted(key_id, trusted_keys), **changes)
        keep(key, trusted_keys)
    return key


def _revoked(key_id: str, trusted_keys: Path) -> bool:
    """Tell whether a key was revoked here; one that is not here, or damaged, was not."""
    try:
        return read_trusted(key_id, trusted_keys).revoked
    except ArtifactRejected:
        return False


def _alone(trusted_keys: Path) -> FileLock:
    """Hold off others that change a key: who sets its end must not write over that it was revoked meanwhile."""
    return FileLock(trusted_keys / ".lock", mode=0o600)


def json_object(document: bytes) -> Mapping[str, Any]:
    """Read a JSON object; anything else, nested however deep, is an empty one."""
    try:
        raw = json.loads(document)
    except (ValueError, RecursionError):
        return {}
    return raw if isinstance(raw, dict) else {}


def decoded(text: object) -> bytes | None:
    """Decode base64; None where it is not."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:  # of binascii, or for characters beyond ASCII
        return None


def _id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
