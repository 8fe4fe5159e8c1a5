"""What a process was started with: a digest of its settings, and which of them differ from its last start."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from scorer.chain import canonical
from scorer.files import read_file, write_atomic
from scorer.service.access.audit import audit_quietly
from scorer.service.queue.broker import private_dir
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError

_LOGIN = re.compile(r"//\S*@")  # to the last one: a password may have some of its own
#: Names of settings that hold a secret themselves, not the file that holds it.
_SECRET = re.compile(r"(password|passphrase|secret|token|mac_key|api_key|private_key)\Z")
_HIDDEN = "(secret)"
_FILE_CAP = 1024 * 1024
_MOST_TEXT = 300  # characters of a value
_MOST_CHANGES = 60


@dataclass(frozen=True)
class Effective:
    """Settings as the record may show them. ``shown``: name to value, without secrets. ``hidden``: of those that hold
    a secret, a keyed digest under ``salt``, by which a change is seen."""

    shown: Mapping[str, str]
    hidden: Mapping[str, str]
    salt: str

    @property
    def digest(self) -> str:
        """The SHA-256 of what is shown."""
        return hashlib.sha256(json.dumps(self.shown, sort_keys=True).encode()).hexdigest()

    def changes(self, before: Effective) -> dict[str, list[str]]:
        """Name what differs from an earlier start: old and new value, "" where there is none."""
        names = sorted(self.shown.keys() | before.shown.keys())
        plain = {name: [before.shown.get(name, ""), self.shown.get(name, "")] for name in names}
        secret = {name for name in names if before.hidden.get(name) != self.hidden.get(name)}
        return {name: pair for name, pair in plain.items() if pair[0] != pair[1] or name in secret}


def effective(settings: Settings, salt: str) -> Effective:
    """Write every setting as one line of JSON; logins in URLs and secrets are left out."""
    raw = dict(_flat(settings, ""))
    shown = {name: _public(name, value) for name, value in raw.items()}
    hidden = {name: _keyed(salt, _text(value)) for name, value in raw.items() if shown[name] != _text(value)}
    return Effective(shown, hidden, salt)


def audit_start(settings: Settings, program: str) -> None:
    """Record that ``program`` begins, and what differs from the settings of its last start in this home.

    A process that serves callers starts also where the record cannot be written; its log says so.
    """
    path = settings.state_dir / f"settings_{program}.json"
    before = _last(path)
    now = effective(settings, before.salt if before else secrets.token_hex(16))
    changes = now.changes(before) if before else {}
    facts: dict[str, Any] = {"version": version("qscore"), "settings": now.digest}
    if changes:
        facts["changed"] = dict(list(changes.items())[:_MOST_CHANGES])
    audit_quietly(settings, "started", process=program, **facts)
    if before is None or changes:
        _keep(path, now)


def _flat(model: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(inner) for inner in value) + "]"
    return "" if value is None else str(value)


def _public(name: str, value: Any) -> str:
    """Write a value without logins and secrets, cut to what an entry holds."""
    if isinstance(value, SecretStr) or (isinstance(value, str) and value and _SECRET.search(name)):
        return _HIDDEN
    return _LOGIN.sub("//***@", _text(value))[:_MOST_TEXT]


def _keyed(salt: str, value: str) -> str:
    return hmac.new(salt.encode(), value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _last(path: Path) -> Effective | None:
    """Read what the last start left; what is damaged counts as none, for the record holds every change."""
    if not path.is_file():
        return None
    with contextlib.suppress(ConfigurationError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raw = json.loads(read_file(path, _FILE_CAP, ConfigurationError, secret=True))
        shown, hidden = ({str(k): str(v) for k, v in raw[part].items()} for part in ("shown", "hidden"))
        return Effective(shown, hidden, str(raw["salt"]))
    return None


def _keep(path: Path, now: Effective) -> None:
    with contextlib.suppress(OSError, ConfigurationError):  # a read-only home: every start then counts as the first
        private_dir(path.parent)
        write_atomic(path, canonical(vars(now)), mode=0o600)
