"""The queue as a whole: what is kept on each of its servers, seen as one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scorer.service.queue.broker import DURABLE, FAST, redis_client, shared
from scorer.service.queue.celery_app import build_app
from scorer.service.queue.claims import reached
from scorer.service.queue.exchange import Exchange, QueueState
from scorer.service.queue.lanes import LANES, SCORE, Lane, Lanes
from scorer.service.queue.living import WORKERS, release_of
from scorer.service.queue.pace import backlog
from scorer.service.queue.sealing.seal import Seal
from scorer.service.queue.submit import Submitter
from scorer.service.settings import Settings


@dataclass(frozen=True)
class Exchanges:
    """The exchange of each server; one and the same where one server holds everything.

    What belongs to a batch before its rows are to be written lies on the server of its lane. Rows to write, what
    became of them and who leads a stream lie on the durable one.
    """

    durable: Exchange
    fast: Exchange
    lanes: Lanes = LANES

    @classmethod
    def of(cls, settings: Settings, connections: int = 4, longest_wait: float = 0.0, lanes: Lanes = LANES) -> Exchanges:
        """Make clients of the servers that the settings name, ``connections`` at most to each."""
        durable = redis_client(settings, connections, longest_wait)
        if shared(settings):
            one = Exchange(durable, lanes, Seal.of(settings, DURABLE))
            return cls(one, one, lanes)
        fast = redis_client(settings, connections, longest_wait, FAST)
        return cls(
            Exchange(durable, lanes.on(DURABLE), Seal.of(settings, DURABLE)),
            Exchange(fast, lanes.on(FAST), Seal.of(settings, FAST)),
            lanes,
        )

    def serving(self, lane: Lane) -> Exchange:
        """Find the exchange on the server of a lane."""
        return self.fast if lane.server == FAST else self.durable

    def submitter(self, settings: Settings) -> Submitter:
        """Make the way onto the queue, whichever lane a job is for."""
        app = build_app(settings, SCORE)
        return Submitter(self.durable.client, app, self.lanes, self.fast.client, self.durable.seal, self.fast.seal)

    def state(self) -> QueueState:
        """Read depths and live workers, in one round trip to each server. Raises Unavailable where one is away."""
        durable = self.durable.state()
        if self.fast is self.durable:
            return durable
        fast = self.fast.state()
        waiting, workers = {**durable.waiting, **fast.waiting}, {**durable.workers, **fast.workers}
        return QueueState(
            {queue: waiting[queue] for queue in self.lanes.keys},
            {lane.name: workers[lane.name] for lane in self.lanes},
        )

    def backlog(self, ahead: Mapping[str, int] | None = None) -> Mapping[str, float]:
        """Estimate seconds of work for one process in each scoring queue.

        ``ahead``: batches of each lane that are not on the queue yet. Raises Unavailable where a server is away.
        """
        durable = backlog(self.durable.client, self.durable.lanes, ahead)
        if self.fast is self.durable:
            return durable
        return {**durable, **backlog(self.fast.client, self.fast.lanes, ahead)}

    def releases(self) -> Mapping[str, Counter[str]]:
        """Count the living workers by release, lane by lane. Raises Unavailable."""
        found = {}
        for lane in self.lanes:
            with reached():
                names: Any = self.serving(lane).client.zrangebyscore(WORKERS + lane.name, time.time(), "+inf")
            found[lane.name] = Counter(map(release_of, names))
        return found

    def close(self) -> None:
        """Close all connections."""
        for exchange in {id(each): each for each in (self.durable, self.fast)}.values():
            exchange.client.close()


def durable_exchange(settings: Settings, connections: int = 4, longest_wait: float = 0.0) -> Exchange:
    """Open the durable server's keys: for those who submit in bulk and hear what became of their rows."""
    client = redis_client(settings, connections, longest_wait)
    return Exchange(client, LANES if shared(settings) else LANES.on(DURABLE), Seal.of(settings, DURABLE))
