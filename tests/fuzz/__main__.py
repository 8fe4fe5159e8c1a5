"""`make fuzz`: every decoder and loader on inputs made from valid ones; each is read or refused, and nothing else.

    python -m tests.fuzz [--inputs N] [--seed S] [--jobs J] [--target NAME] [--only NUMBER]

An input is made again from seed, target and number: `--target NAME --only NUMBER` reads that one here and shows what
happened. Exit code 1 where anything went wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

from tests.conftest import make_tiny_model
from tests.fuzz.every import targets
from tests.fuzz.run import Outcome, fuzz, shares
from tests.fuzz.target import Target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--target", default="")
    parser.add_argument("--only", type=int, default=-1)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [target for target in targets(make_tiny_model()) if asked.target in ("", target.name)]
    if asked.only >= 0:
        data = chosen[0].input(asked.seed, asked.only)
        _say(repr(data[:2000]))
        chosen[0].read(data)
        return 0
    outcomes = _all(chosen, asked.seed, asked.inputs, asked.jobs)
    faults = sum(len(outcome.faults) for outcome in outcomes)
    _say(f"{sum(outcome.inputs for outcome in outcomes)} inputs, {faults} faults, seed {asked.seed}")
    return 1 if faults else 0


def _all(chosen: list[Target], seed: int, inputs: int, jobs: int) -> list[Outcome]:
    _say(f"{'target':24} {'inputs':>8} {'read':>8} {'refused':>8} {'faults':>6} {'slowest':>8} {'seconds':>8}")

    def one(target: Target, count: int) -> Outcome:
        started = time.monotonic()
        outcome = fuzz(target, seed, count)
        _say("\n".join(_lines(outcome, time.monotonic() - started)))
        return outcome

    with ThreadPoolExecutor(jobs) as threads:
        return list(threads.map(one, chosen, shares(chosen, inputs)))


def _lines(outcome: Outcome, seconds: float) -> list[str]:
    counts = f"{outcome.inputs:8} {outcome.taken:8} {outcome.refused:8} {len(outcome.faults):6}"
    faults = [f"    {outcome.target} {number}: {fault}" for number, fault in outcome.faults]
    return [f"{outcome.target:24} {counts} {outcome.slowest:8.3f} {seconds:8.1f}", *faults]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
