"""When keys were last used: noted without waiting, written now and then, never in the way."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from scorer.service.access.last_use import LastUses, Use, UseFile


@pytest.fixture
def file(tmp_path: Path) -> UseFile:
    return UseFile.beside(tmp_path / "api_keys.json")


def test_uses_lie_beside_the_keys_and_only_the_newest_counts(file: UseFile) -> None:
    uses = LastUses(file, lambda: ["aaaa1111", "bbbb2222"], every=3600.0)
    uses.note("aaaa1111", Use(100.0, "192.0.2.1"))
    assert not file.path.exists(), "noting writes nothing"
    uses.note("aaaa1111", Use(200.0, "192.0.2.2"))
    uses.note("gone0000", Use(300.0, "192.0.2.3"))
    uses.end()
    assert file.path.name == "api_keys_used.json"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.read() == {"aaaa1111": Use(200.0, "192.0.2.2")}
    another = LastUses(file, lambda: ["aaaa1111", "bbbb2222"], every=3600.0)
    another.note("aaaa1111", Use(150.0, "192.0.2.9"))
    another.note("bbbb2222", Use(160.0, "192.0.2.9"))
    another.end()
    assert file.read() == {"aaaa1111": Use(200.0, "192.0.2.2"), "bbbb2222": Use(160.0, "192.0.2.9")}


def test_a_thread_of_its_own_writes(file: UseFile) -> None:
    uses = LastUses(file, lambda: ["aaaa1111"], every=0.05)
    uses.note("aaaa1111", Use(100.0, "192.0.2.1"))
    deadline = time.monotonic() + 20
    while not file.path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    uses.end()
    assert file.read() == {"aaaa1111": Use(100.0, "192.0.2.1")}


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"used": 3}', b'{"used": {"a": [1]}}', b"[" * 100_000, b"\xff"])
def test_a_damaged_file_is_written_anew(file: UseFile, content: bytes) -> None:
    file.path.write_bytes(content)
    assert file.read() == {}
    uses = LastUses(file, lambda: ["aaaa1111"], every=3600.0)
    uses.note("aaaa1111", Use(100.0, "-"))
    uses.end()
    assert json.loads(file.path.read_bytes()) == {"used": {"aaaa1111": [100.0, "-"]}}


def test_what_cannot_be_written_is_kept_for_the_next_time(file: UseFile) -> None:
    file.path.mkdir()
    uses = LastUses(file, lambda: ["aaaa1111"], every=3600.0)
    uses.note("aaaa1111", Use(100.0, "-"))
    uses.flush()
    file.path.rmdir()
    uses.end()
    assert file.read() == {"aaaa1111": Use(100.0, "-")}
