"""Making a file of keys, and putting a new key into it beside the old ones."""

from __future__ import annotations

import secrets
from pathlib import Path

from scorer.files import write_atomic
from scorer.service.queue.sealing.keys import KEY_BYTES, MOST_KEYS, QueueKey, QueueKeys, read_keys
from scorer.service.queue.sealing.seal import SEAL_LIFE
from scorer.wire.errors import BadOption, ConfigurationError

#: Seconds until a new key begins to make seals, in which its file is copied to every machine.
LEAD = 3600.0
#: Seconds for which the old key opens seals from then on: as long as one counts.
OVERLAP = SEAL_LIFE


def rotated(keys: QueueKeys, secret: bytes, now: float, lead: float = LEAD, overlap: float = OVERLAP) -> QueueKeys:
    """Add a key that makes seals from ``now + lead`` on; the others end ``overlap`` later, those that have ended leave.

    Times in seconds. Raises BadOption where an earlier rotation is still under way.
    """
    living = [key for key in keys.keys if key.opens(now)]
    late = [key.name for key in living if key.begins is not None and key.begins > now]
    if late or len(living) >= MOST_KEYS:
        told = f"key {late[0]} has not begun to make seals" if late else f"{len(living)} keys are in use"
        raise BadOption(f"an earlier exchange is under way: {told}", "`qscore key queue list` says when it is over.")
    begins = float(round(now + lead))  # files hold whole seconds
    others = (QueueKey(key.secret, key.begins, _sooner(key.ends, begins + overlap)) for key in living)
    # Last: a copy of the file that broke off in the middle then lacks the key that is not needed yet.
    return QueueKeys((*others, QueueKey(secret, begins)))


def make_key_file(path: Path) -> QueueKeys:
    """Write a file with one new key, mode 0600. Raises ConfigurationError where a file is there, or cannot be made."""
    if path.exists() or path.is_symlink():
        raise ConfigurationError(f"{path} is there already", "Exchange its key by `qscore key queue rotate`.")
    keys = new_keys()
    _write(path, keys)
    return keys


def rotate_key_file(path: Path, now: float, lead: float, overlap: float) -> QueueKeys:
    """Put a new key into a file, whose owner stays. Raises ConfigurationError or BadOption; it stays as it was then."""
    keys = rotated(read_keys(path), secrets.token_bytes(KEY_BYTES), now, lead, overlap)
    _write(path, keys)
    return keys


def new_keys() -> QueueKeys:
    """Make one key, which seals from ever."""
    return QueueKeys((QueueKey(secrets.token_bytes(KEY_BYTES)),))


def _sooner(ends: float | None, other: float) -> float:
    return other if ends is None else min(ends, other)


def _write(path: Path, keys: QueueKeys) -> None:
    # A link is followed, so that what it names is exchanged, not the link.
    target = path.resolve()
    try:
        owner = target.stat() if target.exists() else None
        write_atomic(target, keys.text().encode(), 0o600, owner)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}", "Name a file in a folder that is yours."
        ) from None
