"""`qscore up`: embedded Valkey, gateway and workers on one machine, supervised together."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from scorer.registry.cards import CardStore
from scorer.service.access.api_keys import KeyFile, local_key, write_private
from scorer.service.access.audit import audit_quietly
from scorer.service.access.authority import local_client_file, server_files
from scorer.service.access.effective import audit_start
from scorer.service.access.trust.anchors import close_to_group, known_cards
from scorer.service.queue.broker import own_servers, private_dir
from scorer.service.queue.closing.draining import DrainMark
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.exchanges import Exchanges, durable_exchange
from scorer.service.settings import Settings
from scorer.service.stack.children import child_specs
from scorer.service.stack.queue_files import AppendOnlyFile, clear_queue, prepare_queue
from scorer.service.stack.supervisor import Child
from scorer.wire.errors import ArtifactRejected, ConfigurationError, QScoreError, Unavailable

_READY_SECONDS = 60.0
_TICK = 0.1


@dataclass(frozen=True)
class StackState:
    """The facts that `qscore up` writes down for the other commands, in <home>/run/stack.json.

    ``failing``: why each process that keeps ending counts as failing.
    """

    pid: int
    url: str
    ca_file: str | None
    failing: tuple[str, ...] = ()


@dataclass
class Stack:
    """The running processes. Use it as ``with Stack.prepare(settings) as stack: stack.run(show)``."""

    settings: Settings
    children: list[Child]
    state: StackState
    _lock: FileLock
    _listener: socket.socket
    _file: AppendOnlyFile
    _stopping: bool = field(default=False)

    @classmethod
    def prepare(cls, settings: Settings) -> Stack:
        """Prepare home, keys, certificates, port.

        Raises ConfigurationError when one runs already or the port is taken.
        """
        private_dir(settings.home)
        run_dir = private_dir(settings.run_dir)
        lock = FileLock(run_dir / "stack.lock", mode=0o600)
        try:
            lock.acquire(timeout=1.0)  # commands that ask whether a stack runs hold it for a moment
        except Timeout:
            raise _already_running(settings) from None
        try:
            return cls._prepared(settings, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _prepared(cls, settings: Settings, lock: FileLock) -> Stack:
        private_dir(settings.home / "logs")
        DrainMark(settings.drain_mark).clear()
        settings.registry.mkdir(mode=0o755, parents=True, exist_ok=True)
        close_to_group(settings)
        prepare_queue(settings)
        _local_key(settings)
        audit_start(settings, "up")
        files = server_files(settings)
        local_client_file(settings)
        listener = _listen(settings.gateway.host, settings.gateway.port)
        url = f"https://{_url_host(settings)}:{listener.getsockname()[1]}"
        state = StackState(os.getpid(), url, str(files.ca) if files.ca else None)
        specs = child_specs(settings, listener, state.url, files)
        return cls(settings, [Child(spec) for spec in specs], state, lock, listener, AppendOnlyFile(settings))

    def __enter__(self) -> Stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        self._write_state()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def run(self, show: Callable[[Stack], None]) -> None:
        """Start everything and watch it until a signal; ``show`` is called after every look.

        Raises Unavailable when a process dies at once, again and again, before it was ever ready, or when none becomes
        ready. Later deaths stop nothing else: the process is shown as failing, and started again after a pause.
        """
        queue = len(own_servers(self.settings))
        for group in (self.children[:queue], self.children[queue:]):  # workers and gateway need the queue
            if self._stopping:
                return
            for child in group:
                child.start()
            for child in group:
                self._until_ready(child, show)
        while not self._stopping:
            self._watch(show)
            self._file.tend()
            time.sleep(_TICK)

    def stop(self) -> None:
        """End all processes, callers' side first, and remove what they left. Safe to call twice.

        The gateway, which is the last child, has gone before workers are told: what it accepted, they still answer.
        """
        self._listener.close()  # callers that come now go elsewhere, and do not wait in vain
        self.children[-1].stop()
        queue = len(own_servers(self.settings))
        for child in self.children[queue:]:
            child.ask_to_stop()
        for child in reversed(self.children[queue:]):
            child.stop()
        if any(child.state == "ready" for child in self.children[:queue]):
            self._file.settle()
        for child in self.children[:queue]:
            child.stop()
        (self.settings.run_dir / "stack.json").unlink(missing_ok=True)
        clear_queue(self.settings)
        self._lock.release()

    def _watch(self, show: Callable[[Stack], None]) -> None:
        for child in self.children:
            child.watch()
            child.kept = child.kept or child.state == "ready"
        failing = tuple(child.failing for child in self.children if child.failing)
        if failing != self.state.failing:
            self.state = replace(self.state, failing=failing)
            self._write_state()
        show(self)

    def _write_state(self) -> None:
        write_private(self.settings.run_dir / "stack.json", json.dumps(vars(self.state)).encode())

    @property
    def ready(self) -> bool:
        return all(child.state == "ready" for child in self.children)

    def _until_ready(self, child: Child, show: Callable[[Stack], None]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while child.state != "ready" and not self._stopping:
            self._watch(show)
            if time.monotonic() > deadline:
                if self._others_ready():
                    return  # as in a later outage of its own: it is waited for, and the others do their work
                raise Unavailable(
                    f"{child.spec.name} is not ready after {_READY_SECONDS:g} s", f"Its log is {child.spec.log}."
                )
            time.sleep(_TICK / 2)

    def _others_ready(self) -> bool:
        """Tell whether any process is ready but the queue's servers."""
        return any(other.state == "ready" for other in self.children[len(own_servers(self.settings)) :])

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def read_state(settings: Settings) -> StackState | None:
    """Read what the running `qscore up` wrote down; None when none runs.

    A file that a killed one left does not count.
    """
    lock = FileLock(settings.run_dir / "stack.lock", mode=0o600)
    if not settings.run_dir.is_dir():
        return None
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _read_state(settings)
    lock.release()
    return None


def _local_key(settings: Settings) -> None:
    """Make the key of this machine's commands where there is none, and record that."""
    keys = KeyFile(settings.api_keys)
    before = {key.id for key in keys.keys()}  # noqa: SIM118  # a method, not a mapping
    local_key(settings.local_key, keys)
    for key in keys.keys():  # noqa: SIM118
        if key.id not in before:
            audit_quietly(settings, "key_made", key=key.id, scopes=key.scopes, note=key.note)


def exchange_of(settings: Settings, longest_wait: float = 0.0) -> Exchange:
    """Open the durable server's keys, for commands on this machine."""
    return durable_exchange(settings, longest_wait=longest_wait)


def queue_of(settings: Settings) -> Exchanges:
    """Open the whole queue, for commands on this machine."""
    return Exchanges.of(settings)


def model_lines(settings: Settings) -> list[str]:
    """Describe what the registry holds, in words."""
    store = known_cards(settings)
    lines = [f"{name}: {len(store.versions(name))} version(s), {_alias_words(store, name)}" for name in store.names()]
    return lines or ["none yet: `qscore train --model lateral` trains a starter"]


def _alias_words(store: CardStore, name: str) -> str:
    try:
        return ", ".join(f"{alias} = {version}" for alias, version in store.aliases(name).items()) or "no alias"
    except ArtifactRejected as fault:
        return fault.detail


def _read_state(settings: Settings) -> StackState | None:
    try:
        raw: dict[str, Any] = json.loads((settings.run_dir / "stack.json").read_bytes())
        return StackState(**raw | {"failing": tuple(raw.get("failing", ()))})
    except (OSError, ValueError, TypeError, RecursionError):
        return None  # it holds the lock but has not come so far yet


def _already_running(settings: Settings) -> QScoreError:
    state = _read_state(settings)
    who = f"process {state.pid}, {state.url}" if state else "still starting or stopping"
    return ConfigurationError(
        f"qscore is already running in {settings.home} ({who})", "Stop it first, or set QSCORE_HOME for a second one."
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"the gateway cannot listen on {host}:{port}: {error.strerror}",
            "Choose another with `qscore up --port 8418` or gateway.port, or stop what uses it.",
        ) from None
    return listener


def _url_host(settings: Settings) -> str:
    """The name by which this machine's commands reach the gateway: one that its certificate carries."""
    host = settings.gateway.host
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
        return "localhost"
    return f"[{host}]" if ":" in host else host
