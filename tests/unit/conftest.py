"""What every unit test is held to."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

#: Seconds for threads that were told to end.
_GRACE = 3.0
#: An executor of jobs that Qiskit Aer keeps for the whole process, and threads that Python did not start.
_KEPT = ("ThreadPoolExecutor-", "Dummy-")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test starts has ended after it: a thread that goes on disturbs the tests that follow."""
    before = set(threading.enumerate())
    yield
    if not _left(before, 0.0):
        return
    gc.collect()  # threads end with what nobody holds any more
    assert _left(before, _GRACE) == [], "threads of this test go on: close what it opened"


def _left(before: set[threading.Thread], seconds: float) -> list[str]:
    """Name the threads that were not there before and are still there after so many seconds."""
    until = time.monotonic() + seconds
    found = [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith(_KEPT)]
    for thread in found:
        thread.join(max(0.0, until - time.monotonic()))
    return sorted(thread.name for thread in found if thread.is_alive())
