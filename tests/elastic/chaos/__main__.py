"""`make chaos-elastic`: everything that scores documents is killed while they arrive; in the end each has one score.

Processes are ended by SIGKILL at random moments with rows in flight: the two connectors (the leader and its standby),
the scoring worker, the delivery worker, the queue's server, Elasticsearch itself. Source and scores streams roll over
in between. At the end every document of the source must have exactly one score, over all backing indices.
"""

from __future__ import annotations

import argparse
import sys

from tests.elastic.chaos.play import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    verdict, _ = run(arguments.kills, arguments.seed, say)
    if not verdict.good:
        raise SystemExit(
            "chaos: the scores are not what they must be" if verdict.work else "chaos: nothing was retried"
        )


if __name__ == "__main__":
    main()
