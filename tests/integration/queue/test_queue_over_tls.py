"""The same processes over `rediss://`: a real Redis with TLS, verified against its authority."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from demo.elasticsearch_server import free_port
from demo.running_stack import running_stack
from tests.integration.stack_tools import body, client_of, processes, qscore

PASSWORD = "only-for-this-test"


@dataclass(frozen=True)
class Server:
    """A running Redis; ``ca``: PEM of the authority that signed its certificate."""

    url: str
    ca: Path


@pytest.fixture
def server(tmp_path: Path, require: Callable[[bool, str], None]) -> Iterator[Server]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    require(program is not None, "no redis-server with TLS is on PATH (Debian: redis-server)")
    authority = trustme.CA()
    ca, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    port = free_port()
    command = [str(program), "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate), "--tls-ca-cert-file", str(ca)]
    command += ["--tls-auth-clients", "no", "--requirepass", PASSWORD, "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield Server(f"rediss://:{PASSWORD}@localhost:{port}/0", ca)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("redis-server did not start")


def test_batches_are_scored_over_a_queue_with_tls(
    server: Server, tmp_path: Path, publish_tiny: Callable[[Path], None]
) -> None:
    home = tmp_path / "home"
    publish_tiny(home)
    queue = {"QSCORE_BROKER_URL": server.url, "QSCORE_BROKER_CA": str(server.ca)}
    with (
        running_stack(home, "--port", "0", "--workers", "1", environment=queue) as state,
        client_of(home, state) as client,
    ):
        assert processes(home, "valkey-server") == []
        assert client.score("lateral", body(300), 300).scored == 300
        status = qscore(home, "status", **queue)
        assert status.returncode == 0, status.stdout + status.stderr
        assert PASSWORD not in status.stdout + status.stderr
    assert PASSWORD.encode() not in b"".join(log.read_bytes() for log in (home / "logs").iterdir())


def test_a_queue_whose_authority_is_not_trusted_is_refused(
    server: Server, tmp_path: Path, publish_tiny: Callable[[Path], None]
) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    home = tmp_path / "home"
    publish_tiny(home)
    status = qscore(home, "status", QSCORE_BROKER_URL=server.url, QSCORE_BROKER_CA=str(stranger))
    assert status.returncode == 1
    assert "Traceback" not in status.stderr
