"""`make chaos`: everything is killed, stopped or left without a disk while rows are scored and written.

Searches run through the command, programs over the API and files in bulk, all with write-back to a collector.
Processes get SIGKILL at moments with rows in flight: scoring workers, bulk workers, delivery, gateway, both queue
servers, the sink. At the end every accepted row must have exactly one result after deduplication, or stand in the dead
letters; each kind of kill must have made a retry and a deduplication; scores must succeed again within 30 s.
"""

from __future__ import annotations

import argparse
import signal
import sys

from tests.chaos.hands import TARGETS
from tests.chaos.play import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="kill this alone; may be repeated")
    arguments = parser.parse_args()

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    # Whoever ends the play early finds no processes and no file system left of it.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit("chaos: ended early"))
    verdict = run(60.0 * arguments.minutes, arguments.seed, say, tuple(arguments.target or TARGETS))
    raise SystemExit(bool(verdict.faults))


if __name__ == "__main__":
    main()
