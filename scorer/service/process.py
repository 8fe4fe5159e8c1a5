"""A child process that ends with its parent, however the parent ends.

    python -m scorer.service.process <signal> <parent pid> -- <program> <argument>...

sets the signal that the kernel sends when the parent dies, and becomes the program.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

#: Seconds that a worker has for what is under way when it is told to stop.
STOP_SECONDS = 30

_PR_SET_PDEATHSIG = 1
# malloc.h of glibc.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

#: Read when NumPy's BLAS loads: processes are the parallelism here, and threads inside them would fight over cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def end_with_parent(number: int, parent: int) -> None:
    """Ask for signal ``number`` when this process's parent dies; leave at once when it is not ``parent`` any more."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def return_memory() -> None:
    """Have the C library give large blocks back to the system when they are freed, and share its arenas.

    As it comes, glibc keeps what large bodies took for a process's whole life, in an arena for each of its threads.
    Does nothing with another C library. For the start of a process, before it has threads.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, 4 * 1024**2), (_M_TRIM_THRESHOLD, 8 * 1024**2), (_M_ARENA_MAX, 1)):
            mallopt(option, value)


def trim_memory() -> None:
    """Have the C library give free memory back to the system now; takes milliseconds, and does nothing with another."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def wrapped(command: list[str], number: signal.Signals) -> list[str]:
    """Wrap ``command``: a child of this process that gets signal ``number`` when this process dies."""
    return [sys.executable, "-m", __name__, str(int(number)), str(os.getpid()), "--", *command]


def main(arguments: list[str]) -> None:
    """Become the program that ``arguments`` name, ended with its parent. Raises SystemExit for wrong arguments."""
    number, parent, separator, *command = arguments
    if separator != "--":
        raise SystemExit("usage: python -m scorer.service.process SIGNAL PARENT -- PROGRAM ARGUMENT...")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave feature values and keys on disk
    end_with_parent(int(number), int(parent))
    os.execvp(command[0], command)  # noqa: S606  # a list, without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
