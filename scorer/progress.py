"""How whoever waits for long work hears of it: one kind of callback for training, importing, measuring and scoring."""

from __future__ import annotations

from collections.abc import Callable

#: Hears of progress: (what is being done, steps done, steps in all).
Steps = Callable[[str, int, int], None]


def no_steps(_text: str, _done: int, _total: int) -> None:
    """Ignore progress: nobody watches."""
