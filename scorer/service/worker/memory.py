"""The memory that a pool process may take: what asks for more fails in that process, not on the whole machine."""

from __future__ import annotations

import resource
from pathlib import Path

from scorer.wire.errors import BodyTooLarge

_MIB = 1024 * 1024


def limit_memory(mib: int) -> None:
    """Let this process's address space grow by so many MiB from now on; beyond it, allocations raise MemoryError.

    Counted from what is mapped already: libraries and the reserves of their allocators take gigabytes of addresses and
    next to nothing of memory, and how many depends on the machine.
    """
    most = _address_space() + mib * _MIB
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def out_of_memory(rows: int) -> BodyTooLarge:
    """Make the error for a batch of ``rows`` rows that asked for more."""
    return BodyTooLarge(
        f"a batch of {rows} rows took more memory than a process may have",
        "Send smaller batches, or raise worker.memory_limit_mb.",
    )


def _address_space() -> int:
    """Read the bytes that are mapped now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
