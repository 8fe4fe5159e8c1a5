"""Which documents were handed out, and from when on a source is read again for late ones. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scorer.elastic_client.moments import Millis, later

Key = tuple[str, str]  # index and id
_EPOCH, _NEVER = Millis(0), Millis(-1)


@dataclass(frozen=True)
class _Look:
    """A look for late documents: when it was, by a monotonic clock, and up to which moment the source was read."""

    at: float
    since: Millis


@dataclass
class Memory:
    """Tells documents that were handed out from those that were not.

    A document may become searchable up to ``overlap`` seconds after those that arrived with it, and is read for the
    first time ``settle`` seconds after its arrival. What arrived longer ago than ``settle`` and two overlaps can no
    longer be late: of the past only the last millisecond is kept, so that memory grows with the documents of a few
    minutes and not with the source.
    """

    overlap: float
    settle: float = 0.0
    #: Hash of a document's key -> its moment; all that were handed out, from ``_complete_from`` on.
    _handed_out: dict[int, Millis] = field(default_factory=dict)
    _complete_from: Millis = _EPOCH
    #: Documents of the latest millisecond, which the next read finds again however long ago it was.
    _latest: set[Key] = field(default_factory=set)
    _latest_at: Millis = _NEVER
    _looked: _Look | None = None

    def __len__(self) -> int:
        """Return how many documents are remembered."""
        return len(self._handed_out)

    def begin(self, at: Millis) -> None:
        """Note that nothing before ``at`` is looked for."""
        self._complete_from = at

    def knows(self, key: Key, at: Millis) -> bool:
        """Return whether a document that arrived at ``at`` was handed out."""
        return key in self._latest if at == self._latest_at else hash(key) in self._handed_out

    def remember(self, documents: Iterable[tuple[Key, Millis]], now: Millis) -> None:
        """Note documents, in the order of their arrival, as handed out when the server's clock said ``now``."""
        horizon = later(now, -self.settle - 2 * self.overlap)
        for key, at in documents:
            if at > self._latest_at:
                self._latest, self._latest_at = set(), at
            if at == self._latest_at:
                self._latest.add(key)
            if at >= horizon:
                self._handed_out[hash(key)] = at
            else:
                self._complete_from = max(self._complete_from, Millis(at + 1))

    def look_back(self, since: Millis, clock: float) -> Millis | None:
        """Return from when on the source is to be read again up to ``since``, its position; None: not yet.

        ``clock``: monotonic seconds. A look is due every half overlap. Where a source is begun, nothing before it is
        late.
        """
        if self._looked is None:
            self._looked = _Look(clock, since)
            self._complete_from = self._complete_from or since
            return None
        if not self.overlap or clock - self._looked.at < self.overlap / 2:
            return None
        low = max(later(self._looked.since, -self.overlap), later(since, -2 * self.overlap))
        return max(low, self._complete_from)

    def looked_back(self, low: Millis, since: Millis, clock: float) -> None:
        """Note that the source was read again from ``low`` to before ``since``; what is older is forgotten."""
        self._looked = _Look(clock, since)
        self._handed_out = {known: at for known, at in self._handed_out.items() if at >= low}
        self._complete_from = max(self._complete_from, low)
