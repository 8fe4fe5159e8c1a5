"""What the processes of a stack use: resident memory, descriptors, and keys on the queue's servers."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import redis

from scorer.service.queue.exchanges import Exchanges
from scorer.service.settings import Settings
from tests.integration.stack_tools import processes

#: Words in the command lines of a stack's processes.
PARTS = {
    "gateway": "scorer.service.gateway",
    "workers": "scorer.service.worker score",
    "bulk": "scorer.service.worker bulk",
    "delivery": "scorer.service.worker deliver",
    "valkey": "valkey.sock",
    "valkey-fast": "valkey-fast.sock",
}


@dataclass
class Watch(threading.Thread):
    """Samples a stack's use every ``every`` seconds until it is told to stop. ``samples``: "part unit" -> values, in
    MiB, descriptors or keys."""

    settings: Settings
    every: float = 1.0
    samples: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True, name="watch")

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        queue = Exchanges.of(self.settings, connections=1)
        while not self.stop.wait(self.every):
            for part, word in PARTS.items():
                pids = processes(self.settings.home, word)
                self.samples[f"{part} MiB"].append(sum(map(_resident, pids)))
                self.samples[f"{part} descriptors"].append(sum(map(_descriptors, pids)))
            with contextlib.suppress(redis.RedisError):
                for name, exchange in (("valkey", queue.durable), ("valkey-fast", queue.fast)):
                    self.samples[f"{name} keys"].append(float(str(exchange.client.dbsize())))
        queue.close()

    def peak(self, name: str) -> float:
        """Give the largest sample so far; 0 where there is none."""
        return max(self.samples[name], default=0.0)


def _resident(pid: int) -> float:
    """Read a process's resident memory in MiB; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _descriptors(pid: int) -> float:
    with contextlib.suppress(OSError):
        return float(len(list(Path(f"/proc/{pid}/fd").iterdir())))
    return 0.0
