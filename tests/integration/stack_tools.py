"""Starting and looking at real stacks of processes, and doing to them what happens to processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState, read_state
from scorer.wire.client import GatewayClient

UP = [sys.executable, "-m", "scorer.cli.main", "up", "--port", "0", "--workers", "1"]


def body(rows: int) -> bytes:
    """CSV with every input of `lateral` and the context of its rows."""
    inputs = "events,logons,failures,network_logons,remote_logons,explicit_logons,privileged_logons"
    inputs += ",share_events,ticket_requests,ntlm_logons,signatures,dests_of_source"
    counts = "5,1,2,1,0,1,1,1,1,3,2"
    lines = [f"{1_700_000_000 + 600 * k},user{k},src{k % 7},dest{k % 5},{9 + k % 5},{counts}" for k in range(rows)]
    return ("\n".join(["_time,user,src,dest," + inputs, *lines]) + "\n").encode()


def processes(home: Path, word: str = "") -> list[int]:
    """Processes of the stack in ``home`` whose command line has ``word`` in it; zombies do not count.

    They are known by their environment, or, as Valkey writes its title over that, by their command line.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        ours = b"QSCORE_HOME=" + os.fsencode(home) in environment or f"{home}/run/" in command
        if ours and word in command:
            found.append(int(entry.name))
    return sorted(found)


def children(pid: int) -> list[int]:
    """Direct children of a process; none of one that is gone."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def mains_of(home: Path, lane: str) -> list[int]:
    """The processes of a lane's worker that take messages for the others: one, but while it is started again."""
    workers = processes(home, f"scorer.service.worker {lane}")
    return [pid for pid in workers if set(children(pid)) & set(workers)]


def pool_of(home: Path, lane: str) -> list[int]:
    """The processes of a lane's worker that work."""
    workers = processes(home, f"scorer.service.worker {lane}")
    return [child for pid in workers for child in children(pid) if child in workers]


def send(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to processes; one that is gone already is none the worse."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextlib.contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Processes stand still within the block."""
    held = list(pids)
    send(signal.SIGSTOP, held)
    try:
        yield
    finally:
        send(signal.SIGCONT, held)


def eventually(condition: Callable[[], bool], seconds: float = 20.0, pause: float = 0.05) -> bool:
    """Whether ``condition`` came true within ``seconds``, looked at every ``pause`` seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause)
    return condition()


def variables(home: Path, **more: str) -> dict[str, str]:
    return os.environ | {"QSCORE_HOME": str(home)} | more


def qscore(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a `qscore` command to its end."""
    command = [sys.executable, "-m", "scorer.cli.main", *arguments]
    return subprocess.run(command, env=variables(home, **more), capture_output=True, text=True, timeout=60, check=False)


def started(home: Path, **more: str) -> subprocess.Popen[str]:
    """A `qscore up` that has said that it is ready, for tests of how it ends; `demo.running_stack` is for the others.

    ``more``: variables.
    """
    process = subprocess.Popen(
        UP, env=variables(home, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    heard_until_ready(process)
    return process


def heard_until_ready(process: subprocess.Popen[str]) -> list[str]:
    """What a `qscore up` says until it is ready."""
    said = []
    for line in process.stdout or ():
        said.append(line)
        if line.startswith("ready:"):
            return said
    raise AssertionError(f"qscore up ended with {process.wait()}: {''.join(said)}")


@contextlib.contextmanager
def swept(home: Path) -> Iterator[Path]:
    """Whatever of the stack in ``home`` a failed test left running is ended with the block."""
    try:
        yield home
    finally:
        send(signal.SIGKILL, processes(home))


def state_of(home: Path) -> StackState:
    """What the stack in ``home``, which runs, has written down."""
    state = read_state(settings_of(home))
    assert state is not None
    return state


def settings_of(home: Path) -> Settings:
    return load_settings(home=home)


def client_of(home: Path, state: StackState, *scopes: str) -> GatewayClient:
    """A client with a new key of these scopes; without scopes, with the local key."""
    settings = settings_of(home)
    key = KeyFile(settings.api_keys).add(scopes)[1] if scopes else settings.local_key.read_text().strip()
    return GatewayClient(state.url, key, state.ca_file, timeout=30.0)


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> str:
    """Send a signal, wait, and return what the process still said."""
    process.send_signal(number)
    return process.communicate(timeout=40)[0]
