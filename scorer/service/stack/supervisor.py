"""Child processes that are started, watched, started again and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scorer.service.process import wrapped
from scorer.wire.errors import Unavailable

#: A child that dies this often within so many seconds is failing: it gets a longer pause, in seconds, between starts.
QUICK_DEATHS = 5
QUICK_SECONDS = 60.0
_LONGEST_PAUSE = 10.0
_FAILING_PAUSE = 30.0
_LOG_CAP = 10 * 1024 * 1024


@dataclass(frozen=True)
class ChildSpec:
    """A process to run.

    ``orphan_signal``: sent by the kernel when the supervisor dies. ``grace``: seconds to stop in. ``before``: what is
    done before each start; it says itself what went wrong.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str]
    orphan_signal: signal.Signals = signal.SIGKILL
    grace: float = 10.0
    inherited: tuple[int, ...] = ()  # file descriptors that it keeps
    before: Callable[[], None] = lambda: None


@dataclass
class Child:
    """One supervised process and its history. ``state``: starting, ready, waiting (to start again), stopped.

    ``kept``: it is started again however often it dies; until then quick deaths are the end. ``failing``: why it counts
    as failing; empty where it does not.
    """

    spec: ChildSpec
    state: str = "stopped"
    restarts: int = 0
    started: float = 0.0
    kept: bool = False
    failing: str = ""
    _process: subprocess.Popen[bytes] | None = None
    _asked: bool = False
    _deaths: deque[float] = field(default_factory=lambda: deque(maxlen=QUICK_DEATHS))
    _again_at: float = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process in a group of its own, so that Ctrl-C reaches the supervisor alone."""
        _rotate(self.spec.log)
        self.spec.before()
        with private_log(self.spec.log) as log:
            self._process = subprocess.Popen(
                wrapped(list(self.spec.command), self.spec.orphan_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                start_new_session=True,
                pass_fds=self.spec.inherited,
                umask=0o077,  # whatever it writes is this user's alone
            )
        self.state = "starting"
        self.started = time.monotonic()

    def watch(self) -> None:
        """Take note of what happened; start again what died. Raises Unavailable when one not kept dies too often."""
        if self.state == "waiting":
            if time.monotonic() >= self._again_at:
                self.restarts += 1
                self.start()
        elif self._process is not None and self._process.poll() is not None:
            self._died(self._process.returncode)
        elif self.state == "starting" and self.spec.ready():
            self.state = "ready"
        elif self.failing and self.state == "ready" and time.monotonic() - self.started > QUICK_SECONDS:
            self.failing = ""

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._asked = True

    def stop(self) -> None:
        """End the process and everything that it started; returns when they are gone."""
        process, self._process, self.state = self._process, None, "stopped"
        if process is None:
            return
        if not self._asked:  # a second signal would turn a worker's soft shutdown into a hard one
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.spec.grace)
        _kill_group(process.pid)
        process.wait()

    def _died(self, code: int) -> None:
        now = time.monotonic()
        process, self._process = self._process, None
        if process is not None:
            _kill_group(process.pid)
        self._deaths.append(now)
        if len(self._deaths) == QUICK_DEATHS and now - self._deaths[0] < QUICK_SECONDS:
            self._fails(
                f"{self.spec.name} ended {QUICK_DEATHS} times within {now - self._deaths[0]:.0f} s,"
                f" last with {_exit_text(code)}: {last_line(self.spec.log)}"
            )
        recent = sum(1 for death in self._deaths if now - death < QUICK_SECONDS)
        pause = _FAILING_PAUSE if self.failing else min(_LONGEST_PAUSE, 0.25 * 2.0 ** (recent - 1))
        self._again_at = now + pause
        self.state = "waiting"

    def _fails(self, reason: str) -> None:
        """Say in its log too that it fails: `qscore up` may run where nobody reads what it prints."""
        if not self.kept:
            raise Unavailable(reason, f"Its log is {self.spec.log}.")
        if not self.failing:
            with self.spec.log.open("a", encoding="utf-8") as log:
                log.write(f"qscore up: {reason}; it is started again every {_FAILING_PAUSE:g} s\n")
        self.failing = reason


def private_log(path: Path) -> IO[bytes]:
    """Open a log to append to; nobody else may read it, also where an earlier version let them."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def last_line(log: Path) -> str:
    """Find the last thing that a process said, for a message."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            lines = [line for line in stream.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return "(no log)"
    return lines[-1].strip()[:500] if lines else "(empty log)"


def _kill_group(pid: int) -> None:
    """Kill what is left of a child's process group; it led the group, so the group bears its pid."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _exit_text(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _rotate(log: Path) -> None:
    if log.is_file() and log.stat().st_size > _LOG_CAP:
        log.replace(log.with_suffix(".log.1"))
