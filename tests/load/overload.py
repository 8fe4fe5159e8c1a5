"""`make overload`: other keys send twice and ten times what can be scored; a caller of few rows hardly notices.

Capacity is measured first, in the same run: four senders of one key, each with its next batch when it has an answer.
Then senders of three keys, standing back behind the stack by their niceness, ask for bulk batches at a fixed rate
whatever becomes of them, while another key's interactive batches of 100 rows are timed. Memory is the largest resident
size that was seen once a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

from tests.load.figures import quantile
from tests.load.senders import Sent
from tests.load.stage import Loaded, Probe, loaded, sending
from tests.load.watching import PARTS, Watch

ROWS = 1_000
FACTORS = (2, 10)
#: What is promised: interactive p99 against the unloaded one, and MiB of the gateway.
MOST_SLOWER = 3.0
MOST_GATEWAY = 512.0


@dataclass(frozen=True)
class Phase:
    """One phase: what it was, how the probe fared, what became of the others' batches."""

    name: str
    probe: Probe
    sent: Sent
    seconds: float

    def line(self) -> str:
        waits = [1e3 * quantile(self.probe.seconds, q) for q in (0.5, 0.95, 0.99)]
        others = ", ".join(f"{count} {code}" for code, count in sorted(self.sent.codes.items())) or "nobody"
        missed = f", {self.sent.missed} not even sent" if self.sent.missed else ""
        return (
            f"{self.name:9s} interactive p50 {waits[0]:6.1f} p95 {waits[1]:6.1f} p99 {waits[2]:6.1f} ms of"
            f" {len(self.probe.seconds)}, refused {sum(self.probe.refused.values())};"
            f" others {self.sent.scored / self.seconds:.1f} batches/s ({others}{missed})"
        )


def run(seconds: float) -> int:
    """Run all phases; returns how many promises were not kept."""
    with loaded(keys=5) as stack:
        watch = Watch(stack.settings)
        watch.start()
        _capacity(stack, 5.0)
        capacity = _capacity(stack, 20.0)
        print(f"capacity: {capacity:.1f} bulk batches of {ROWS} rows a second")
        quiet = _phase(stack, "unloaded", 0.0, 20.0)
        phases = [_phase(stack, f"{factor}x", factor * capacity, seconds / len(FACTORS)) for factor in FACTORS]
        watch.stop.set()
        watch.join()
    for phase in (quiet, *phases):
        print(phase.line())
    for part in PARTS:
        print(f"largest {part:12s} {watch.peak(f'{part} MiB'):7.0f} MiB")
    return _judged(quiet, phases, watch)


def _capacity(stack: Loaded, seconds: float) -> float:
    sent = Sent()
    with sending(stack.order(key=0, senders=4, rows=ROWS), sent):
        time.sleep(seconds)
    return sent.scored / seconds


def _phase(stack: Loaded, name: str, rate: float, seconds: float) -> Phase:
    probe, sent = Probe(stack, key=4), Sent()
    if not rate:
        probe.start()
        time.sleep(seconds)
        return Phase(name, probe.finish(), sent, seconds)
    senders = min(200, max(24, int(rate)))
    with sending(stack.order(key=1, keys=3, senders=senders, rows=ROWS, rate=rate, nice=10), sent):
        time.sleep(2.0)
        probe.start()
        time.sleep(seconds)
        probe.finish()
    return Phase(name, probe, sent, seconds + 2.0)


def _judged(quiet: Phase, phases: list[Phase], watch: Watch) -> int:
    missed = 0
    calm = quantile(quiet.probe.seconds, 0.99)
    for phase in phases:
        ratio = quantile(phase.probe.seconds, 0.99) / calm
        kept = ratio <= MOST_SLOWER and not phase.probe.refused
        missed += not kept
        print(
            f"{phase.name}: interactive p99 is {ratio:.1f} times the unloaded one (at most {MOST_SLOWER:g}):"
            f" {'kept' if kept else 'MISSED'}"
        )
    kept = watch.peak("gateway MiB") <= MOST_GATEWAY
    print(f"gateway {watch.peak('gateway MiB'):.0f} MiB (at most {MOST_GATEWAY:g}): {'kept' if kept else 'MISSED'}")
    return missed + (not kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    sys.exit(run(parser.parse_args().seconds) > 0)


if __name__ == "__main__":
    main()
