"""Who is connected: how many in all, how many from one address, and who goes first where that is too many."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scorer.service.access.door.addresses import neighbourhood

#: Seconds that a handshake and a head need at most where nothing is wrong; who takes longer goes first.
_PROMPT = 1.0


class Stage(enum.Enum):
    """How far a connection is."""

    SILENT = "silent"  # it has not said yet with whom it wants to speak TLS
    HANDSHAKE = "handshake"
    HEAD = "head"  # its handshake is done, its request's head is not there
    IDLE = "idle"  # kept alive between two requests
    LOOSE = "loose"  # a request for which nobody answers yet: its small body comes, or its answer goes
    BUSY = "busy"  # its request is worked on, or is one of a key that has a place; never closed for another


@dataclass(eq=False)
class Guest:
    """One connection. ``since``: loop time at which its stage began. ``leave``: ends it at once."""

    address: str
    since: float
    leave: Callable[[], None]
    stage: Stage = Stage.SILENT

    def enter(self, stage: Stage, now: float) -> None:
        """Note that another stage begins."""
        self.stage, self.since = stage, now

    @property
    def asks(self) -> bool:
        """Tell whether a request of it is under way."""
        return self.stage in (Stage.LOOSE, Stage.BUSY)

    def rank(self, now: float) -> tuple[int, float]:
        """Rank for leaving, lowest first, and of one rank the oldest first.

        Who is slow goes before who idles, and both before who just came. A handshake takes the caller's part of the
        work, and its head comes at once where nothing is wrong; so among newcomers, who owes the head goes first.
        """
        if self.stage is Stage.IDLE:
            return (1, self.since)
        if now - self.since > _PROMPT:
            return (0, self.since)
        return (3 if self.stage is Stage.HANDSHAKE else 2, self.since)


@dataclass
class Census:
    """Everybody who is connected: at most ``limit`` in all, at most ``per_address`` from one address."""

    limit: int
    per_address: int
    _guests: dict[str, dict[Guest, None]] = field(default_factory=dict)
    _count: int = 0

    @property
    def count(self) -> int:
        return self._count

    def __contains__(self, guest: object) -> bool:
        return isinstance(guest, Guest) and guest in self._guests.get(neighbourhood(guest.address), {})

    def guests(self) -> list[Guest]:
        """List everybody."""
        return [guest for group in self._guests.values() for guest in group]

    def enter(self, guest: Guest, now: float) -> tuple[bool, Guest | None]:
        """Let a connection in, where need be in the place of another.

        Gives whether it is in, and who had to leave. From an address that has too many one of its own leaves; where
        there are too many in all, one of the address with most of them. Who is worked on stays.
        """
        group = self._guests.get(neighbourhood(guest.address), {})
        gone = None
        if len(group) >= self.per_address:
            gone = _first_to_leave(group, now)
        elif self._count >= self.limit:
            gone = _first_to_leave(self._largest(), now)
        else:
            self._add(guest)
            return True, None
        if gone is None:
            return False, None
        self.leave(gone)
        gone.leave()
        self._add(guest)
        return True, gone

    def leave(self, guest: Guest) -> None:
        """Note that a connection ended; safe to call twice."""
        key = neighbourhood(guest.address)
        group = self._guests.get(key, {})
        if guest in group:
            del group[guest]
            self._count -= 1
            if not group:
                del self._guests[key]

    def _add(self, guest: Guest) -> None:
        self._guests.setdefault(neighbourhood(guest.address), {})[guest] = None
        self._count += 1

    def _largest(self) -> Iterable[Guest]:
        """Those who may leave, of the address that has most of them."""
        return max(self._guests.values(), key=lambda group: sum(guest.stage is not Stage.BUSY for guest in group))


def _first_to_leave(group: Iterable[Guest], now: float) -> Guest | None:
    return min(
        (guest for guest in group if guest.stage is not Stage.BUSY), key=lambda guest: guest.rank(now), default=None
    )
