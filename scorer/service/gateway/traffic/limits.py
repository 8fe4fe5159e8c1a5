"""Limits of one key in one gateway: bytes, rows and batches under way, and requests a minute.

What a request declares is reserved before its body is read, and free again when its answer is there, whatever that is.
All of it is in this process's memory and costs no round trip; of several gateways each counts for itself. Who is over a
limit hears which, its value, and after how many seconds to come again; nobody else notices.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scorer.service.settings import LimitSettings
from scorer.wire.errors import BodyTooLarge, OverLimit

#: How many times the places that are still free one key may hold: three quarters of all where it is alone, a little
#: less than half each where there are two, and some are free always, however many keys take all they can.
SHARE = 3
#: Seconds that a key's batch is taken to last until one has.
_FIRST_GUESS = 1.0
_NEWEST = 0.2  # weight of the newest batch in a key's mean
_LEAST_PAUSE = 0.05  # seconds
_REMEMBERED = 1_000  # keys that have nothing under way


@dataclass(frozen=True)
class Load:
    """The size of a batch by its headers."""

    bytes: int
    rows: int


@dataclass(frozen=True)
class Limits:
    """The most that a key may have: bytes, rows and batches under way, and requests a minute."""

    bytes: int
    rows: int
    batches: int
    requests: int

    @classmethod
    def of(cls, settings: LimitSettings, key_id: str) -> Limits:
        """Choose the limits of a key: its own where it has some, else those of every key."""
        own = settings.keys.get(key_id)

        def limit(name: str) -> int:
            special = getattr(own, name, None)
            return int(getattr(settings, name) if special is None else special)

        return cls(*(limit(name) for name in _SETTINGS.values()))


#: Field of ``Limits`` -> its setting in [gateway.limits].
_SETTINGS: Mapping[str, str] = {
    "bytes": "bytes_under_way",
    "rows": "rows_under_way",
    "batches": "batches_under_way",
    "requests": "requests_per_minute",
}


@dataclass
class _Use:
    """The use that one key makes of the gateway. ``tokens``: requests that it may make at once, as of ``counted``.

    ``seconds``: mean time of a batch, from its reservation to its end.
    """

    tokens: float
    counted: float
    bytes: int = 0
    rows: int = 0
    batches: int = 0
    seconds: float = _FIRST_GUESS


@dataclass
class Permit:
    """The leave for one batch; ``release`` it when the batch has its answer. Releasing twice is once."""

    load: Load
    _free: Callable[[], None] | None = field(repr=False)

    def release(self) -> None:
        """Give back what was reserved."""
        free, self._free = self._free, None
        if free is not None:
            free()

    def __enter__(self) -> Permit:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()


class KeyLimits:
    """The use of every key. ``places``: batches that the gateway has at once; safe for many threads."""

    def __init__(self, settings: LimitSettings, places: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._places = places
        self._clock = clock
        self._lock = threading.Lock()
        self._use: dict[str, _Use] = {}
        self._limits: dict[str, Limits] = {}
        self._batches = 0

    def count_request(self, key_id: str) -> None:
        """Count one request of a key. Raises OverLimit where it makes too many a minute."""
        now = self._clock()
        with self._lock:
            most = self._limits_of(key_id).requests
            use = self._use_of(key_id, now)
            use.tokens = min(float(most), use.tokens + (now - use.counted) * most / 60.0)
            use.counted = now
            if use.tokens < 1.0:
                raise _over(key_id, "requests", most, most, (1.0 - use.tokens) * 60.0 / most)
            use.tokens -= 1.0

    def reserve(self, key_id: str, load: Load) -> Permit:
        """Reserve a batch's place. Raises OverLimit, and BodyTooLarge where it alone is more than the key may have."""
        now = self._clock()
        with self._lock:
            most = self._limits_of(key_id)
            _check_alone(key_id, load, most)
            use = self._use_of(key_id, now)
            _check_beside(key_id, load, most, use)
            self._check_share(key_id, use)
            self._add(use, load, 1)
        return Permit(load, lambda: self._release(key_id, load, now))

    @property
    def batches(self) -> int:
        """Count batches under way, of all keys."""
        return self._batches

    def _release(self, key_id: str, load: Load, started: float) -> None:
        with self._lock:
            use = self._use[key_id]
            self._add(use, load, -1)
            use.seconds += _NEWEST * (self._clock() - started - use.seconds)
            if len(self._use) > _REMEMBERED:
                self._forget()

    def _add(self, use: _Use, load: Load, sign: int) -> None:
        use.bytes += sign * load.bytes
        use.rows += sign * load.rows
        use.batches += sign
        self._batches += sign

    def _check_share(self, key_id: str, use: _Use) -> None:
        """A key leaves places free for others, the more the more others there are (Choudhury and Hahne, 1998)."""
        free = max(0, self._places - self._batches)
        if not use.batches or (free > 1 and use.batches < SHARE * free):
            return
        error = OverLimit(
            f"key {key_id} has {use.batches} batches under way, as many as one key may have beside the others: "
            f"this gateway has {self._places} places (half of gateway.connections) and {free} of them are free",
            "Send fewer at once, raise gateway.connections, or add gateways.",
        )
        error.retry_after = max(_LEAST_PAUSE, use.seconds / use.batches)
        raise error

    def _limits_of(self, key_id: str) -> Limits:
        found = self._limits.get(key_id)
        if found is None:
            found = self._limits[key_id] = Limits.of(self._settings, key_id)
        return found

    def _use_of(self, key_id: str, now: float) -> _Use:
        found = self._use.get(key_id)
        if found is None:
            found = self._use[key_id] = _Use(float(self._limits_of(key_id).requests), now)
        return found

    def _forget(self) -> None:
        """Drop keys that have been silent for a minute: they would start anew with the counts that they have."""
        old = self._clock() - 60.0
        for key_id in [key_id for key_id, use in self._use.items() if not use.batches and use.counted < old]:
            del self._use[key_id], self._limits[key_id]


def _check_alone(key_id: str, load: Load, most: Limits) -> None:
    for what in ("bytes", "rows"):
        asked, limit = getattr(load, what), getattr(most, what)
        if asked > limit:
            raise BodyTooLarge(
                f"the batch has {asked} {what}, and key {key_id} may have {limit} under way"
                f" (gateway.limits.{_SETTINGS[what]})",
                "Send smaller batches, or raise the limit.",
            )


def _check_beside(key_id: str, load: Load, most: Limits, use: _Use) -> None:
    """Compare what a key has under way, and one batch more, with its limits."""
    for what, has, asked, allowed in (
        ("bytes", use.bytes, load.bytes, most.bytes),
        ("rows", use.rows, load.rows, most.rows),
        ("batches", use.batches, 1, most.batches),
    ):
        if has + asked > allowed:
            # Batches end one after the other: the part that must be free takes that part of their mean time.
            raise _over(key_id, what, has, allowed, use.seconds * (has + asked - allowed) / has)


def _over(key_id: str, what: str, has: int, most: int, pause: float) -> OverLimit:
    name = f"gateway.limits.{_SETTINGS[what]} = {most}"
    if what == "requests":
        error = OverLimit(
            f"key {key_id} made more than {most} requests a minute ({name})",
            "Send fewer and larger requests, or raise the limit.",
        )
    else:
        error = OverLimit(
            f"key {key_id} has {has} {what} under way and may have {most} ({name})",
            "Wait for answers before sending more, or raise the limit.",
        )
    error.retry_after = max(_LEAST_PAUSE, pause)
    return error
