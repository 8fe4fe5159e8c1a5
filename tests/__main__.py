"""All tests that need Python and pip alone, in three processes at a time: `make test`.

    python -m tests [arguments of pytest]

The tests that start whole stacks wait more than they compute, so they run beside the others. What the tests of units
say is shown as it comes; what the others said follows. Ctrl-C ends all, servers included. Exit code: pytest's own, the
first that is not 0.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from scorer.service.process import ONE_THREAD

_STACKS = "tests/integration"
_SHOWN = ("tests/unit",)


def parts() -> list[tuple[str, ...]]:
    """What each process runs beside the one that is shown: about as much as that one."""
    rooms = sorted({str(file.parent) for file in Path(_STACKS).glob("*/**/test_*.py")})
    return [(_STACKS, *(f"--ignore={room}" for room in rooms)), ("tests/acceptance", *rooms)]


def main(arguments: Sequence[str]) -> int:
    with ExitStack() as stack:
        heard = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")) for _ in parts()]
        # No cache: several processes would write the same one.
        beside = [
            _start([*part, "-p", "no:cacheprovider", *arguments], said)
            for part, said in zip(parts(), heard, strict=True)
        ]
        processes = [_start([*_SHOWN, *arguments]), *beside]
        try:
            codes = [process.wait() for process in processes]
        except KeyboardInterrupt:
            for process in processes:  # Ctrl-C reaches them by the terminal; a signal to us alone does not
                process.send_signal(signal.SIGINT)
            codes = [process.wait() for process in processes]
        for part, said in zip(parts(), heard, strict=True):
            said.seek(0)
            sys.stdout.write(f"\n{' '.join(part)}:\n")
            sys.stdout.writelines(said)
    return next((code for code in codes if code), 0)


def _start(arguments: Sequence[str], output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    # BLAS's own threads would wait in circles for a processor that another of the processes has.
    environment = os.environ | ONE_THREAD
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT if output else None, env=environment)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
