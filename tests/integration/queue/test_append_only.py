"""A disk that was full for a moment, while the durable server wrote: what the server leaves in its file then keeps it
from starting again, with all that was accepted in it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from scorer.service.access.authority import TlsFiles
from scorer.service.queue.broker import DURABLE, redis_client
from scorer.service.settings import Settings
from scorer.service.stack.append_only import Mended, mend
from scorer.service.stack.children import child_specs
from scorer.service.stack.queue_files import LOOKED_EVERY, AppendOnlyFile, prepare_queue
from scorer.service.stack.supervisor import Child
from tests.integration.stack_tools import eventually, qscore, settings_of

VALUE = b"\0 as in a row's bytes \r\n*3\r\n" * 40


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("QSCORE_SINK", "file")
    monkeypatch.setenv("QSCORE_SINK_FILE", str(tmp_path / "events.ndjson"))
    made = settings_of(tmp_path / "home")
    for folder in (made.home / "logs", made.run_dir):
        folder.mkdir(mode=0o700, parents=True)
    prepare_queue(made)
    return made


@contextmanager
def durable(settings: Settings) -> Iterator[tuple[Child, redis.Redis]]:
    """The durable server as `qscore up` starts it, ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        specs = child_specs(settings, listener, "https://127.0.0.1", TlsFiles(Path("c"), Path("k"), None))
    child = Child(next(spec for spec in specs if spec.name == DURABLE.name))
    with redis_client(settings) as client:
        child.start()
        try:
            assert watched(child, lambda: child.state == "ready")
            yield child, client
        finally:
            child.stop()


def watched(child: Child, done: Callable[[], bool]) -> bool:
    def look() -> bool:
        child.watch()
        return done()

    return eventually(look, 30.0)


def persistence(client: redis.Redis) -> dict[str, Any]:
    found: Any = client.info("persistence")
    return dict(found)


def rewrite(client: redis.Redis) -> None:
    """Have the file written anew, so that the server no longer has it open for appending."""
    client.bgrewriteaof()
    assert eventually(
        lambda: not (persistence(client)["aof_rewrite_in_progress"] or persistence(client)["aof_rewrite_scheduled"]),
        20.0,
    )


def fill_up(settings: Settings, child: Child, client: redis.Redis) -> int:
    """Leave room for half a command only, and give its pid all the room back with ``make_room``. Returns the pid."""
    pid = child.pid
    assert pid is not None
    size = max(path.stat().st_size for path in files(settings))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + len(VALUE) // 2, resource.RLIM_INFINITY))
    client.set("cut short", VALUE)
    assert eventually(lambda: persistence(client)["aof_last_write_status"] == "err", 5.0)
    return pid


def make_room(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def files(settings: Settings) -> list[Path]:
    return sorted((settings.home / "queue" / "appendonlydir").glob("*.incr.aof"))


def test_a_server_starts_again_with_all_that_it_took_before_and_after_its_disk_was_full(settings: Settings) -> None:
    with durable(settings) as (child, client):
        client.set("first", VALUE)
        rewrite(client)
        client.set("before", VALUE)
        make_room(fill_up(settings, child, client))
        assert eventually(lambda: persistence(client)["aof_last_write_status"] == "ok", 10.0)
        client.set("after", VALUE)
        time.sleep(1.2)  # until it is on the disk
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert watched(child, lambda: child.state == "waiting")
        assert watched(child, lambda: child.state == "ready")
        names = ("first", "before", "cut short", "after")
        assert {name: client.get(name) for name in names} == dict.fromkeys(names, VALUE)
        assert "zero bytes of a full disk were taken out" in child.spec.log.read_text()


def test_the_file_is_written_anew_once_there_is_room_again(settings: Settings) -> None:
    file = AppendOnlyFile(settings)
    with durable(settings) as (child, client):
        client.set("first", VALUE)
        file.tend()
        assert eventually(lambda: persistence(client)["aof_rewrite_in_progress"] == 0, 10.0)
        rewrite(client)
        client.set("before", VALUE)
        time.sleep(LOOKED_EVERY)
        pid = fill_up(settings, child, client)
        file.tend()
        make_room(pid)
        assert eventually(lambda: persistence(client)["aof_last_write_status"] == "ok", 10.0)
        (holed,) = files(settings)
        time.sleep(LOOKED_EVERY)
        file.tend()
        assert eventually(lambda: not holed.exists() and len(files(settings)) == 1, 20.0)
    assert mend(settings.home / "queue") == []


def appended(folder: Path, content: bytes) -> Path:
    path = folder / "appendonlydir" / "appendonly.aof.2.incr.aof"
    path.parent.mkdir()
    path.write_bytes(content)
    manifest = "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
    (path.parent / "appendonly.aof.manifest").write_text(manifest)
    return path


SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\n\0\0\r\n\0\0\r\n"


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"\0" * 7 + SET, SET),
        (SET + b"\0" * 9000 + SET + b"\0" + SET, SET * 3),
        (SET + b"\0" * 20, SET),
        (b"#TS:1796151762\r\n" + SET + b"\0\0" + SET[:-4], b"#TS:1796151762\r\n" + SET + SET[:-4]),
    ],
    ids=["first", "two", "at the end", "before a command that is cut off"],
)
def test_zero_bytes_between_commands_are_taken_out(tmp_path: Path, content: bytes, left: bytes) -> None:
    path = appended(tmp_path, content)
    (mended,) = mend(tmp_path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (left, 0o600)
    assert mended == Mended(path, content.count(b"\0" + SET[:4]) or 1, len(content) - len(left))
    assert mend(tmp_path) == []
    assert [one.name for one in path.parent.iterdir() if "mending" in one.name] == []


@pytest.mark.parametrize(
    "content",
    [
        SET,
        b"",
        SET[:-3],
        SET + b"\0" + b"junk" + SET,
        SET[:20] + b"\0" * 8 + SET[20:],
        b"*2\r\n$-1\r\n\0",
        b"*\0\0" * 40,
    ],
    ids=["whole", "empty", "cut off", "other bytes", "zeros within a command", "no length", "no count"],
)
def test_a_file_with_other_damage_or_none_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = appended(tmp_path, content)
    before = path.stat().st_mtime_ns
    assert mend(tmp_path) == []
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, before)


def test_a_folder_without_a_file_has_nothing_to_mend(tmp_path: Path) -> None:
    assert mend(tmp_path) == []


def test_the_command_mends_a_server_of_ones_own(tmp_path: Path) -> None:
    path = appended(tmp_path, SET + b"\0" * 5 + SET)
    assert "5 zero bytes in 1 places taken out" in qscore(tmp_path / "home", "mend-queue", str(tmp_path)).stdout
    assert path.read_bytes() == SET * 2
    assert "nothing to mend" in qscore(tmp_path / "home", "mend-queue", str(tmp_path)).stdout
