"""API keys of the gateway: random 256-bit keys, kept as SHA-256, with scopes.

A key is shown once, when it is made. Who reads the file of hashes can make no request with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from scorer.registry.files import write_atomic
from scorer.rows.identity import RESERVED_NAMESPACES
from scorer.service.queue.broker import private_dir
from scorer.wire.errors import BadOption, ConfigurationError, Forbidden, Unauthorised

SCOPES = {
    "read": "list models and read their cards, and the metrics",
    "score": "score batches",
    "write": "score with write=true",
}
_PREFIX = "qsk_"
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")  # no colon: with one they are the connector's
_LOCAL = "local"  # the same whenever the local key is made again
_FILE_CAP = 4 * 1024 * 1024


@dataclass(frozen=True)
class ApiKey:
    """One key as it is stored. ``created``: epoch seconds. ``sha256``: hexadecimal, of the whole key.

    ``namespace`` enters the id of every score that is written with the key, so that no key of another namespace makes
    that id. It is empty for keys of 0.1.0: their scores have the ids of then.
    """

    id: str
    sha256: str
    scopes: tuple[str, ...]
    created: float
    note: str = ""
    namespace: str = ""

    def allows(self, scope: str) -> None:
        """Raise Forbidden when the key lacks ``scope``."""
        if scope not in self.scopes:
            raise Forbidden(
                f"key {self.id} may not {SCOPES[scope]}",
                f"Make one that may: `qscore key new --scope {scope}`, beside the scopes that it needs already.",
            )


@dataclass
class KeyFile:
    """The keys in one JSON file, mode 0600; read again when the file changes."""

    path: Path
    _stamp: tuple[int, int, int] | None = field(default=None, repr=False)
    _keys: tuple[ApiKey, ...] = field(default=(), repr=False)

    def keys(self) -> tuple[ApiKey, ...]:
        """Read all keys, oldest first. Raises ConfigurationError when the file is damaged or others may read it."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            if status.st_mode & 0o077:
                raise ConfigurationError(f"{self.path} can be read by others", f"Run chmod 600 {self.path}.")
            self._keys = _read(self.path)
            self._stamp = stamp
        return self._keys

    def identify(self, authorization: str | None) -> ApiKey:
        """Find the key behind an Authorization header. Raises Unauthorised."""
        scheme, _, presented = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not presented:
            raise Unauthorised("the request carries no key", "Send the header Authorization: Bearer <key>.")
        digest = _digest(presented.strip())
        found = None
        for key in self.keys():  # all of them, so that the time says nothing about which one matched
            if hmac.compare_digest(key.sha256, digest):
                found = key
        if found is None:
            raise Unauthorised("nobody knows this key", "Make one with `qscore key new` on the gateway's host.")
        return found

    def add(self, scopes: Sequence[str], note: str = "", namespace: str | None = None) -> tuple[ApiKey, str]:
        """Make a key; returns what is stored and the key itself, which nothing keeps. Raises BadOption.

        ``namespace``: by default one of its own, so that no other key makes the ids of its scores.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise BadOption(
                f"scope {', '.join(unknown) or '(none)'} does not exist", f"Scopes are {', '.join(sorted(SCOPES))}."
            )
        secret = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(secret)
        own = digest[:8] if namespace is None else check_namespace(namespace)
        key = ApiKey(digest[:8], digest, tuple(sorted(set(scopes))), round(time.time(), 3), note[:200], own)
        with self._locked():
            self._write((*self.keys(), key))
        return key, secret

    def revoke(self, key_id: str) -> ApiKey:
        """Remove a key; the gateway refuses it from its next request on. Raises BadOption."""
        with self._locked():
            keys = self.keys()
            gone = [key for key in keys if key.id == key_id]
            if not gone:
                raise BadOption(f"there is no key {key_id[:40]}", "`qscore key list` shows the ids.")
            self._write(tuple(key for key in keys if key.id != key_id))
        return gone[0]

    def _locked(self) -> FileLock:
        private_dir(self.path.parent)
        return FileLock(self.path.with_suffix(".lock"), mode=0o600)

    def _write(self, keys: Sequence[ApiKey]) -> None:
        content = json.dumps({"keys": [asdict(key) for key in keys]}, indent=1).encode()
        write_private(self.path, content)


def check_namespace(namespace: str) -> str:
    """Return ``namespace`` where a key may have it. Raises BadOption."""
    if not _may_be_namespace(namespace):
        raise BadOption(
            f"{namespace[:80]!r} cannot be a key's namespace",
            f"Use up to 64 of a-z, 0-9, _, . and -; not {' or '.join(sorted(RESERVED_NAMESPACES))}.",
        )
    return namespace


def _may_be_namespace(text: str) -> bool:
    return _NAMESPACE.match(text) is not None and text not in RESERVED_NAMESPACES


def local_key(path: Path, keys: KeyFile) -> str:
    """Read the key that commands on this machine use; made, with every scope, when it is missing or was revoked."""
    if path.is_file():
        secret = path.read_text("ascii").strip()
        if any(key.sha256 == _digest(secret) for key in keys.keys()):  # noqa: SIM118  # a method, not a mapping
            return secret
    private_dir(path.parent)
    secret = keys.add(tuple(SCOPES), note="qscore commands on this machine", namespace=_LOCAL)[1]
    write_private(path, secret.encode() + b"\n")
    return secret


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600, whole or not at all."""
    write_atomic(path, content, mode=0o600)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> tuple[ApiKey, ...]:
    try:
        with path.open("rb") as stream:
            raw = json.loads(stream.read(_FILE_CAP))
        return tuple(_key(entry) for entry in raw["keys"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a list of keys: {error}", "Restore it, or remove it and make the keys again."
        ) from None


def _key(entry: dict[str, Any]) -> ApiKey:
    sha256 = entry["sha256"]
    if len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
        raise ValueError("a key's sha256 has the wrong length")
    scopes = tuple(str(scope) for scope in entry["scopes"])
    namespace = str(entry.get("namespace", ""))
    if namespace and not _may_be_namespace(namespace):
        raise ValueError(f"a key's namespace is {namespace[:80]!r}")
    note = str(entry.get("note", ""))
    return ApiKey(str(entry["id"]), sha256.lower(), scopes, float(entry["created"]), note, namespace)
