"""Everything that runs in the play: a stack with a collector as its sink, the built app, and a splunkd."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from demo.elasticsearch_server import free_port
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState, read_state
from scorer.wire.client import GatewayClient
from tests.conftest import build, make_tiny_model, publish_model
from tests.integration.stack_tools import eventually, processes

_TOKEN = "11111111-2222-3333-4444-555555555555"
_SESSION = "session-key-of-the-search"
#: Short clocks, so that what a lost worker held comes again within seconds.
_SETTINGS = """
sink = "hec"
[worker]
processes = 1
task_seconds = 5
visibility_seconds = 11
[hec]
url = "https://127.0.0.1:{port}"
token_file = "{folder}/token"
ca_file = "{folder}/ca.pem"
timeout = 3
[elastic]
timeout = 5
"""


@dataclass
class Stage:
    """The processes of the play. ``disk``: where the durable server's folder is a small file system of its own."""

    folder: Path
    port: int  # of the collector
    gateway_port: int
    disk: Path | None = None
    stack: subprocess.Popen[bytes] | None = None
    collector: subprocess.Popen[bytes] | None = None
    restarts: dict[str, int] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def record(self) -> Path:
        """The collector's record, one event a line."""
        return self.folder / "recorded.ndjson"

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.home)

    def recorded_bytes(self) -> int:
        return self.record.stat().st_size if self.record.exists() else 0

    def tend(self) -> None:
        """Start again what has ended, as a service manager would."""
        if self.stack is None or self.stack.poll() is not None:
            self.restarts["stack"] = self.restarts.get("stack", -1) + 1
            (self.home / "run" / "stack.json").unlink(missing_ok=True)
            self.stack = self._start("stack", "-m", "scorer.cli.main", "up", "--port", str(self.gateway_port))
        if self.collector is None or self.collector.poll() is not None:
            self.restarts["collector"] = self.restarts.get("collector", -1) + 1
            told = ["--port", str(self.port), "--token-file", f"{self.folder}/token", "--record", str(self.record)]
            told += ["--cert", f"{self.folder}/server.pem", "--answer-after", "0.05"]
            self.collector = self._start("collector", "-m", "demo.standins.hec_endpoint", *told)

    def _start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        variables = os.environ | {"QSCORE_HOME": str(self.home)}
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command], env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def state(self) -> StackState:
        """The running stack's address. Raises SystemExit where it does not come up."""
        found: list[StackState] = []

        def up() -> bool:
            self.tend()
            state = read_state(self.settings)
            found[:] = [state] if state else []
            return bool(found)

        if not eventually(up, 60.0):
            raise SystemExit(f"the stack did not come up; logs are in {self.folder}")
        return found[0]

    def client(self, key: str) -> GatewayClient:
        """A client with a key; the address may be another after a restart. Raises Unavailable."""
        state = self.state()
        return GatewayClient(state.url, key, state.ca_file, timeout=10.0)

    def close(self) -> None:
        """End everything."""
        for child in (self.stack, self.collector):
            if child is None:
                continue
            child.terminate()
            try:
                child.wait(40.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for pid in processes(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """A stage in a folder of its own, ready to start; everything is gone on exit."""
    with tempfile.TemporaryDirectory(prefix="qscore-chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _write_files(folder)
        stage = Stage(folder, free_port(), free_port())
        (folder / "home" / "qscore.toml").write_text(_SETTINGS.format(port=stage.port, folder=folder))
        with _small_disk(folder / "home" / "queue") as stage.disk:
            try:
                yield stage
            finally:
                stage.close()


def _write_files(folder: Path) -> None:
    """A model, a collector's certificate and its token."""
    publish_model(folder / "home", make_tiny_model())
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "token").write_text(_TOKEN + "\n")
    (folder / "token").chmod(0o600)


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 400 MB at ``folder``; None where we may not mount one."""
    folder.mkdir(mode=0o700, parents=True)
    mounted = subprocess.run(
        [shutil.which("mount") or "mount", *["-t", "tmpfs", "-o", "size=400m,mode=700", "tmpfs"], str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        yield None
        return
    try:
        yield folder
    finally:
        for _ in range(20):
            umount = [shutil.which("umount") or "umount", str(folder)]
            if subprocess.run(umount, capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.5)


@contextlib.contextmanager
def searching(stage: Stage, key: str) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The built app's command, and what a splunkd tells it: it has the gateway's key."""
    with tarfile.open(build("build_app.py", stage.folder)) as tar:
        tar.extractall(stage.folder / "apps", filter="data")
    app, state = stage.folder / "apps" / "qscore", stage.state()
    (app / "local").mkdir()
    text = f"[gateway]\nurl = {state.url}\nca_file = {state.ca_file}\n\n[splunkd]\nca_file = {stage.folder}/ca.pem\n"
    (app / "local" / "qscore.conf").write_text(text)
    with SplunkdEndpoint(_SESSION, {"qscore:gateway:": key}, stage.folder / "server.pem") as splunkd:
        yield (
            [sys.executable, "-I", str(app / "bin" / "qscore.py")],
            {
                "splunkd_uri": splunkd.url,
                "session_key": _SESSION,
            },
        )
