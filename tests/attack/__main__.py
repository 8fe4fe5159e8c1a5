"""`make attack`: a real `qscore up` under attack; another caller's three rows must be answered all the while.

    python -m tests.attack [--seconds 30] [--probes 200] [--seed 1] [--only silent --only bare-600]

One attack after the other, each by a process of its own. Criteria, for each: the p99 of a 3-row request and of
/healthz within a second over at least `--probes` probes, the gateway at or below 512 MiB resident, and a line about the
attack in its log. Exit code 1 when one is missed.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.stack.up import StackState
from scorer.wire.client import GATEWAY
from scorer.wire.transport import TlsConnection, Trust
from tests.attack.assaults import ASSAULTS, Assault, Place
from tests.attack.watch import PATIENCE, Seen, ask, peak_of, resident, score_three
from tests.integration.stack_tools import client_of, processes, settings_of, variables

LONGEST = 1.0  # seconds, p99
MEMORY = 512 * 1024**2
_PROBE_EVERY = 0.1  # seconds, on average
_CALM_SECONDS = 3.0


@dataclass(frozen=True)
class Result:
    """What was seen during one attack. ``memory``: the most that the gateway had, in bytes; ``after``: what it has when
    the attackers have been gone for three seconds."""

    assault: Assault
    scored: Seen
    healthy: Seen
    memory: int
    after: int
    lines: int

    @property
    def missed(self) -> list[str]:
        """The criteria that were not met, in words."""
        found = {
            "3 rows": self.scored.p99() > LONGEST,
            "/healthz": self.healthy.p99() > LONGEST,
            "memory": self.memory > MEMORY,
            "log": self.lines == 0,
        }
        return [name for name, wrong in found.items() if wrong]


@contextmanager
def attackers(assault: Assault, place: Place) -> Iterator[None]:
    """An attack for the body of a ``with``."""
    command = [sys.executable, "-m", "tests.attack.assaults", assault.name, place.text()]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def under(assault: Assault, home: Path, state: StackState, asked: argparse.Namespace) -> Result:
    """Attack, and ask as another caller."""
    key, secret = KeyFile(settings_of(home).api_keys).add(["score"], note="the attacker's")
    place, line, log = _place(state, secret), assault.line.replace("KEY", key.id), home / "logs" / "gateway.log"
    (gateway,) = processes(home, "scorer.service.gateway")
    before, scored, healthy = len(log.read_text()), Seen(), Seen()
    pauses, until = random.Random(asked.seed), time.monotonic() + asked.seconds  # noqa: S311  # when to look
    prober = TlsConnection(state.url, GATEWAY, Trust(state.ca_file))
    with (
        client_of(home, state) as caller,
        attackers(assault, place),
        peak_of(gateway) as peak,
    ):
        time.sleep(1.0)  # until the attackers are there
        while time.monotonic() < until or len(scored.seconds) + len(scored.faults) < asked.probes:
            ask(scored, lambda: score_three(caller))
            ask(healthy, lambda: _healthy(prober))
            time.sleep(pauses.uniform(0.0, 2 * _PROBE_EVERY))
    time.sleep(_CALM_SECONDS)
    said = log.read_text()[before:]
    lines = sum(line in said_line for said_line in said.splitlines())
    return Result(assault, scored, healthy, peak.bytes, resident(gateway), lines)


def _healthy(connection: TlsConnection) -> None:
    connection.close()
    answer = connection.exchange("GET", "/healthz", None, {}, PATIENCE, 1024)
    assert answer.status == 200, answer.status


def _place(state: StackState, key: str) -> Place:
    parts = urlsplit(state.url)
    return Place(str(parts.hostname), int(parts.port or 443), str(state.ca_file), key)


def table(results: list[Result]) -> Table:
    made = Table(
        "attack", "3 rows: median / p99 s", "failed", "/healthz p99 s", "gateway MiB: most / after", "log lines", ""
    )
    for result in results:
        made.add_row(
            result.assault.name,
            f"{result.scored.median():.3f} / {result.scored.p99():.3f}",
            f"{len(result.scored.faults)} of {len(result.scored.faults) + len(result.scored.seconds)}",
            f"{result.healthy.p99():.3f}",
            f"{result.memory / 1024**2:.0f} / {result.after / 1024**2:.0f}",
            str(result.lines),
            "held" if not result.missed else "MISSED: " + ", ".join(result.missed),
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack, at least")
    parser.add_argument("--probes", type=int, default=200, help="of each attack, at least")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which probes are sent")
    parser.add_argument("--only", action="append", choices=[one.name for one in ASSAULTS])
    asked = parser.parse_args()
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        train = [sys.executable, "-m", "scorer.cli.main", "train", "--model", "lateral"]
        subprocess.run(train, env=variables(home), check=True, stdout=subprocess.DEVNULL, timeout=600)
        with running_stack(home, "--port", "0") as state:
            with client_of(home, state) as first:  # the first batch of all loads the model
                score_three(first)
            results = []
            for assault in ASSAULTS:
                if asked.only is None or assault.name in asked.only:
                    console.print(f"{assault.name}: {assault.what}", highlight=False)
                    results.append(under(assault, home, state, asked))
                    for fault in sorted(set(results[-1].scored.faults))[:3]:
                        console.print(f"    a caller heard: {fault}", highlight=False)
    console.print(table(results))
    return 1 if any(result.missed for result in results) else 0


if __name__ == "__main__":
    raise SystemExit(main())
