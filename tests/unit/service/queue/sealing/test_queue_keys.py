"""Keys of seals: which of them makes seals when, how one is exchanged, and what a running process sees of that."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from scorer.service.queue.broker import DURABLE
from scorer.service.queue.sealing.key_file import LOOK_EVERY, QueueKeyFile
from scorer.service.queue.sealing.keys import MOST_KEYS, QueueKey, QueueKeys, read_keys
from scorer.service.queue.sealing.rotation import make_key_file, rotate_key_file, rotated
from scorer.service.queue.sealing.seal import SEAL_LIFE, Seal
from scorer.service.settings import load_settings
from scorer.wire.errors import BadOption, ConfigurationError
from tests.integration.stack_tools import eventually

OLD, NEW, NEXT = (bytes([number]) * 32 for number in (1, 2, 3))
NOW, HOUR = 1_800_000_000.0, 3600.0


def holding(folder: Path, text: str) -> Path:
    """A file of keys with this text."""
    file = folder / "queue.key"
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_every_key_opens_seals_before_it_makes_any_and_until_its_end() -> None:
    keys = rotated(QueueKeys((QueueKey(OLD),)), NEW, NOW, HOUR, 2 * HOUR)
    assert keys.serving(NOW) == (OLD, NEW)
    assert keys.serving(NOW + HOUR - 1) == (OLD, NEW)
    assert keys.serving(NOW + HOUR) == (NEW, OLD)
    assert keys.serving(NOW + 3 * HOUR - 1) == (NEW, OLD)
    assert keys.serving(NOW + 3 * HOUR) == (NEW,)


def test_an_exchange_waits_for_the_one_before_and_leaves_out_what_has_ended() -> None:
    keys = rotated(QueueKeys((QueueKey(OLD),)), NEW, NOW, HOUR, SEAL_LIFE)
    with pytest.raises(BadOption, match="has not begun to make seals"):
        rotated(keys, NEXT, NOW + HOUR - 1)
    second = rotated(keys, NEXT, NOW + 2 * HOUR, HOUR, HOUR)
    assert second.serving(NOW + 2 * HOUR) == (NEW, OLD, NEXT)
    assert second.serving(NOW + 4 * HOUR) == (NEXT,), "an old key ends no later than it was to end"
    later = rotated(second, OLD, NOW + 9 * HOUR)
    assert [key.secret for key in later.keys] == [NEXT, OLD]


def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    keys = rotated(QueueKeys((QueueKey(OLD),)), NEW, NOW, HOUR, 2 * HOUR)
    assert read_keys(holding(tmp_path, keys.text())) == keys


def test_of_two_keys_without_a_moment_the_first_makes_seals(tmp_path: Path) -> None:
    keys = read_keys(holding(tmp_path, f"{OLD.hex()}\n\n{NEW.hex().upper()}\n"))
    assert keys.serving(NOW) == (OLD, NEW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "one to"),
        (OLD.hex()[2:], "one to"),
        (f"{OLD.hex()} {NEW.hex()}", "one to"),
        (f"{OLD.hex()} from=tomorrow", "one to"),
        (f"{OLD.hex()} until=2030-01-01", "no key without an end"),
        (f"{OLD.hex()}\n{OLD.hex()}", "different keys"),
        ("\n".join(bytes([number]).hex() * 32 for number in range(MOST_KEYS + 1)), "one to"),
        (f"{OLD.hex()} from=2030-01-01 from=2031-01-01", "one to"),
        ("é" * 32, "one to"),
    ],
)
def test_what_is_no_file_of_keys_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_keys(holding(tmp_path, text))


def test_a_made_file_is_private_and_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "queue.key"
    made = make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_keys(path) == made
    with pytest.raises(ConfigurationError, match="is there already"):
        make_key_file(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        make_key_file(tmp_path / "absent" / "queue.key")


def test_a_rotated_file_keeps_its_owner_mode_and_the_link_to_it(tmp_path: Path) -> None:
    path, link = tmp_path / "queue.key", tmp_path / "current"
    old = make_key_file(path)
    if os.geteuid() == 0:
        os.chown(path, 4711, 4712)
    link.symlink_to(path)
    before = path.stat()
    keys = rotate_key_file(link, time.time(), HOUR, HOUR)
    after = path.stat()
    assert link.is_symlink()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert (read_keys(path), keys.keys[0].secret, len(keys.keys)) == (keys, old.keys[0].secret, 2)


def test_a_running_process_takes_a_changed_file_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "queue.key"
    make_key_file(path)
    running = Seal(file=QueueKeyFile(path, look_every=0.0))
    before = running.close("list", b"value")
    rotate_key_file(path, time.time() - 1, 0.0, HOUR)
    another = Seal(read_keys(path).serving(time.time()))
    assert running.open("list", another.close("list", b"value")) == b"value"
    assert another.open("list", running.close("list", b"value")) == b"value"
    assert running.open("list", before) == b"value"


def test_a_file_that_is_damaged_or_gone_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "queue.key"
    keys = make_key_file(path).serving(NOW)
    running = QueueKeyFile(path, look_every=0.0)
    assert running.serving() == keys
    holding(tmp_path, "half a k")
    assert running.serving() == running.serving() == keys
    path.unlink()
    assert running.serving() == keys
    new = make_key_file(path).serving(NOW)
    assert running.serving() == new != keys


def test_a_process_looks_at_its_file_now_and_then(tmp_path: Path) -> None:
    """As the settings name it; the other tests look at every call."""
    path = tmp_path / "queue.key"
    make_key_file(path)
    seal = Seal.of(load_settings(home=tmp_path, broker_url="redis://localhost", queue_key_file=path), DURABLE)
    rotate_key_file(path, time.time() - 1, 0.0, HOUR)
    new = read_keys(path).serving(time.time())
    assert eventually(lambda: seal.keys == new, LOOK_EVERY + 10, 0.2)
