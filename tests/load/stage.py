"""A stack for load, senders in processes of their own, and a caller whose waits are measured."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import Settings, load_settings
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError
from scorer.wire.options import ScoreOptions
from tests.conftest import make_tiny_model, publish_model
from tests.integration.stack_tools import body
from tests.load.senders import Order, Sent


@dataclass(frozen=True)
class Loaded:
    """A running stack and keys for its callers."""

    settings: Settings
    state: StackState
    keys: tuple[str, ...]

    def order(
        self, *, key: int, keys: int = 1, senders: int, rows: int, rate: float = 0.0, **more: bool | int
    ) -> Order:
        """Make an order for senders with some of the keys."""
        chosen = self.keys[key : key + keys]
        return Order(self.state.url, self.state.ca_file, chosen, senders, rows, rate, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def loaded(keys: int, sink: bool = False, workers: int = 2) -> Iterator[Loaded]:
    """A stack with the settings as they come; with a file as its sink where ``sink``."""
    with tempfile.TemporaryDirectory(prefix="qscore-load-", ignore_cleanup_errors=True) as name:
        home = Path(name) / "home"
        publish_model(home, make_tiny_model())
        environment = {"QSCORE_SINK": "file", "QSCORE_SINK_FILE": f"{name}/scores.ndjson"} if sink else {}
        settings = load_settings(home=home)
        made = KeyFile(settings.api_keys)
        secrets = tuple(made.add(["read", "score", "write"], f"caller {number}")[1] for number in range(keys))
        arguments = ("--port", "0", "--workers", str(workers))
        with running_stack(home, *arguments, environment=environment) as state:
            yield Loaded(settings, state, secrets)


@contextlib.contextmanager
def sending(order: Order, into: Sent) -> Iterator[None]:
    """Senders run beside the block; what became of their batches is in ``into`` afterwards."""
    command = [sys.executable, "-m", "tests.load.senders", json.dumps(asdict(order))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield
            told, _ = process.communicate(b"", timeout=order.timeout + 30)
            counts = json.loads(told)
            into.codes, into.seconds, into.missed = Counter(counts["codes"]), counts["seconds"], counts["missed"]
        finally:
            process.kill()


@dataclass
class Probe(threading.Thread):
    """A caller that asks for ``rows`` rows every ``every`` seconds. ``seconds``: of answers; ``refused``: by code."""

    loaded: Loaded
    key: int
    rows: int = 100
    every: float = 0.1
    seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="probe")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        content, state = body(self.rows), self.loaded.state
        with GatewayClient(state.url, self.loaded.keys[self.key], state.ca_file, 20.0) as client:
            while not self.stop.wait(self.every):
                started = time.perf_counter()
                try:
                    client.score("lateral", content, self.rows, ScoreOptions(explain="none"))
                except QScoreError as error:
                    self.refused[error.code] += 1
                else:
                    self.seconds.append(time.perf_counter() - started)

    def finish(self) -> Probe:
        """Stop asking."""
        self.stop.set()
        self.join(60.0)
        return self
