"""Seals on what lies on the queue: whoever can write there, but has no key, can forge neither batches nor scores.

A seal is an HMAC-SHA-256 over what the value is for (its key or list), when it was made, and the value. Off where the
server is this machine's own, behind a private socket; elsewhere on as soon as ``queue_key_file`` is set.
"""

from __future__ import annotations

import hmac
import struct
import time
from dataclasses import dataclass

from scorer.service.queue.broker import Server, embedded
from scorer.service.queue.sealing.key_file import QueueKeyFile, key_file
from scorer.service.settings import Settings
from scorer.wire.errors import MalformedBody

#: Neither msgpack nor UTF-8 nor an Arrow stream begins with this byte.
_MARK = b"\xc1qs1"
_TIME = struct.Struct(">d")
_MAC_BYTES = 32
_HEAD = len(_MARK) + _TIME.size + _MAC_BYTES
#: Seconds for which a sealed value counts: as long as rows may wait for their sink, and clocks that differ a little.
SEAL_LIFE = 25 * 3600.0


class Forged(MalformedBody):
    """A value of the queue without a valid seal."""

    code = "malformed_body"


@dataclass(frozen=True)
class Seal:
    """``fixed``: keys, of which the first makes seals and each opens them. ``file``: where they stand instead. Neither:
    values are as they are."""

    fixed: tuple[bytes, ...] = ()
    file: QueueKeyFile | None = None

    @classmethod
    def of(cls, settings: Settings, server: Server) -> Seal:
        """Choose the seal for a server's values. Raises ConfigurationError for a key file that does not serve."""
        if settings.queue_key_file is None or embedded(settings, server):
            return cls()
        file = key_file(settings.queue_key_file.expanduser())
        file.read()
        return cls(file=file)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """List the keys that open values now, first of them the one that makes seals."""
        return self.fixed if self.file is None else self.file.serving()

    def close(self, purpose: str, value: bytes, made: float | None = None) -> bytes:
        """Seal a value for one purpose. ``made``: epoch seconds; None: now."""
        keys = self.keys
        if not keys:
            return value
        moment = _TIME.pack(time.time() if made is None else made)
        return b"".join((_MARK, moment, _mac(keys[0], purpose, moment, value), value))

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """Return the value. Raises Forged where none of the keys sealed it for this purpose within a day."""
        keys, marked = self.keys, sealed.startswith(_MARK)
        if not keys and not marked:
            return sealed
        if not keys or not marked or len(sealed) < _HEAD:
            why = "is sealed, but here is no queue_key_file" if marked else "bears no seal"
            raise Forged(f"a value on the queue {why}", "Set the same queue_key_file wherever the queue is used.")
        made, mac, value = sealed[len(_MARK) : _HEAD - _MAC_BYTES], sealed[_HEAD - _MAC_BYTES : _HEAD], sealed[_HEAD:]
        if not any(hmac.compare_digest(mac, _mac(key, purpose, made, value)) for key in keys):
            raise Forged("a value on the queue bears a wrong seal", "Set the same queue_key_file everywhere.")
        if abs(time.time() - _TIME.unpack(made)[0]) > SEAL_LIFE:
            raise Forged("a value on the queue was sealed more than a day ago", "Check the clocks.")
        return value


#: Leaves values as they are.
NO_SEAL = Seal()


def unsealed(sealed: bytes) -> bytes:
    """Take a value out of its seal without a look at that: to name what is refused, never to act on it."""
    return sealed[_HEAD:] if sealed.startswith(_MARK) else sealed


def _mac(key: bytes, purpose: str, made: bytes, value: bytes) -> bytes:
    name = purpose.encode()
    digest = hmac.new(key, struct.pack(">I", len(name)) + name + made, "sha256")
    digest.update(value)
    return digest.digest()
