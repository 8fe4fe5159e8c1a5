"""What is fuzzed: a reader, valid inputs for it, and the errors with which it may refuse others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scorer.wire.errors import QScoreError
from tests.fuzz.mutate import mutated

#: Changes one of some valid inputs.
Change = Callable[[Sequence[bytes], random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """One reader of data from outside.

    ``read``: takes an input whole; returns, or raises one of ``refusals``. ``weight``: its share of all inputs.
    ``seconds``: that one input may take.
    """

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    change: Change = mutated
    refusals: tuple[type[Exception], ...] = (QScoreError,)
    weight: int = 10
    seconds: float = 10.0

    def input(self, seed: int, number: int) -> bytes:
        """Make the input of that number; the same seed and number make the same again. The first are valid."""
        if number < len(self.seeds):
            return self.seeds[number]
        chance = random.Random(f"{seed}:{self.name}:{number}")  # noqa: S311  # to be repeated, not to be secret
        return self.change(self.seeds, chance)
