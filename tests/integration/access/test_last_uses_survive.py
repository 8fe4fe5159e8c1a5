"""The gateway's process writes down the last uses of keys before it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from scorer.service.access.api_keys import KeyFile
from scorer.service.access.last_use import UseFile
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Unavailable
from tests.integration.stack_tools import eventually, settings_of, variables


def test_a_use_is_written_when_the_gateway_ends(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> None:
    home = tmp_path / "home"
    publish_tiny(home)
    keys = KeyFile(settings_of(home).api_keys)
    key, secret = keys.add(["read"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number, port = listener.fileno(), listener.getsockname()[1]
        command = [sys.executable, "-m", "scorer.service.gateway", str(number)]
        with subprocess.Popen(command, env=variables(home), pass_fds=(number,), stderr=subprocess.DEVNULL) as gateway:
            try:
                assert eventually(lambda: _read(home, port, secret), 30.0)
                assert UseFile.beside(keys.path).read() == {}, "no request writes it"
            finally:
                gateway.send_signal(signal.SIGTERM)
            assert gateway.wait(20) == 0
    (use,) = UseFile.beside(keys.path).read().items()
    assert (use[0], use[1].address) == (key.id, "127.0.0.1")


def _read(home: Path, port: int, secret: str) -> bool:
    """Whether the gateway answers already."""
    ca = home / "tls" / "ca.pem"
    if not ca.is_file():
        return False
    with GatewayClient(f"https://127.0.0.1:{port}", secret, str(ca), timeout=3.0) as client:
        try:
            return client.card("lateral").name == "lateral"
        except Unavailable:
            return False
