"""Rolling upgrade from the version before, under load: nothing lost, nothing wrong. `make upgrade-test`.

In the order that docs/operations.md says: delivery workers, scoring workers, gateways one after the other. Callers with
a key of 0.1.0 write scores all the time and repeat what is not answered. At the end each row that was answered has
exactly one id and one score among the events, and each answer is what the version before gives for the same row.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from scorer.service.queue.exchanges import Exchanges
from scorer.service.settings import load_settings
from scorer.wire.release import RELEASE
from tests.upgrade.load import KINDS, Load, Written, await_written
from tests.upgrade.stage import BEFORE, Stage, free_port, in_history, install_before, queue_server, until
from tests.v010 import make_home

_CALLERS = 3
_BETWEEN = 2.0  # seconds of load between two steps


def main() -> int:
    """Play it; returns the exit code."""
    if not in_history():
        print(f"upgrade: skipped, this clone does not have commit {BEFORE} (version 0.1.0)")
        return 1 if os.environ.get("CI") else 0
    folder = Path(tempfile.mkdtemp(prefix="qscore-up-"))
    try:
        with queue_server(folder) as url:
            play(folder, url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def play(folder: Path, url: str) -> None:
    """Upgrade part by part. Raises AssertionError for what is lost or wrong."""
    sink = folder / "events.ndjson"
    variables = {"QSCORE_BROKER_URL": url, "QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(sink)}
    variables |= {"QSCORE_WORKER__PROCESSES": "1", "QSCORE_WORKER__DELIVERY_PROCESSES": "1"}
    stage = Stage(folder, make_home(folder / "home"), install_before(folder), variables)
    ports = [free_port(), free_port()]
    try:
        stage.start("old", "deliver", "deliver-old")
        stage.start("old", "score", "score-old")
        for number, port in enumerate(ports):
            stage.start("old", "gateway", f"gateway-old-{number}", QSCORE_GATEWAY__PORT=str(port))
            until((stage.home / "tls" / "ca.pem").is_file, "a certificate was made")
        load = Load([f"https://localhost:{port}" for port in ports], stage.home / "tls" / "ca.pem")
        load.ask(99, 0)
        expected = [without_names(load.answered[f"u99-0-{k}"]) for k in range(KINDS)]
        print(f"the version before scores; {len(set(expected))} kinds of rows")
        load.begin(_CALLERS)
        try:
            roll(stage, load, ports, variables)
        finally:
            load.end()
        judge(load, await_written(load, sink, until), expected)
    except BaseException:
        for name in stage.running:
            print(f"--- {name}\n{stage.log(name)}", file=sys.stderr)
        raise
    finally:
        stage.close()


def roll(stage: Stage, load: Load, ports: list[int], variables: dict[str, str]) -> None:
    """Start the new process of each part, then stop the old one, while callers ask on."""
    queue = Exchanges.of(load_settings(home=stage.home, broker_url=variables["QSCORE_BROKER_URL"]))

    def alive(lane: str) -> bool:
        return queue.releases()[lane][RELEASE] > 0

    under_load(load, "before")
    stage.start("new", "deliver", "deliver-new")
    until(lambda: alive("deliver"), "the new delivery worker came")
    told(stage, load, "deliver-old")
    for lane in ("score", "bulk"):
        stage.start("new", lane, f"{lane}-new")
    until(lambda: alive("score") and alive("bulk"), "the new scoring workers came")
    told(stage, load, "score-old")
    for number, port in enumerate(ports):
        told(stage, load, f"gateway-old-{number}", f"gateway-new-{number}", port)
    under_load(load, "after")
    queue.close()


def told(stage: Stage, load: Load, old: str, new: str = "", port: int = 0) -> None:
    """Stop an old process, after its successor started, or before where both need one port."""
    seconds = stage.stop(old)
    if new:
        stage.start("new", "gateway", new, QSCORE_GATEWAY__PORT=str(port))
    under_load(load, f"{old} stopped in {seconds:.1f} s")


def under_load(load: Load, what: str) -> None:
    """Let callers ask on, and see that they are answered."""
    before = len(load.answered)
    time.sleep(_BETWEEN)
    until(lambda: len(load.answered) > before, f"a batch was answered ({what})")
    print(f"{what}: {len(load.answered)} rows answered, {load.repeated} batches repeated so far {dict(load.faults)}")


def judge(load: Load, written: Written, expected: list[str]) -> None:
    """Compare what was answered and what was written. Raises AssertionError."""
    rows = load.answered.items()
    wrong = [user for user, line in rows if without_names(line) != expected[int(user.rpartition("-")[2]) % KINDS]]
    twice = [user for user in load.answered if len(written.ids[user]) != 1 or len(written.scores[user]) != 1]
    lost = load.answered.keys() - written.ids.keys()
    print(f"{len(load.answered)} rows answered, {written.events} events of {len(written.ids)} rows written")
    print(f"lost: {len(lost)}, wrong answers: {len(wrong)}, rows with two ids or scores: {len(twice)}")
    print(f"callers were told while versions differed: {sorted(load.skews) or 'nothing'}")
    assert not lost
    assert not wrong, wrong[:3]
    assert not twice, twice[:3]
    assert load.skews, "nobody was told that the versions differed"


def without_names(line: str) -> str:
    """Cut a line of scores to its numbers, band and status."""
    cells = line.split(",")
    return ",".join((*cells[:6], *cells[7:]))


if __name__ == "__main__":
    sys.exit(main())
