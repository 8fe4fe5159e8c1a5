"""Where a delivery job's rows go: the sink that it names, or the configured one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scorer.delivery.sink import SendOutcome, Sink, SinkRefused
from scorer.service.jobs import DeliveryJob
from scorer.service.logs import get_log
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError, QScoreError
from scorer.wire.names import ELASTIC


@dataclass(frozen=True)
class UnusableSink:
    """Stands in for a sink whose settings are wrong: its rows go to the dead letters with the reason."""

    name: str
    error: QScoreError

    def send(self, rows: Any) -> SendOutcome:
        return SendOutcome(0, unsent=tuple(rows), fault=SinkRefused(self.error.detail, self.error.remedy))


@dataclass(frozen=True)
class Sinks:
    """The sinks of one process, each made when the first job needs it."""

    settings: Settings
    make: Callable[[Settings, str], Sink]
    _made: dict[str, Sink] = field(default_factory=dict, repr=False)

    def of(self, job: DeliveryJob) -> Sink:
        """The sink that a job names, or the configured one; where it cannot be used, one that says why."""
        name = job.sink or self.settings.sink
        if name == ELASTIC:
            name += ":" + (job.namespace or self.settings.elastic.namespace)
        if name not in self._made:
            self._made[name] = self._usable(name)
        return self._made[name]

    def _usable(self, name: str) -> Sink:
        try:
            return self.make(self.settings, name)
        except ConfigurationError as error:
            get_log().error("sink_unusable", sink=name, reason=error.sentence())
            return UnusableSink(name, error)
