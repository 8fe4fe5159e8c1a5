"""API keys of the gateway: random 256-bit keys, kept as SHA-256, with rights, an end and a note.

A key is shown once, when it is made. Who reads the file of hashes can make no request with it. A line of the file may
also stand for the holders of a certificate, or for people whom an identity provider vouches for: those have no key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from scorer.files import read_file, write_atomic
from scorer.rows.identity import RESERVED_NAMESPACES
from scorer.secret_file import read_secret
from scorer.service.access.lifetimes import shown
from scorer.service.access.rights import SCOPES, Bound, Rights, new_rights
from scorer.service.queue.broker import private_dir
from scorer.wire.errors import BadOption, ConfigurationError, Unauthorised

_PREFIX = "qsk_"
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")  # no colon: with one they are the connector's
_LOCAL = "local"  # the same whenever the local key is made again
_FILE_CAP = 4 * 1024 * 1024


@dataclass(frozen=True)
class Terms:
    """What a new key is bound to beside its scopes; nothing, as it comes.

    ``expires``: epoch seconds. ``certificate``: whose holders it stands for, as ``certificates.check_name`` takes it;
    ``claim``: ``name=value`` of an identity provider's token. Either has no secret.
    """

    expires: float | None = None
    models: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    elastic_namespaces: tuple[str, ...] = ()
    certificate: str = ""
    claim: str = ""


@dataclass(frozen=True)
class ApiKey:
    """One key as it is stored. ``created``, ``expires``: epoch seconds. ``sha256``: hexadecimal, of the whole key.

    ``namespace`` enters the id of every score that is written with the key, so that no key of another namespace makes
    that id. It is empty for keys of 0.1.0: their scores have the ids of then.

    ``models``, ``indexes``, ``elastic_namespaces``: what it is bound to; None: to nothing.
    """

    id: str
    sha256: str
    scopes: tuple[str, ...]
    created: float
    note: str = ""
    namespace: str = ""
    expires: float | None = None
    models: Bound = None
    indexes: Bound = None
    elastic_namespaces: Bound = None
    certificate: str = ""
    claim: str = ""

    @property
    def rights(self) -> Rights:
        return Rights(self.scopes, self.models, self.indexes, self.elastic_namespaces)

    def check_alive(self, now: float) -> None:
        """Raise Unauthorised when the key has ended."""
        if self.expires is not None and self.expires <= now:
            raise Unauthorised(
                f"key {self.id} expired at {shown(self.expires)} UTC",
                f"Run `qscore key rotate {self.id}` on the gateway's host and give the caller the new key.",
            )


@dataclass
class KeyFile:
    """The keys in one JSON file, mode 0600; read again when the file changes."""

    path: Path
    # Together in one: of two threads that read, the slower must not leave its older keys under the other's stamp.
    _last: tuple[tuple[int, ...], tuple[ApiKey, ...]] = field(default=((), ()), repr=False)

    def keys(self) -> tuple[ApiKey, ...]:
        """Read all keys, oldest first. Raises ConfigurationError when the file is damaged or others may read it."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError:
            return _read(self.path)  # which says what is wrong
        stamp = (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
        before, keys = self._last
        if stamp != before:
            keys = _read(self.path)
            self._last = stamp, keys
        return keys

    def find(self, secret: str) -> ApiKey | None:
        """Find the key whose secret this is, ended or not."""
        digest = digest_of(secret)
        found = None
        for key in self.keys():  # all of them, so that the time says nothing about which one matched
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def get(self, key_id: str) -> ApiKey | None:
        """Find a key by its id, ended or not."""
        return next((key for key in self.keys() if key.id == key_id), None)

    def add(
        self, scopes: Sequence[str], note: str = "", namespace: str | None = None, terms: Terms = Terms()
    ) -> tuple[ApiKey, str]:
        """Make a key; returns what is stored and the key itself, which nothing keeps. Raises BadOption.

        ``namespace``: by default one of its own, so that no other key makes the ids of its scores.
        """
        rights = new_rights(scopes, terms.models, terms.indexes, terms.elastic_namespaces)
        secret, digest, now = _new_secret()
        key = ApiKey(
            id=digest[:8],
            sha256=digest,
            created=now,
            note=note[:200],
            namespace=digest[:8] if namespace is None else check_namespace(namespace),
            expires=terms.expires,
            certificate=terms.certificate,
            claim=terms.claim,
            **vars(rights),
        )
        with self._locked():
            self._write((*self.keys(), key))
        return key, secret

    def rotate(self, key_id: str, overlap: float, expires: float | None) -> tuple[ApiKey, ApiKey, str]:
        """Make a key's successor, which may do the same; the old one ends after ``overlap`` seconds at the latest.

        ``expires``: when the new one ends. Returns the old key, the new one and its secret. Raises BadOption.
        """
        with self._locked():
            old = self._known(key_id)
            if old.certificate or old.claim:
                raise BadOption(f"key {old.id} has no secret to rotate", "It stands for a certificate, or for people.")
            secret, digest, now = _new_secret()
            new = replace(old, id=digest[:8], sha256=digest, created=now, expires=expires)
            end = round(now + overlap, 3)
            ending = replace(old, expires=end if old.expires is None else min(end, old.expires))
            self._write([ending if key.id == old.id else key for key in self.keys()] + [new])
        return ending, new, secret

    def revoke(self, key_id: str) -> ApiKey:
        """Remove a key; the gateway refuses it from its next request on. Raises BadOption."""
        with self._locked():
            gone = self._known(key_id)
            self._write(tuple(key for key in self.keys() if key.id != key_id))
        return gone

    def _known(self, key_id: str) -> ApiKey:
        if (found := self.get(key_id)) is None:
            raise BadOption(f"there is no key {key_id[:40]}", "`qscore key list` shows the ids.")
        return found

    def _locked(self) -> FileLock:
        private_dir(self.path.parent)
        return FileLock(self.path.with_suffix(".lock"), mode=0o600)

    def _write(self, keys: Sequence[ApiKey]) -> None:
        content = json.dumps({"keys": [_stored(key) for key in keys]}, indent=1).encode()
        write_private(self.path, content)


def bearer(authorization: str | None) -> str:
    """Read what an Authorization header presents. Raises Unauthorised."""
    scheme, _, presented = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise Unauthorised("the request carries no key", "Send the header Authorization: Bearer <key>.")
    return presented.strip()


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
    """Read the key that commands on this machine use; made, with every scope, when there is no living one."""
    if path.is_file():
        secret = read_secret(path, "local_api_key")
        found = keys.find(secret)
        if found is not None and (found.expires is None or found.expires > time.time()):
            return secret
    private_dir(path.parent)
    secret = keys.add(tuple(SCOPES), note="qscore commands on this machine", namespace=_LOCAL)[1]
    write_private(path, secret.encode() + b"\n")
    return secret


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one of mode 0600, whole or not at all."""
    write_atomic(path, content, mode=0o600)


def digest_of(secret: str) -> str:
    """Hash a secret as it is stored: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> tuple[ApiKey, ...]:
    try:
        raw = json.loads(read_file(path, _FILE_CAP, ConfigurationError, inside=path.parent, secret=True))
        return tuple(_key(entry) for entry in raw["keys"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} cannot be read as a list of keys: {error}", "Restore it, or remove it and make the keys again."
        ) from None


def _key(entry: dict[str, Any]) -> ApiKey:
    sha256 = entry["sha256"]
    if len(bytes.fromhex(sha256)) != hashlib.sha256().digest_size:
        raise ValueError("a key's sha256 has the wrong length")
    namespace, expires = str(entry.get("namespace", "")), entry.get("expires")
    if namespace and not _may_be_namespace(namespace):
        raise ValueError(f"a key's namespace is {namespace[:80]!r}")
    return ApiKey(
        id=str(entry["id"]),
        sha256=sha256.lower(),
        scopes=tuple(str(scope) for scope in entry["scopes"]),
        created=float(entry["created"]),
        note=str(entry.get("note", "")),
        namespace=namespace,
        expires=None if expires is None else _moment(expires),
        models=_names(entry.get("models")),
        indexes=_names(entry.get("indexes")),
        elastic_namespaces=_names(entry.get("elastic_namespaces")),
        certificate=str(entry.get("certificate", "")),
        claim=str(entry.get("claim", "")),
    )


def _moment(value: object) -> float:
    """Read an end. One that cannot be read must not become none: the whole file is refused then."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"expires is {str(value)[:40]!r}, not epoch seconds")
    return float(value)


def _names(value: object) -> Bound:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("what a key is bound to is not a list of names")
    return tuple(value)


def _stored(key: ApiKey) -> dict[str, Any]:
    """Leave out what says nothing, so that the file stays one to read."""
    return {name: value for name, value in asdict(key).items() if value is not None and value != ""} | {
        "note": key.note
    }


def _new_secret() -> tuple[str, str, float]:
    """Make a secret; with its hash, and now."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    return secret, digest_of(secret), round(time.time(), 3)
