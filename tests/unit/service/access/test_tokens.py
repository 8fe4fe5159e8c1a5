"""Short-lived tokens: no more than their key, known to every gateway of a queue, dead with their key."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from scorer.service.access.api_keys import KeyFile, Terms, digest_of
from scorer.service.access.door.door import Door, Presented
from scorer.service.access.door.tokens import LIFE, TokenRequest, Tokens
from scorer.service.access.rights import Rights
from scorer.wire.errors import BadOption, Forbidden, MalformedBody, TooManyTokens, Unauthorised, Unavailable

EVERYTHING = TokenRequest()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "home" / "api_keys.json")


@pytest.fixture
def door(keys: KeyFile, client: redis.Redis) -> Door:
    return Door(keys, Tokens(client, 1000))


def names_of(client: redis.Redis) -> list[bytes]:
    """Every token that is stored."""
    return [name for name in client.scan_iter("qscore:token:*") if isinstance(name, bytes)]


def shown(secret: str) -> Presented:
    return Presented(f"Bearer {secret}")


def exchanged(door: Door, secret: str, asked: TokenRequest = EVERYTHING) -> str:
    callers = door.exchangers(shown(secret))
    return door.exchange(callers, asked)[2]


def test_a_token_may_what_its_key_may_and_only_its_hash_is_stored(door: Door, client: redis.Redis) -> None:
    key, secret = door.keys.add(["read", "score"], terms=Terms(models=("lateral",)))
    token = exchanged(door, secret)
    assert token.startswith("qst_")
    caller = door.caller(shown(token))
    assert (caller.key, caller.rights, caller.how) == (key, key.rights, "token")
    stored = b"".join(names_of(client)) + b"".join(client.dump(name) or b"" for name in names_of(client))
    assert token.encode() not in stored
    assert digest_of(token).encode() in stored
    assert 0 < client.ttl(f"qscore:token:{digest_of(token)}") <= LIFE


def test_a_token_may_be_asked_for_less_and_never_for_more(door: Door) -> None:
    _key, secret = door.keys.add(["read", "score", "write"], terms=Terms(models=("a", "b"), indexes=("soc",)))
    less = TokenRequest(scopes=("score",), models=("b",), ttl=60)
    assert door.caller(shown(exchanged(door, secret, less))).rights == Rights(("score",), ("b",), ("soc",), ())
    for more in (
        TokenRequest(models=("a", "c")),
        TokenRequest(indexes=("soc", "main")),
        TokenRequest(elastic_namespaces=("lab",)),
        TokenRequest(scopes=("admin",)),
    ):
        with pytest.raises(Forbidden, match="to give to a token"):
            exchanged(door, secret, more)
    reader = door.keys.add(["read"])[1]
    with pytest.raises(Forbidden, match="has no scopes 'write'"):
        exchanged(door, reader, TokenRequest(scopes=("read", "write")))
    assert door.caller(shown(exchanged(door, reader, TokenRequest(models=("a",))))).rights.models == ("a",)


def test_a_token_is_dead_the_moment_its_key_is_revoked_or_ends(door: Door, client: redis.Redis) -> None:
    key, secret = door.keys.add(["read"])
    token = exchanged(door, secret)
    elsewhere = Door(KeyFile(door.keys.path), Tokens(client, 1000))
    assert elsewhere.caller(shown(token)).key == key
    KeyFile(door.keys.path).revoke(key.id)
    for gateway in (door, elsewhere):
        with pytest.raises(Unauthorised, match=f"key {key.id} of this token was revoked"):
            gateway.caller(shown(token))
    other, secret = door.keys.add(["read"])
    token = exchanged(door, secret)
    door.keys.rotate(other.id, 0.0, None)
    with pytest.raises(Unauthorised, match="expired"):
        elsewhere.caller(shown(token)).check_alive()


def test_revoking_ends_tokens_at_gateways_with_other_key_files_too(
    door: Door, client: redis.Redis, tmp_path: Path
) -> None:
    key, secret = door.keys.add(["read"])
    tokens = [exchanged(door, secret) for _ in range(3)]
    copy = tmp_path / "copy.json"
    copy.write_bytes(door.keys.path.read_bytes())
    copy.chmod(0o600)
    elsewhere = Door(KeyFile(copy), Tokens(client, 1000))
    assert elsewhere.caller(shown(tokens[0])).key.id == key.id
    assert elsewhere.tokens.end(key.id) == 3
    for token in tokens:
        with pytest.raises(Unauthorised):
            elsewhere.caller(shown(token))
    assert elsewhere.tokens.end(key.id) == 0


def test_a_token_ends_by_itself_and_never_after_its_key(door: Door) -> None:
    soon = time.time() + 1.0
    _key, secret = door.keys.add(["read"], terms=Terms(expires=soon))
    token = door.exchange(door.exchangers(shown(secret)), EVERYTHING)[1]
    assert token.expires <= soon
    _other, secret = door.keys.add(["read"])
    brief = exchanged(door, secret, TokenRequest(ttl=1))
    assert door.caller(shown(brief))
    time.sleep(1.2)
    with pytest.raises(Unauthorised, match="nobody knows this token, or it has ended"):
        door.caller(shown(brief))


def test_what_a_key_may_less_now_its_tokens_may_less_too(door: Door) -> None:
    _key, secret = door.keys.add(["read", "score"])
    token = exchanged(door, secret)
    raw = json.loads(door.keys.path.read_text())
    raw["keys"][0] |= {"scopes": ["read"], "models": ["a"]}
    door.keys.path.write_text(json.dumps(raw))
    assert door.caller(shown(token)).rights == Rights(("read",), ("a",))


def test_a_token_makes_no_token(door: Door) -> None:
    token = exchanged(door, door.keys.add(["read"])[1])
    with pytest.raises(Forbidden, match="a token makes no other token"):
        exchanged(door, token)


def test_a_key_has_so_many_living_tokens_and_other_keys_have_theirs(keys: KeyFile, client: redis.Redis) -> None:
    door = Door(keys, Tokens(client, 5))
    secret, other = keys.add(["read"])[1], keys.add(["read"])[1]

    def one(_number: int) -> bool:
        try:
            return bool(exchanged(door, secret, TokenRequest(ttl=1)))
        except TooManyTokens:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(24))) == 5
    assert exchanged(door, other)
    time.sleep(1.1)
    assert not one(0), "brief ones cannot be made without end"


@pytest.mark.parametrize(
    "body",
    [
        b'{"scopes": []}',
        b'{"scopes": "read"}',
        b'{"scopes": [1]}',
        b'{"ttl": 901}',
        b'{"ttl": 0}',
        b'{"ttl": "60"}',
        b'{"ttl": 1.5}',
        b'{"ttl": true}',
        b'{"ttl": 1e400}',
        b'{"admin": true}',
        b"[]",
        b"null",
        b'{"models": ["' + b"x" * 200 + b'"]}',
        b'{"models": [' + b'"x",' * 100 + b'"x"]}',
    ],
)
def test_requests_that_make_no_sense(body: bytes) -> None:
    with pytest.raises(BadOption):
        TokenRequest.read(body)


@pytest.mark.parametrize("body", [b"{", b"[" * 4000, b"\xff", b'{"a": ' * 2000])
def test_bodies_that_are_no_json(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        TokenRequest.read(body)
    assert TokenRequest.read(b" ") == EVERYTHING


@pytest.mark.parametrize("stored", [b"", b"x", b"\xc1", b"\x80", b"\x93\x01\x02\x03"])
def test_a_stored_token_that_cannot_be_read_lets_nobody_in(door: Door, client: redis.Redis, stored: bytes) -> None:
    client.set(f"qscore:token:{digest_of('qst_odd')}", stored)
    with pytest.raises(Unauthorised):
        door.caller(shown("qst_odd"))


def test_without_the_server_tokens_are_unavailable_and_keys_go_on(keys: KeyFile, away: redis.Redis) -> None:
    door = Door(keys, Tokens(away, 10))
    key, secret = keys.add(["read"])
    assert door.caller(shown(secret)).key == key
    with pytest.raises(Unavailable):
        door.caller(shown("qst_some"))
