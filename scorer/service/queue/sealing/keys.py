"""The keys of seals, and the file that they stand in: which of them makes seals at a moment, and which open them.

A line of the file is a key's 64 hexadecimal digits, and behind them, where it has them, ``from=`` the moment at which
it begins to make seals and ``until=`` the one at which it opens none any more. Every key opens seals before it makes
any: so a file with a new key that begins in an hour can be copied from machine to machine within that hour, and no
value is refused at any time. Of two keys without a moment the first makes seals.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from scorer.files import read_file
from scorer.wire.errors import ConfigurationError

KEY_BYTES = 32
#: Keys in one file; those that have ended leave it at the next rotation.
MOST_KEYS = 8
_FILE_CAP = 4096  # bytes
_FROM, _UNTIL = "from=", "until="


@dataclass(frozen=True)
class QueueKey:
    """A key. ``begins``: epoch seconds from which it makes seals, None: from ever. ``ends``: at which it opens none any
    more, None: never."""

    secret: bytes = field(repr=False)
    begins: float | None = None
    ends: float | None = None

    @property
    def name(self) -> str:
        """Name it for people: the first digits of its SHA-256, alike on every machine."""
        return hashlib.sha256(self.secret).hexdigest()[:8]

    def opens(self, now: float) -> bool:
        """Tell whether values that it sealed count."""
        return self.ends is None or now < self.ends


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one file, one of which at least has no end."""

    keys: tuple[QueueKey, ...]

    def sealing(self, now: float) -> QueueKey:
        """Find the key that makes seals: of those that have begun the latest, else the one that begins first."""
        living = [key for key in self.keys if key.opens(now)]
        begun = [key for key in living if key.begins is None or key.begins <= now]
        return max(begun, key=_begins) if begun else min(living, key=_begins)

    def serving(self, now: float) -> tuple[bytes, ...]:
        """List the secrets that open values, first of them the one that makes seals."""
        first = self.sealing(now)
        return (first.secret, *(key.secret for key in self.keys if key is not first and key.opens(now)))

    def text(self) -> str:
        """Write them as ``read_keys`` reads them."""
        return "".join(f"{_line(key)}\n" for key in self.keys)


def read_keys(path: Path) -> QueueKeys:
    """Read a file of keys. Raises ConfigurationError where others may read it, or it does not hold keys."""
    name = f"queue_key_file {path}"
    content = read_file(path, _FILE_CAP, ConfigurationError, inside=path.parent, secret=True, name=name)
    try:
        keys = tuple(_key(line) for line in content.decode("ascii").splitlines() if line.strip())
    except ValueError:
        keys = ()
    remedy = "Make one with `qscore key queue new`; each line is 64 hexadecimal digits."
    if not 1 <= len(keys) <= MOST_KEYS or len({key.secret for key in keys}) < len(keys):
        raise ConfigurationError(f"{name} does not hold one to {MOST_KEYS} different keys", remedy)
    if all(key.ends is not None for key in keys):
        raise ConfigurationError(f"{name} holds no key without an end", remedy)
    return QueueKeys(keys)


def _begins(key: QueueKey) -> float:
    return float("-inf") if key.begins is None else key.begins


def _line(key: QueueKey) -> str:
    moments = ((_FROM, key.begins), (_UNTIL, key.ends))
    return " ".join([key.secret.hex(), *(word + _written(at) for word, at in moments if at is not None)])


def _key(line: str) -> QueueKey:
    """Read a line. Raises ValueError."""
    digits, *words = line.split()
    secret = bytes.fromhex(digits)
    moments = {word: _read(text.removeprefix(word)) for text in words for word in (_FROM, _UNTIL) if _is(text, word)}
    if len(secret) != KEY_BYTES or len(moments) != len(words):
        raise ValueError(line[:1])
    return QueueKey(secret, moments.get(_FROM), moments.get(_UNTIL))


def _is(text: str, word: str) -> bool:
    return text.startswith(word)


def _written(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(text: str) -> float:
    read = dt.datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=dt.UTC)).timestamp()
