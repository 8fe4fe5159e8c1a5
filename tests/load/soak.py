"""`make soak`: at 70 % of what can be scored, memory, descriptors and keys on the queue's servers do not grow.

Capacity is measured first. Then bulk batches that are written to a file, and interactive ones, come at fixed rates. Use
is sampled all the time; a line through the second half says whether it grows.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.load.figures import CRITERION, growth, quantile
from tests.load.senders import Sent
from tests.load.stage import Loaded, Probe, loaded, sending
from tests.load.watching import Watch

ROWS, LOAD = 1_000, 0.7
_MOST_SAMPLES = 400


def run(minutes: float) -> int:
    """Load for so long and print every line; returns how many things grow."""
    seconds = 60.0 * minutes
    with loaded(keys=3, sink=True) as stack:
        _sent(stack, 0.0, 5.0)
        capacity = _sent(stack, 0.0, 20.0).scored / 20.0
        watch = Watch(stack.settings, max(1.0, seconds / _MOST_SAMPLES))
        probe = Probe(stack, key=2, every=0.5)
        watch.start()
        probe.start()
        sent = _sent(stack, LOAD * capacity, seconds)
        probe.finish()
        watch.stop.set()
        watch.join()
    said = ", ".join(f"{count} {code}" for code, count in sorted(sent.codes.items()))
    print(
        f"capacity {capacity:.1f} batches of {ROWS} rows a second; sent at {LOAD:.0%} for {minutes:g} minutes: {said}"
    )
    print(f"interactive p99 {1e3 * quantile(probe.seconds, 0.99):.1f} ms of {len(probe.seconds)}")
    return _growths(watch) + (sent.codes.keys() != {"ok"})


def _sent(stack: Loaded, rate: float, seconds: float) -> Sent:
    sent = Sent()
    with sending(stack.order(key=0, keys=2, senders=4, rows=ROWS, rate=rate, write=True), sent):
        time.sleep(seconds)
    return sent


def _growths(watch: Watch) -> int:
    print(CRITERION)
    growing = 0
    for name, samples in watch.samples.items():
        line = growth(samples)
        growing += line.grows
        print(
            f"{name:24s} level {line.level:8.1f}  change {line.change:+8.2f} +- {line.error:6.2f}"
            f"  {'GROWS' if line.grows else 'steady'}"
        )
    return growing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    sys.exit(run(parser.parse_args().minutes) > 0)


if __name__ == "__main__":
    main()
