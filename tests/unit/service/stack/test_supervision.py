"""Child processes: restarts with pauses, giving up, ending with all that they started, dying with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scorer.service.process import wrapped
from scorer.service.stack import supervisor
from scorer.service.stack.supervisor import QUICK_DEATHS, Child, ChildSpec
from scorer.wire.errors import Unavailable


def child(tmp_path: Path, script: str, grace: float = 5.0) -> Child:
    command = (sys.executable, "-c", script)
    return Child(ChildSpec("thing", command, tmp_path / "thing.log", lambda: True, dict(os.environ), grace=grace))


def watch_until(one: Child, state: str) -> None:
    deadline = time.monotonic() + 20
    while one.state != state:
        assert time.monotonic() < deadline, one.state
        one.watch()
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_dead_child_is_started_again(tmp_path: Path) -> None:
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    watch_until(one, "ready")
    first = one.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    watch_until(one, "waiting")
    watch_until(one, "ready")
    assert one.restarts == 1
    assert one.pid not in (None, first)
    one.stop()
    stopped: tuple[int | None, str] = (one.pid, one.state)
    assert stopped == (None, "stopped")


def test_a_child_that_keeps_dying_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; sys.exit('no such \\nluck today')")
    one.start()
    with pytest.raises(
        Unavailable, match=f"thing ended {QUICK_DEATHS} times within .* s, last with exit code 1: luck today"
    ):
        watch_until(one, "never")
    assert one.restarts == QUICK_DEATHS - 1


def test_stopping_ends_what_the_child_started_even_when_it_listens_to_nothing(tmp_path: Path) -> None:
    stubborn = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    stubborn += "print(subprocess.Popen(['sleep', '300']).pid, flush=True); time.sleep(300)"
    one = child(tmp_path, stubborn, grace=0.3)
    one.start()
    while not one.spec.log.read_text().endswith("\n"):
        time.sleep(0.02)
    grandchild, parent = int(one.spec.log.read_text()), one.pid
    assert parent is not None
    assert alive(grandchild)
    one.stop()
    assert not alive(parent)
    deadline = time.monotonic() + 5
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(grandchild)


def test_a_wrapped_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = "import subprocess, sys, signal, time\nfrom scorer.service.process import wrapped\n"
    script += "child = subprocess.Popen(wrapped(['sleep', '300'], signal.SIGKILL))\n"
    script += "print(child.pid, flush=True); time.sleep(300)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        deadline = time.monotonic() + 10
        while b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.kill()
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


def test_a_wrapped_process_whose_parent_has_gone_does_not_start() -> None:
    command = wrapped([sys.executable, "-c", "print('started')"], signal.SIGKILL)
    command[command.index(str(os.getpid()))] = "1"
    done = subprocess.run(command, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (1, b"")


def test_large_logs_are_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "thing.log"
    log.write_bytes(b"x" * (supervisor._LOG_CAP + 1))
    one = child(tmp_path, "print('new')")
    one.start()
    one.stop()
    assert (tmp_path / "thing.log.1").stat().st_size == supervisor._LOG_CAP + 1
    assert log.stat().st_size < 100


def test_last_words_of_missing_and_empty_logs(tmp_path: Path) -> None:
    assert supervisor.last_line(tmp_path / "absent") == "(no log)"
    (tmp_path / "empty").touch()
    assert supervisor.last_line(tmp_path / "empty") == "(empty log)"
