"""A stack that is to take no new batches: its gateway refuses them, its connector sends none, its workers finish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scorer.service.queue.broker import private_dir
from scorer.service.queue.claims import reached
from scorer.service.queue.exchange import Exchange
from scorer.service.queue.exchanges import Exchanges
from scorer.wire.errors import Draining

#: kombu's hash of the messages that a lane's workers hold.
_HELD = "unacked"


@dataclass(frozen=True)
class DrainMark:
    """The file whose presence says that the stack of this home is being drained."""

    path: Path

    def set(self) -> None:
        """Take no new batches from now on."""
        private_dir(self.path.parent)
        self.path.touch(mode=0o600)

    def clear(self) -> None:
        """Take batches again."""
        self.path.unlink(missing_ok=True)

    def is_set(self) -> bool:
        return self.path.exists()

    def check(self) -> None:
        """Raise Draining while it is set."""
        if self.is_set():
            raise Draining(
                "qscore is being drained here and takes no new batches",
                "Send the batch to another gateway, or here once `qscore drain --undo` or the next start ended it.",
            )


@dataclass(frozen=True)
class UnderWay:
    """Messages of a queue's lanes. ``waiting``: queue -> messages; ``held``: lane -> those that its workers hold, with
    deliveries among them that are due later."""

    waiting: Mapping[str, int]
    held: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.waiting.values()) + sum(self.held.values())

    def line(self) -> str:
        """Say what is under way, in one line."""
        parts = [f"{count} waiting for {queue}" for queue, count in self.waiting.items() if count]
        parts += [f"{count} held by {lane}" for lane, count in self.held.items() if count]
        return "under way: " + (", ".join(parts) or "nothing")


def under_way(queue: Exchanges) -> UnderWay:
    """Count what waits and what is worked on, on all servers. Raises Unavailable."""
    held: dict[str, int] = {}
    for exchange in {id(each): each for each in (queue.durable, queue.fast)}.values():
        held |= _held(exchange)
    return UnderWay(queue.state().waiting, held)


def _held(exchange: Exchange) -> dict[str, int]:
    with reached(), exchange.client.pipeline(transaction=False) as pipe:
        for lane in exchange.lanes:
            pipe.hlen(lane.prefix + _HELD)
        counts = pipe.execute()
    return {lane.name: int(count) for lane, count in zip(exchange.lanes, counts, strict=True)}
