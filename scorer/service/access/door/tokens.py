"""Short-lived tokens: opaque, kept as SHA-256 on the queue's server, no more than their key and dead with it.

They lie on the server that keeps nothing on disk, so that every gateway of the queue knows a token at once, and a
gateway's restart loses none. When that server restarts they are gone, and callers ask for new ones. Each request with a
token costs one look-up there; that its key still lives is read from the gateway's own key file, every time.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgpack
import redis
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from scorer.service.access.api_keys import ApiKey, digest_of
from scorer.service.access.rights import Bound, Rights
from scorer.service.queue.claims import reached
from scorer.wire.errors import BadOption, Forbidden, MalformedBody, TooManyTokens

PREFIX = "qst_"
#: Seconds that a token lives, unless less is asked for, and at most.
LIFE = 900
#: Seconds for which a token counts towards its key's limit at least, so that brief ones cannot be made without end.
_SLOT = 60
MOST_BODY = 8 * 1024

#: Before a token's SHA-256: what it stands for. Before a key's id: its tokens, each with the time that frees its slot.
_TOKEN = "qscore:token:"  # noqa: S105  # a key's prefix on the server
_LIVE = "qscore:tokens:"
# One step of the server, so that two gateways cannot both give out the last slot.
_ISSUE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('SET', KEYS[2], ARGV[6], 'EX', ARGV[7])
return 1
"""

_Names = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=64)]


class TokenRequest(BaseModel):
    """What a caller asks for in a token. Absent: as much as its key may. ``ttl``: seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: _Names | None = Field(None, min_length=1)
    models: _Names | None = None
    indexes: _Names | None = None
    elastic_namespaces: _Names | None = None
    ttl: Annotated[int, Field(strict=True, ge=1, le=LIFE)] = LIFE

    @classmethod
    def read(cls, body: bytes) -> TokenRequest:
        """Read a JSON body; an empty one asks for everything. Raises MalformedBody, BadOption."""
        try:
            return cls.model_validate(json.loads(body) if body.strip() else {})
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in fault["loc"])[:80] or "body"
            raise BadOption(f"{where}: {fault['msg'][:200]}", _FORM) from None
        except (ValueError, RecursionError):
            raise MalformedBody("the body is not JSON", _FORM) from None

    def granted(self, who: str, rights: Rights) -> Rights:
        """Give the rights that were asked for. Raises Forbidden where they are more than ``rights``."""
        scopes = rights.scopes if self.scopes is None else tuple(sorted(set(self.scopes)))
        asked = Rights(scopes, self.models, self.indexes, self.elastic_namespaces)
        granted = asked.within(rights)
        for what, names in vars(asked).items():
            missing = sorted(set(names or ()) - set(getattr(granted, what) or ()))
            if missing:
                raise Forbidden(
                    f"{who} has no {what.replace('_', ' ')} {missing[0][:80]!r} to give to a token",
                    "Ask for no more than the key may; `qscore key list` shows it.",
                )
        return granted


_FORM = 'Send {"scopes": ["score"], "models": ["lateral"], "ttl": 300}, any part of it, or nothing.'


@dataclass(frozen=True)
class Token:
    """What a token stands for. ``key_id``: its key. ``expires``: epoch seconds. ``subject``: the person, if any."""

    key_id: str
    scopes: tuple[str, ...]
    models: Bound
    indexes: Bound
    elastic_namespaces: Bound
    expires: float
    subject: str = ""

    @property
    def rights(self) -> Rights:
        return Rights(self.scopes, self.models, self.indexes, self.elastic_namespaces)


_STORED: TypeAdapter[Token] = TypeAdapter(Token)


@dataclass(frozen=True)
class Tokens:
    """The tokens of all gateways of a queue. ``most``: living ones of one key. Raises Unavailable when it is away."""

    client: redis.Redis
    most: int

    def issue(self, key: ApiKey, rights: Rights, ttl: int, subject: str = "") -> tuple[Token, str]:
        """Make a token of a key, with rights among the key's; returns it with its secret, which nothing keeps.

        Raises TooManyTokens.
        """
        now, secret = time.time(), PREFIX + secrets.token_urlsafe(32)
        expires = min(now + ttl, key.expires or now + ttl)
        token = Token(key.id, **vars(rights), expires=expires, subject=subject)
        digest, slot = digest_of(secret), max(ttl, _SLOT)
        arguments: Sequence[Any] = (now, self.most, now + slot, digest, 2 * LIFE, _packed(token), ttl)
        with reached():
            made = self.client.eval(_ISSUE, 2, _LIVE + key.id, _TOKEN + digest, *arguments)
        if not made:
            raise TooManyTokens(
                f"key {key.id} has {self.most} living tokens",
                "Use a token until it ends instead of making one for each request.",
            )
        return token, secret

    def find(self, secret: str) -> Token | None:
        """Find what a token stands for; None where nobody knows it or it has ended."""
        with reached():
            packed: Any = self.client.get(_TOKEN + digest_of(secret))
        token = None if packed is None else _unpacked(packed)
        return token if token is not None and token.expires > time.time() else None

    def end(self, key_id: str) -> int:
        """End all tokens of a key, at every gateway of the queue; how many there were."""
        with reached():
            found: Any = self.client.zrange(_LIVE + key_id, 0, -1)
            gone = [_TOKEN + digest.decode("ascii", "replace") for digest in found]
            ended: Any = self.client.unlink(*gone, _LIVE + key_id) if gone else 0
        return max(0, int(ended) - 1)


def _packed(token: Token) -> bytes:
    return bytes(msgpack.packb(vars(token)))


def _unpacked(packed: bytes) -> Token | None:
    """Read a stored token; what is none lets nobody in."""
    try:
        return _STORED.validate_python(msgpack.unpackb(packed))
    except (ValueError, TypeError, msgpack.UnpackException):
        return None
