"""A `qscore up` in a process of its own, for demos, benchmarks and tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scorer.service.stack.up import StackState
from scorer.wire.errors import Unavailable


@contextlib.contextmanager
def running_stack(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[StackState]:
    """A `qscore up` of its own process for the body of a ``with``; ready on entry, gone on exit.

    ``arguments`` go to `qscore up`; ``environment`` adds QSCORE_ variables. Raises Unavailable with what it said.
    """
    variables = os.environ | {"QSCORE_HOME": str(home)} | (environment or {})
    command = [sys.executable, "-m", "scorer.cli.main", "up", *arguments]
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            yield _wait_for_state(process, home)
        finally:
            process.terminate()
            with contextlib.suppress(ValueError, subprocess.TimeoutExpired):
                process.communicate(timeout=40)
            process.kill()


def _wait_for_state(process: subprocess.Popen[bytes], home: Path) -> StackState:
    """Reads the first lines of `qscore up` until it says that it is ready."""
    said: list[str] = []
    for raw in process.stdout or ():
        line = raw.decode("utf-8", "replace").rstrip()
        said.append(line)
        if line.startswith("ready:"):
            return StackState(**json.loads((home / "run" / "stack.json").read_bytes()))
    raise Unavailable("qscore up ended before it was ready: " + " / ".join(said[-5:]), f"Logs are in {home / 'logs'}.")
