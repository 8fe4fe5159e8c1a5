"""What limits of keys and fair turns cost: CPU of a gateway with them and of one without, in interleaved pairs.

    python -m bench.limits [--pairs 30] [--batches 75] [--rows 100]     # make bench-limits

Eight gateways stand before one queue and its workers: four as they are shipped, four in which batches pass without a
limit and without a turn, started in turn, because two processes of one program differ by some percent for as long as
they live. In each pair all get the same batches, over one connection each, in an order that is drawn. What is compared
is the CPU time of the gateways' processes, all threads, not the time that passes. The interval is the 95 % one of the
mean of the pairs' ratios, by bootstrap. What those alike differ by is shown beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.service import Running, csv_rows, stack
from scorer.service.gateway.server import main as serve
from scorer.service.gateway.traffic.passages import Traffic
from scorer.wire.client import GatewayClient
from scorer.wire.errors import Unavailable
from scorer.wire.options import ScoreOptions

GOAL = 1.03
#: The gateways, in the order of their starts: whether batches pass freely.
FREE = (False, True, True, False, True, False, False, True)
Seconds = np.ndarray[Any, np.dtype[np.float64]]
_RESAMPLES = 10_000


class FreePassage:
    """A way through the gateway on which nothing is counted and nobody waits."""

    def __init__(self, timeout: float) -> None:
        self.left = timeout

    async def turn(self) -> None:
        """Wait for nobody."""

    def answered(self) -> None:
        """Free nothing."""

    def refused(self, full: Any) -> None:
        """Say nothing."""

    def release(self) -> None:
        """Give nothing back."""


def free_traffic(_settings: Any, queue: Any) -> Any:
    """Make what stands in for the limits and turns of a gateway that has none."""
    idle = SimpleNamespace(refresh=lambda: None)
    return SimpleNamespace(
        limits=SimpleNamespace(count_request=lambda _key: None, batches=0),
        turns={},
        processes={lane.name: idle for lane in queue.lanes},
        passage=lambda _key, _size, _rows, timeout, _lane: FreePassage(timeout),
    )


@contextlib.contextmanager
def gateway(running: Running, free: bool) -> Iterator[tuple[int, GatewayClient]]:
    """Start a gateway of its own before the stack's queue; yields its process and a client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        number = listener.fileno()
        command = [sys.executable, "-m", "bench.limits", "--serve", str(number), *(["--free"] if free else [])]
        variables = os.environ | {"QSCORE_HOME": str(running.settings.home)}
        with subprocess.Popen(command, env=variables, pass_fds=[number], stderr=subprocess.DEVNULL) as process:
            try:
                with GatewayClient(url, running.key, running.state.ca_file) as client:
                    _until_ready(client, process)
                    yield process.pid, client
            finally:
                process.terminate()


def _until_ready(client: GatewayClient, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with contextlib.suppress(Unavailable):
            client.ready()
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit("a gateway did not become ready")


def cpu_seconds(pid: int) -> float:
    """Read the CPU time of a process' threads, to the nanosecond."""
    stats = [(task / "schedstat").read_text().split()[0] for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(map(int, stats)) / 1e9


def cost(pid: int, client: GatewayClient, body: bytes, rows: int, batches: int) -> float:
    """CPU seconds of the gateway for so many batches."""
    options = ScoreOptions(explain="none")
    before = cpu_seconds(pid)
    for _ in range(batches):
        client.score("lateral", body, rows, options)
    return cpu_seconds(pid) - before


def run(pairs: int, batches: int, rows: int) -> float:
    """Measure, print, and return the upper end of the interval."""
    rng, body = np.random.default_rng(1), csv_rows(rows)
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(Path(folder)) as running,
        contextlib.ExitStack() as open_ones,
    ):
        gateways = [open_ones.enter_context(gateway(running, free)) for free in FREE]
        for each in gateways:
            cost(*each, body, rows, batches)
        found = np.empty((pairs, len(FREE)))
        for pair in found:
            for number in rng.permutation(len(FREE)):
                pid, client = gateways[number]
                pair[number] = cost(pid, client, body, rows, batches)
    return report(found, batches, rng)


def report(seconds: Seconds, batches: int, rng: np.random.Generator) -> float:
    """Print the mean ratio of the CPU seconds of each gateway (pairs, 8), and its interval; returns the upper end."""
    limited, free = (seconds[:, [one == kind for one in FREE]] for kind in (False, True))
    ratios = limited.mean(axis=1) / free.mean(axis=1)
    low, high = np.quantile(rng.choice(ratios, (_RESAMPLES, len(ratios))).mean(axis=1), (0.025, 0.975))
    with_them, without = (1e3 * side.mean() / batches for side in (limited, free))
    print(f"CPU of the gateway a batch: {with_them:.3f} ms with limits and turns, {without:.3f} ms without")
    alike = [np.ptp(side.mean(axis=0)) / side.mean() for side in (limited, free)]
    print(f"those alike differ by up to {alike[0]:.1%} with them, {alike[1]:.1%} without")
    print(f"ratio {ratios.mean():.4f}, 95 % interval {low:.4f} to {high:.4f}, {len(ratios)} pairs")
    verdict = "met" if high <= GOAL else "not shown" if low <= GOAL else "MISSED"
    print(f"goal: at most {GOAL:g}: {verdict}")
    return float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--batches", type=int, default=75)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--free", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        if chosen.free:
            Traffic.of = free_traffic  # type: ignore[method-assign,assignment]
        serve([chosen.serve])
        return
    raise SystemExit(run(chosen.pairs, chosen.batches, chosen.rows) > GOAL)


if __name__ == "__main__":
    main()
