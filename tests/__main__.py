"""All tests that need Python and pip alone, in two processes at a time: `make test`.

    python -m tests [arguments of pytest]

The tests that start whole stacks wait more than they compute, so they run beside the others. What the others say is
shown as it comes; what the stacks' tests said follows. Ctrl-C ends both, servers included. Exit code: pytest's own, the
first that is not 0.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import IO

_BESIDE = ("tests/integration",)
_SHOWN = ("tests/unit", "tests/acceptance")


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        # No cache: two processes would write the same one.
        beside = _start([*_BESIDE, "-p", "no:cacheprovider", *arguments], said)
        shown = _start([*_SHOWN, *arguments])
        try:
            codes = [shown.wait(), beside.wait()]
        except KeyboardInterrupt:
            for process in (shown, beside):  # Ctrl-C reaches them by the terminal; a signal to us alone does not
                process.send_signal(signal.SIGINT)
            codes = [process.wait() for process in (shown, beside)]
        said.seek(0)
        sys.stdout.write(f"\n{' '.join(_BESIDE)}:\n")
        sys.stdout.writelines(said)
    return next((code for code in codes if code), 0)


def _start(arguments: Sequence[str], output: IO[str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT if output else None)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
