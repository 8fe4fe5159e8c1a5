"""Ten thousand inputs made from valid ones: each is read or refused by name. And the fuzzer sees what it should."""

from __future__ import annotations

import os
import random
import signal
import warnings
from collections.abc import Sequence

import pytest

from scorer.models.trained import TrainedModel
from tests.fuzz.every import targets
from tests.fuzz.run import MEMORY_MIB, fuzz, shares
from tests.fuzz.target import Target

INPUTS, SEED = 10_000, 7


def test_every_reader_reads_or_refuses(tiny_model: TrainedModel) -> None:
    every = targets(tiny_model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parsers, about what they are given
        outcomes = [fuzz(target, SEED, count) for target, count in zip(every, shares(every, INPUTS), strict=True)]
    assert {(one.target, fault) for one in outcomes for fault in one.faults} == set()
    assert sum(one.inputs for one in outcomes) >= INPUTS
    # The first inputs are valid: a reader that refuses all of them is not fuzzed, but broken.
    assert [one.target for one in outcomes if not one.taken] == []
    assert sum(one.refused for one in outcomes) > INPUTS / 4


def _same(seeds: Sequence[bytes], _chance: random.Random) -> bytes:
    return seeds[0]


def _raises(_data: bytes) -> None:
    raise KeyError("x")


def _loops(_data: bytes) -> None:
    while True:
        pass


def _dies(_data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _grows(_data: bytes) -> None:
    bytes((2 * MEMORY_MIB) << 20)


@pytest.mark.parametrize(
    ("read", "said"),
    [(_raises, "KeyError"), (_loops, "TooSlow: longer than 0.2 s"), (_dies, "ended with -9"), (_grows, "MemoryError")],
)
def test_what_a_reader_must_not_do_is_a_fault(read: object, said: str) -> None:
    outcome = fuzz(Target("bad", read, (b"x",), _same, seconds=0.2), SEED, 2)  # type: ignore[arg-type]
    assert [number for number, _ in outcome.faults] == [0, 1]
    assert all(said in fault for _, fault in outcome.faults)


def test_inputs_are_made_again_from_their_numbers(tiny_model: TrainedModel) -> None:
    for one, other in zip(targets(tiny_model)[:6], targets(tiny_model)[:6], strict=True):
        assert [one.input(1, k) for k in range(20)] == [other.input(1, k) for k in range(20)]
        assert len({one.input(1, k) for k in range(20)}) > 10
