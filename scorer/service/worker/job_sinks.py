"""Where a delivery job's rows go: the sink that it names, or the configured one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scorer.delivery.sink import SendOutcome, Sink, SinkRefused
from scorer.elastic_client.names import ELASTIC
from scorer.logs import get_log
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError, QScoreError


@dataclass(frozen=True)
class UnusableSink:
    """Stands in for a sink whose settings are wrong: its rows go to the dead letters with the reason."""

    name: str
    error: QScoreError

    def send(self, rows: Any) -> SendOutcome:
        return SendOutcome(0, unsent=tuple(rows), fault=SinkRefused(self.error.detail, self.error.remedy))


#: What tells one key file from the next: device, inode, nanoseconds of its last change; nothing where there is none.
_Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Sinks:
    """The sinks of one process, each made when the first job needs it, and again when its key file was replaced."""

    settings: Settings
    make: Callable[[Settings, str], Sink]
    _made: dict[str, tuple[_Stamp, Sink]] = field(default_factory=dict, repr=False)

    def of(self, job: DeliveryJob) -> Sink:
        """The sink that a job names, or the configured one; where it cannot be used, one that says why."""
        name = job.sink or self.settings.sink
        if name == ELASTIC:
            name += ":" + (job.namespace or self.settings.elastic.namespace)
        stamp = self._key_file(name)
        if name not in self._made or self._made[name][0] != stamp:
            self._made[name] = stamp, self._usable(name)
        return self._made[name][1]

    def _key_file(self, name: str) -> _Stamp:
        """A key that was revoked refuses every row; the one put in its place must not wait for a restart."""
        path = self.settings.hec.token_file if name == "hec" else self.settings.elastic.api_key_file
        if path is None:
            return ()
        try:
            status = path.expanduser().stat()
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_mode

    def _usable(self, name: str) -> Sink:
        try:
            return self.make(self.settings, name)
        except ConfigurationError as error:
            get_log().error("sink_unusable", sink=name, reason=error.sentence())
            return UnusableSink(name, error)
