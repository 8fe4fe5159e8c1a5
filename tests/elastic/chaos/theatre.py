"""All that runs while documents arrive: Elasticsearch, a stack, two connectors; and the hand that kills them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from elasticsearch import Elasticsearch

from demo.elastic_setup import SCORES_QUERY
from demo.elasticsearch_server import DevServer
from tests.elastic.chaos.feeder import GONE, SOURCE
from tests.integration.stack_tools import eventually, processes

MODEL, VERSION = "lateral", "1-starter"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kill:
    """``in_flight``: documents without a score at that moment; None when Elasticsearch did not say."""

    target: str
    in_flight: int | None


@dataclass
class Theatre:
    """All that runs, and what was done to it."""

    folder: Path
    server: DevServer
    admin: Elasticsearch
    namespace: str
    say: Say
    rng: random.Random
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)
    rollovers: Counter[str] = field(default_factory=Counter)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def scores(self) -> str:
        return f"logs-qscore.scores-{self.namespace}"

    def tend(self) -> None:
        """Start again what has ended, as a service manager would."""
        commands = {
            "stack": ["up", "--port", "0", "--workers", "1"],
            "connector-a": ["elastic", "run"],
            "connector-b": ["elastic", "run"],
        }
        for name, command in commands.items():
            child = self.children.get(name)
            if child is not None and child.poll() is None:
                continue
            self.restarts[name] += child is not None
            log = (self.folder / f"{name}.log").open("ab")
            variables = os.environ | {"QSCORE_HOME": str(self.home)}
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", "scorer.cli.main", *command],
                env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            log.close()
            if name == "stack":
                eventually(lambda: (self.home / "run" / "stack.json").exists(), 30.0)

    def in_flight(self) -> int | None:
        """Documents of the source without a score at this moment; None while Elasticsearch does not answer."""
        try:
            return int(self.admin.count(index=SOURCE)["count"]) - self.scored()
        except GONE:
            return None

    def scored(self) -> int:
        """Scores that can be found; heartbeats are none."""
        return int(self.admin.count(index=self.scores, query=SCORES_QUERY, ignore_unavailable=True)["count"])

    def leader(self) -> str:
        """Which connector holds the lease; empty while nobody does, or Elasticsearch does not say."""
        try:
            owner = str(self.admin.get(index="qscore-state", id=f"chaos:{MODEL}")["_source"].get("owner", ""))
        except (*GONE, KeyError):
            return ""
        thread = [*owner.split(":"), "", ""][1]  # host, thread, a random part
        for name, child in self.children.items():
            if name.startswith("connector") and thread and Path(f"/proc/{child.pid}/task/{thread}").exists():
                return name
        return ""

    def pids(self, target: str) -> list[int]:
        """Processes to kill."""
        if target.startswith("connector"):
            return [self.children[target].pid]
        words = {"worker": "scorer.service.worker bulk", "delivery": "scorer.service.worker deliver"}
        if target == "broker":
            return processes(self.home, "valkey")
        return processes(self.home, words[target])

    def kill(self, target: str) -> None:
        """SIGKILL now; what is not a service of its own is started again by its supervisor or by ``tend``."""
        flight, leader = self._moment(target)
        if target == "leader":
            target = leader or "connector-a"
        if target == "elasticsearch":
            self.server.kill()
        else:
            for pid in self._found(target):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            target = target if not target.startswith("connector") else "leader" if target == leader else "standby"
        self.kills.append(Kill(target, flight))
        self.say(f"  kill {len(self.kills):2d} at {time.time():.0f}: {target}, {flight} documents without a score")
        if target == "elasticsearch":
            self.server.start()

    def _moment(self, target: str) -> tuple[int | None, str]:
        """Waits for one with documents in flight, and with a leader where that is to die: how many, and who leads."""
        seen: list[tuple[int | None, str]] = []

        def right() -> bool:
            self.tend()
            seen[:] = [(self.in_flight(), self.leader())]
            ((flight, leader),) = seen
            return (flight or 0) > 0 and (bool(leader) or target != "leader")

        eventually(right, 30.0)
        return seen[0]

    def _found(self, target: str) -> list[int]:
        """Its processes; one that was killed before may still be starting again."""
        found: list[int] = []

        def there() -> bool:
            self.tend()
            found[:] = self.pids(target)
            return bool(found)

        if not eventually(there, 60.0):
            raise SystemExit(f"{target} did not come back within a minute; logs are in {self.folder}")
        return found

    def roll_over(self, stream: str) -> None:
        with contextlib.suppress(*GONE):
            self.admin.indices.rollover(alias=stream)
            self.rollovers[stream] += 1

    def close(self) -> None:
        """Connectors first, then the stack."""
        for name in ("connector-a", "connector-b", "stack"):
            child = self.children.pop(name, None)
            if child is None:
                continue
            child.terminate()
            try:
                child.wait(40.0)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        for pid in processes(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
