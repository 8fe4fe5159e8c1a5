"""Runs targets in a process of its own, of bounded memory; what ends that process is a fault like any other."""

from __future__ import annotations

import multiprocessing
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scorer.service.worker.memory import limit_memory
from tests.fuzz.target import Target

#: MiB by which the process may grow.
MEMORY_MIB = 1024
#: Faults of one target after which it is left.
MOST_FAULTS = 20


class TooSlow(Exception):
    """One input took longer than it may."""


@dataclass
class Outcome:
    """What became of a target's inputs. ``faults``: an input's number and what was wrong."""

    target: str
    taken: int = 0
    refused: int = 0
    slowest: float = 0.0
    faults: list[tuple[int, str]] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return self.taken + self.refused + len(self.faults)


def shares(targets: Sequence[Target], count: int) -> list[int]:
    """Divide ``count`` inputs among the targets by their weights; each gets at least one."""
    whole = sum(target.weight for target in targets)
    return [-(-count * target.weight // whole) for target in targets]


def fuzz(target: Target, seed: int, count: int, said: Callable[[Outcome], None] | None = None) -> Outcome:
    """Read ``count`` inputs of a target in child processes; a child that dies is a fault, and another goes on."""
    outcome, number = Outcome(target.name), 0
    while number < count and len(outcome.faults) < MOST_FAULTS:
        number = _child(target, seed, number, count, outcome)
        if said is not None:
            said(outcome)
    return outcome


def _child(target: Target, seed: int, first: int, count: int, outcome: Outcome) -> int:
    """Run a child from input ``first``; returns the number of the input that is next."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    at = context.Value("q", first, lock=False)
    child = context.Process(target=_serve, args=(target, seed, first, count, at, theirs))
    child.start()
    theirs.close()
    try:
        told: Outcome | None = ours.recv()
    except EOFError:
        told = None
    child.join()
    if told is not None:
        _add(outcome, told)
        return int(at.value) + 1
    outcome.taken += int(at.value) - first  # how many of them were refused went with the child
    outcome.faults.append((int(at.value), f"the process ended with {child.exitcode}"))
    return int(at.value) + 1


def _add(outcome: Outcome, told: Outcome) -> None:
    outcome.taken += told.taken
    outcome.refused += told.refused
    outcome.slowest = max(outcome.slowest, told.slowest)
    outcome.faults += told.faults


def _serve(target: Target, seed: int, first: int, count: int, at: Any, told: Connection) -> None:
    limit_memory(MEMORY_MIB)
    outcome = Outcome(target.name)
    for number in range(first, count):
        at.value = number
        one(target, number, target.input(seed, number), outcome)
        if len(outcome.faults) >= MOST_FAULTS:
            break
    told.send(outcome)


def one(target: Target, number: int, data: bytes, outcome: Outcome) -> None:
    """Read one input and note what became of it."""

    def too_slow(_signal: int, _frame: Any) -> None:
        raise TooSlow(f"longer than {target.seconds:g} s")

    signal.signal(signal.SIGALRM, too_slow)
    signal.setitimer(signal.ITIMER_REAL, target.seconds)
    started = time.perf_counter()
    try:
        target.read(data)
        outcome.taken += 1
    except target.refusals:
        outcome.refused += 1
    except (Exception, RecursionError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        outcome.faults.append((number, f"{type(error).__name__}: {str(error)[:150]} at {place}"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    outcome.slowest = max(outcome.slowest, time.perf_counter() - started)
