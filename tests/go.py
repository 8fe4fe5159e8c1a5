"""Checkers of formats whose only reader of authority is a Go library: small programs beside the tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path


def built(source: Path, out: Path, require: Callable[[bool, str], None]) -> Path:
    """Compile the program in ``source`` into the folder ``out``; skips where there is no Go.

    Its modules come from the Go module proxy, with the sums that go.sum fixes.
    """
    go = shutil.which("go")
    require(go is not None, f"Go is not installed; {source.name} needs it: https://go.dev/dl")
    program = out / source.name
    command = [str(go), "build", "-mod=readonly", "-buildvcs=false", "-o", str(program), "."]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return program
