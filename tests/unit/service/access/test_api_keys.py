"""API keys: what is stored, who is let in, what damaged files do."""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import redis

from scorer.service.access.api_keys import ApiKey, KeyFile, Terms, local_key
from scorer.service.access.door.door import Door, Presented
from scorer.service.access.door.tokens import Tokens
from scorer.wire.errors import BadOption, ConfigurationError, Forbidden, Unauthorised


def identify(keys: KeyFile, authorization: str | None) -> ApiKey:
    """The living key behind a header, as the gateway finds it."""
    caller = Door(keys, Tokens(redis.Redis(), 1)).caller(Presented(authorization))
    caller.check_alive()
    return caller.key


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "home" / "api_keys.json")


def test_a_new_key_is_known_and_only_its_hash_is_stored(keys: KeyFile) -> None:
    key, secret = keys.add(["score", "read"], note="search head")
    assert identify(keys, f"Bearer {secret}") == key
    stored = keys.path.read_text()
    assert secret not in stored
    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    assert keys.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer nobody", "Bearer \udcff"])
def test_strangers_are_refused(keys: KeyFile, header: str | None) -> None:
    keys.add(["read"])
    with pytest.raises(Unauthorised):
        identify(keys, header)


def test_without_a_file_nobody_is_known(keys: KeyFile) -> None:
    with pytest.raises(Unauthorised, match="qscore key new"):
        identify(keys, "Bearer qsk_something")


def test_a_key_may_only_what_its_scopes_say(keys: KeyFile) -> None:
    key, _secret = keys.add(["read"])
    key.rights.check_scope(f"key {key.id}", "read")
    with pytest.raises(Forbidden, match=f"key {key.id} may not score with write=true"):
        key.rights.check_scope(f"key {key.id}", "write")


def test_a_revoked_key_is_refused_at_once_and_by_other_readers(keys: KeyFile) -> None:
    reader = KeyFile(keys.path)
    key, secret = keys.add(["read"])
    assert identify(reader, f"Bearer {secret}").id == key.id
    keys.revoke(key.id)
    with pytest.raises(Unauthorised):
        identify(reader, f"Bearer {secret}")


def test_unknown_scopes_and_ids_are_named(keys: KeyFile) -> None:
    with pytest.raises(BadOption, match="scope admin does not exist"):
        keys.add(["admin"])
    with pytest.raises(BadOption, match="there is no key 12345678"):
        keys.revoke("12345678")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"keys": [{}]}', '{"keys": [{"id": "a", "sha256": "zz", "scopes": [], "created": 1}]}']
)
def test_a_damaged_file_is_named_and_lets_nobody_in(keys: KeyFile, content: str) -> None:
    keys.add(["read"])
    keys.path.write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be read as a list of keys"):
        identify(keys, "Bearer qsk_something")


def test_a_file_that_others_may_read_is_refused(keys: KeyFile) -> None:
    _key, secret = keys.add(["read"])
    keys.path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        identify(KeyFile(keys.path), f"Bearer {secret}")


def test_the_local_key_is_made_once_and_again_after_it_was_revoked(keys: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "home" / "private" / "local_api_key"
    first = local_key(path, keys)
    assert local_key(path, keys) == first
    assert path.stat().st_mode & 0o777 == 0o600
    keys.revoke(identify(keys, f"Bearer {first}").id)
    second = local_key(path, keys)
    assert second != first
    assert set(identify(keys, f"Bearer {second}").scopes) == {"read", "score", "write"}
    assert len(json.loads(keys.path.read_text())["keys"]) == 1


DAY = 86_400.0


def test_an_ended_key_is_refused_with_its_id_and_the_remedy(keys: KeyFile) -> None:
    key, secret = keys.add(["read"], terms=Terms(expires=time.time() - 1))
    with pytest.raises(Unauthorised, match=rf"key {key.id} expired at .* UTC\. Run `qscore key rotate {key.id}`"):
        identify(keys, f"Bearer {secret}")
    living, secret = keys.add(["read"], terms=Terms(expires=time.time() + 60))
    assert identify(KeyFile(keys.path), f"Bearer {secret}") == living


def test_a_rotated_key_may_the_same_and_the_old_one_dies_after_the_overlap(keys: KeyFile) -> None:
    bound = Terms(models=("lateral", "lateral_flow"), indexes=("soc",), elastic_namespaces=("lab",))
    old, first = keys.add(["score", "write"], "nightly", terms=bound)
    ending, new, second = keys.rotate(old.id, overlap=DAY, expires=None)
    assert (new.rights, new.note, new.expires) == (old.rights, "nightly", None)
    assert ending.expires == pytest.approx(time.time() + DAY, abs=60)
    reader = KeyFile(keys.path)
    assert [identify(reader, f"Bearer {secret}").id for secret in (first, second)] == [old.id, new.id]
    keys.rotate(old.id, overlap=0.0, expires=None)
    with pytest.raises(Unauthorised, match=f"key {old.id} expired"):
        identify(reader, f"Bearer {first}")
    assert identify(reader, f"Bearer {second}") == new


def test_an_overlap_never_lengthens_a_life(keys: KeyFile) -> None:
    soon = time.time() + 3600
    key, _secret = keys.add(["read"], terms=Terms(expires=soon))
    assert keys.rotate(key.id, overlap=7 * DAY, expires=soon + DAY)[0].expires == soon


def test_what_stands_for_a_certificate_or_for_people_has_nothing_to_rotate(keys: KeyFile) -> None:
    for terms in (Terms(certificate="dns:soc.example"), Terms(claim="groups=soc")):
        key, _secret = keys.add(["read"], terms=terms)
        with pytest.raises(BadOption, match="no secret to rotate"):
            keys.rotate(key.id, 0.0, None)


def test_files_without_the_newer_fields_are_read_and_keep_their_form(keys: KeyFile) -> None:
    digest = hashlib.sha256(b"qsk_old").hexdigest()
    keys.path.parent.mkdir(mode=0o700)
    old = {"id": digest[:8], "sha256": digest, "scopes": ["read"], "created": 1.7e9, "note": "of 0.1.0"}
    keys.path.write_text(json.dumps({"keys": [old]}))
    keys.path.chmod(0o600)
    key = identify(keys, "Bearer qsk_old")
    assert (key.expires, key.models, key.indexes, key.elastic_namespaces) == (None, None, None, None)
    keys.add(["read"])
    (stored, _) = json.loads(keys.path.read_text())["keys"]
    assert stored == old


@pytest.mark.parametrize(
    "odd",
    [
        {"expires": "2020-01-01"},
        {"expires": True},
        {"expires": 0},
        {"expires": float("nan")},
        {"models": "lateral"},
        {"models": [1]},
        {"indexes": {}},
    ],
)
def test_bounds_that_cannot_be_read_let_nobody_in(keys: KeyFile, odd: dict[str, object]) -> None:
    _key, secret = keys.add(["read"])
    raw = json.loads(keys.path.read_text())
    keys.path.write_text(json.dumps({"keys": [raw["keys"][0] | odd]}))
    with pytest.raises(ConfigurationError, match="cannot be read as a list of keys"):
        identify(keys, f"Bearer {secret}")


def test_the_local_key_is_made_again_when_it_ended(keys: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "home" / "private" / "local_api_key"
    first = local_key(path, keys)
    keys.rotate(identify(keys, f"Bearer {first}").id, 0.0, None)
    assert local_key(path, keys) != first


def test_a_new_key_has_a_namespace_of_its_own_or_the_one_that_was_asked_for(keys: KeyFile) -> None:
    first, second = keys.add(["write"])[0], keys.add(["write"])[0]
    named = [keys.add(["write"], namespace="site-a")[0] for _ in range(2)]
    assert len({key.namespace for key in (first, second, *named)}) == 3
    assert [key.namespace for key in KeyFile(keys.path).keys()] == [first.namespace, second.namespace, *["site-a"] * 2]  # noqa: SIM118


@pytest.mark.parametrize(
    "namespace", ["", "origin", "window", "elastic:default", "A", "a b", "-a", "a" * 65, "é", "a\n"]
)
def test_a_namespace_that_could_be_another_writers_is_refused(keys: KeyFile, namespace: str) -> None:
    with pytest.raises(BadOption, match="cannot be a key's namespace"):
        keys.add(["write"], namespace=namespace)
    stored = json.loads(keys.path.read_text()) if keys.path.exists() else {"keys": []}
    assert stored["keys"] == []


@pytest.mark.parametrize("namespace", ["origin", "elastic:default", "A"])
def test_a_stored_namespace_that_could_be_another_writers_is_refused(keys: KeyFile, namespace: str) -> None:
    keys.add(["write"])
    stored = json.loads(keys.path.read_text())
    stored["keys"][0]["namespace"] = namespace
    keys.path.write_text(json.dumps(stored))
    with pytest.raises(ConfigurationError, match="namespace"):
        keys.keys()


def test_the_key_of_this_machine_keeps_its_namespace_when_it_is_made_again(keys: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "home" / "local_key"
    namespaces = []
    for _ in range(2):
        namespaces.append(identify(keys, f"Bearer {local_key(path, keys)}").namespace)
        path.unlink()
    assert namespaces[0] == namespaces[1] != ""


class Stepped(threading.Thread):
    """A look into the key file that stops after so many steps of the interpreter, until it is let go on."""

    def __init__(self, keys: KeyFile, steps: int) -> None:
        super().__init__()
        self.keys, self.left, self.taken = keys, steps, 0
        self.stopped, self.go = threading.Event(), threading.Event()

    def run(self) -> None:
        sys.settrace(self._called)
        self.keys.keys()
        self.stopped.set()

    def ahead(self) -> None:
        """Let it come to its stop, or to its end."""
        self.start()
        self.stopped.wait()

    def finish(self) -> None:
        self.go.set()
        self.join()

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        if frame.f_code is not KeyFile.keys.__code__:
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        self.taken += event == "opcode"
        if self.taken > self.left:
            self.stopped.set()
            self.go.wait()
        return self._step


def test_a_revoked_key_does_not_come_back_with_a_slower_thread(keys: KeyFile) -> None:
    """One thread has read the old file and another the new one: however they go on, the new one counts afterwards."""
    kept, gone = keys.add(["read"])[0], keys.add(["read"])[0]
    before = keys.path.read_bytes()
    keys.revoke(gone.id)
    after = keys.path.read_bytes()

    def put(content: bytes) -> None:
        fresh = keys.path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.chmod(0o600)
        fresh.rename(keys.path)

    whole = Stepped(KeyFile(keys.path), 10_000)
    whole.ahead()
    steps = range(whole.taken // 2, whole.taken)  # the file is read before that
    for first, second in itertools.product(steps, steps):
        put(before)
        shared = KeyFile(keys.path)
        slow, quick = Stepped(shared, first), Stepped(shared, second)
        slow.ahead()
        put(after)
        quick.ahead()
        slow.finish()
        quick.finish()
        assert shared.keys() == (kept,), (first, second)


def test_a_file_that_cannot_be_looked_at_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "api_keys.json"
    loop.symlink_to(loop.name)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        KeyFile(loop).keys()
