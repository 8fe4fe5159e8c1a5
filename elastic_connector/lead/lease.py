"""Lease and checkpoint of one source and model: one document in the state index, written under sequence-number guards.

Nobody compares clocks of two machines. A standby watches the document; one that has not changed for ``lease_seconds``
by the standby's own monotonic clock belongs to a leader that is gone. The leader renews three times in that span and
stops submitting, by its own monotonic clock, before it has passed since its last renewal. A takeover therefore begins
at most ``lease_seconds`` and one ``poll_seconds`` after a leader's death; a leader that stops cleanly gives the lease
back, and then it takes one look of the standby.
"""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from elasticsearch import ConflictError, Elasticsearch, NotFoundError

from scorer.elastic_client.failures import fault_type, reached
from scorer.elastic_client.moments import Millis, from_iso, iso, millis
from scorer.wire.errors import ConfigurationError, NonsenseReply, Unavailable

_PRIVILEGE = "index privileges read and write on the state index"
#: Share of a lease after which its holder no longer submits, and in which it renews it.
_SAFE, _RENEWALS = 0.85, 3.0
_LOOKS = 10.0


class LeaseLost(Unavailable):
    """Another connector leads this source now."""

    code = "lease_lost"


@dataclass(frozen=True)
class StreamState:
    """What the document says. ``checkpoint``: None before the first one."""

    owner: str
    epoch: int
    version: str
    checkpoint: Millis | None
    seq_no: int
    primary_term: int

    @classmethod
    def from_response(cls, raw: Any) -> StreamState:
        """Read the state from a GET's answer; raises NonsenseReply for a document that is not ours."""
        try:
            source = raw["_source"]
            checkpoint = source.get("checkpoint") or {}
            return cls(
                owner=_typed(source["owner"], str),
                epoch=_typed(source["epoch"], int),
                version=_typed(source.get("version", ""), str),
                checkpoint=from_iso(checkpoint["time"]) if "time" in checkpoint else None,
                seq_no=_typed(raw["_seq_no"], int),
                primary_term=_typed(raw["_primary_term"], int),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            known = raw.get("_id") if isinstance(raw, dict) else raw
            raise NonsenseReply(
                f"the state document {str(known)[:120]!r} cannot be read ({error})",
                "Delete it, and the source is read from its start; scores that exist are not written twice.",
            ) from None


def new_owner() -> str:
    """Make a contender's name, for people: host, process and a part that no second process shares."""
    return f"{socket.gethostname()[:80]}:{threading.get_native_id()}:{uuid.uuid4().hex[:8]}"


@dataclass
class Lease:
    """One contender for one stream. Thread-safe: a renewal may run beside the loop that it protects.

    ``clock``: monotonic seconds. ``wall``: epoch seconds, written for people and compared with nothing.
    """

    client: Elasticsearch
    index: str
    source: str
    model: str
    seconds: float
    poll: float
    owner: str = field(default_factory=new_owner)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    state: StreamState | None = None
    #: Whether the last leader had not given the lease back: it had died, or fallen silent.
    taken_over: bool = False
    _held_until: float = float("-inf")
    _watched: tuple[int, int] | None = None
    _watched_since: float = 0.0
    _version: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def id(self) -> str:
        return f"{self.source}:{self.model}"

    @property
    def renew_every(self) -> float:
        return self.seconds / _RENEWALS

    @property
    def look_every(self) -> float:
        """Return how often a standby looks, so that a takeover keeps to its stated time."""
        return min(self.poll / 3.0, self.seconds / _LOOKS)

    @property
    def epoch(self) -> int:
        return self.state.epoch if self.state is not None else 0

    def held(self) -> bool:
        """Tell whether this contender may submit; turns false before anybody else's can turn true."""
        return self.clock() < self._held_until

    def acquire(self, version: str = "") -> bool:
        """Take the lease if nobody holds it: once, to be called again every ``look_every`` seconds.

        Raises ConfigurationError without a state index, and what scorer.elastic_client.failures names.
        """
        with self._lock:
            self._version = version or self._version
            found = self._read()
            if found is None:
                return self._take(None, epoch=1, checkpoint=None)
            now = self.clock()
            mark = (found.seq_no, found.primary_term)
            if mark != self._watched:
                self._watched, self._watched_since = mark, now
            mine = found.owner == self.owner  # of an earlier term of this very process, which has ended
            if found.owner and not mine and now - self._watched_since < self.seconds:
                return False
            self.taken_over = bool(found.owner) and not mine
            return self._take(found, epoch=found.epoch + 1, checkpoint=found.checkpoint)

    def renew(self, checkpoint: Millis | None = None, version: str = "") -> None:
        """Hold on to the lease, and move the checkpoint (never back). Raises LeaseLost."""
        with self._lock:
            self._version = version or self._version
            self._renew(self.owner, checkpoint)

    def advance(self, epoch: int) -> None:
        """Go on under a higher number; for a state document that was deleted and began to count anew.

        Raises ValueError for a number that is not above the lease's, and LeaseLost.
        """
        with self._lock:
            if self.state is None or epoch <= self.state.epoch:
                raise ValueError(f"epoch {epoch} is not above that of the lease")
            self.state = replace(self.state, epoch=epoch)
            self._renew(self.owner, None)

    def release(self, checkpoint: Millis | None = None) -> None:
        """Give the lease back, so that a standby need not wait for it to run out."""
        with self._lock:
            if self.state is not None and self.state.owner == self.owner:
                self._renew("", checkpoint)
            self._held_until = float("-inf")

    def _renew(self, owner: str, checkpoint: Millis | None) -> None:
        state = self.state
        if state is None or state.owner != self.owner:
            raise _lost(self.id, state)
        known = [at for at in (state.checkpoint, checkpoint) if at is not None]
        started = self.clock()
        try:
            self.state = self._write(state, owner, state.epoch, max(known, default=None))
        except _Conflict:
            self.state = self._after_conflict(state, owner, max(known, default=None))
        self._held_until = started + _SAFE * self.seconds

    def _after_conflict(self, state: StreamState, owner: str, checkpoint: Millis | None) -> StreamState:
        """Write once more where the document is still ours: a renewal whose answer was lost has moved it on."""
        found = self._read()
        if found is None or found.owner != self.owner:
            self._held_until = float("-inf")
            self.state = None
            raise _lost(self.id, found)
        try:
            return self._write(found, owner, state.epoch, checkpoint)
        except _Conflict:
            raise Unavailable(f"the state of {self.id} changes while it is written", "It is tried again.") from None

    def _take(self, found: StreamState | None, epoch: int, checkpoint: Millis | None) -> bool:
        started = self.clock()
        try:
            self.state = self._write(found, self.owner, epoch, checkpoint)
        except _Conflict:
            return False
        self._held_until = started + _SAFE * self.seconds
        self._watched = None
        return True

    def _read(self) -> StreamState | None:
        """Read the document as it is, without a refresh; None where there is none."""
        with reached(f"read the state of {self.id}", _PRIVILEGE):
            try:
                answer: Any = self.client.get(index=self.index, id=self.id, realtime=True).body
            except NotFoundError as error:
                if fault_type(error) == "index_not_found_exception":
                    raise self._no_index() from None
                return None
        return StreamState.from_response(answer)

    def _write(self, found: StreamState | None, owner: str, epoch: int, checkpoint: Millis | None) -> StreamState:
        now = self.wall()
        document: dict[str, Any] = {
            "owner": owner,
            "epoch": epoch,
            "expires": iso(millis(now + self.seconds)),
            "updated": iso(millis(now)),
            "source": self.source,
            "model": self.model,
            "version": self._version,
            "checkpoint": {} if checkpoint is None else {"time": iso(checkpoint)},
        }
        guard: dict[str, Any] = {"op_type": "create"}
        if found is not None:
            guard = {"if_seq_no": found.seq_no, "if_primary_term": found.primary_term}
        with reached(f"write the state of {self.id}", _PRIVILEGE):
            try:
                answer: Any = self.client.index(
                    index=self.index, id=self.id, document=document, require_alias=False, **guard
                ).body
            except ConflictError:
                raise _Conflict from None
            except NotFoundError:
                raise self._no_index() from None
        try:
            mark = _typed(answer["_seq_no"], int), _typed(answer["_primary_term"], int)
        except (KeyError, TypeError, ValueError):
            raise NonsenseReply(f"Elasticsearch's answer to writing {self.id} has no sequence number") from None
        return StreamState(owner, epoch, self._version, checkpoint, *mark)

    def _no_index(self) -> ConfigurationError:
        return ConfigurationError(f"there is no index {self.index}", "Run `qscore elastic install`, which makes it.")


class _Conflict(Exception):
    """Somebody else wrote the document first: an answer here, not a failure."""


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{str(value)[:40]!r} is not of type {kind.__name__}")
    return value


def _lost(name: str, found: StreamState | None) -> LeaseLost:
    who = f"{found.owner} (epoch {found.epoch})" if found is not None and found.owner else "nobody"
    return LeaseLost(f"the lease of {name} was lost; it is held by {who}", "This connector stands by.")
