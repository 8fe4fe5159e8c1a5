"""Which sinks there are, how settings become one, and which of them a delivery job's rows go to."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from scorer.delivery.file_sink import FileSink
from scorer.delivery.hec.http import HecClient
from scorer.delivery.hec.sink import HecSink
from scorer.delivery.rows import ScoredRows
from scorer.delivery.sink import SendOutcome, Sink, SinkRefused
from scorer.elastic_client.extra import elastic_extra
from scorer.elastic_client.names import ELASTIC, NAMESPACE
from scorer.logs import get_log
from scorer.secret_file import read_secret
from scorer.service.access.audit import audit_quietly
from scorer.service.queue.jobs import DeliveryJob
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError, QScoreError

if TYPE_CHECKING:
    from scorer.delivery.elastic.conflicts import Conflicts

_MOST_IDS = 50  # of one part in the audit record


def make_sink(settings: Settings, name: str = "") -> Sink:
    """Make the configured sink, or the one called ``name``; ``elastic:prod`` is that sink with the namespace prod.

    Raises ConfigurationError when there is none of that name.
    """
    wanted, _, namespace = (name or settings.sink).partition(":")
    if namespace:
        settings = _with_namespace(settings, namespace)
    if wanted not in SINKS:
        raise ConfigurationError(
            f"sink = {wanted!r} writes nothing" if wanted == "none" else f"no sink is called {wanted[:40]!r}",
            f"Set sink in qscore.toml to one of {', '.join(sorted(SINKS))}.",
        )
    return SINKS[wanted](settings)


def _hec(settings: Settings) -> Sink:
    hec = settings.hec
    if not hec.url:
        raise ConfigurationError("hec.url is empty", "Set it to https://host:8088 of Splunk's HTTP Event Collector.")
    if hec.token_file is None:
        raise ConfigurationError("hec.token_file is not set", "Name a file (mode 0600) that holds the token alone.")
    token = read_secret(hec.token_file.expanduser(), "hec.token_file", "token")
    client = HecClient(hec.url, token, hec.ca_file, hec.timeout)
    return HecSink(client, hec.index, hec.batch_bytes)


def _file(settings: Settings) -> Sink:
    if settings.sink_file is None:
        raise ConfigurationError("sink_file is not set", "Name the file that the events are written to.")
    return FileSink(settings.sink_file.expanduser(), settings.hec.index)


def _elastic(settings: Settings) -> Sink:
    with elastic_extra("the sink elastic"):
        from scorer.delivery.elastic.sink import ElasticSink
        from scorer.elastic_client.client import connect
    elastic = settings.elastic
    sink = ElasticSink(connect(elastic), elastic.namespace, elastic.bulk_documents, elastic.bulk_bytes)
    sink.on_conflict = partial(_audit_conflicts, settings)
    return sink


def _audit_conflicts(settings: Settings, found: Conflicts) -> None:
    audit_quietly(
        settings,
        "score_conflict",
        stream=found.stream,
        batch_id=found.batch_id,
        conflicts=len(found.ids),
        ids=list(found.ids[:_MOST_IDS]),
    )


def _with_namespace(settings: Settings, namespace: str) -> Settings:
    if not re.fullmatch(NAMESPACE, namespace):
        raise ConfigurationError(
            f"{namespace[:80]!r} cannot be a namespace", "Use lower-case letters, digits, underscores and dots."
        )
    return settings.model_copy(update={"elastic": settings.elastic.model_copy(update={"namespace": namespace})})


#: Sink name -> how it is made from settings.
SINKS: dict[str, Callable[[Settings], Sink]] = {"hec": _hec, "file": _file, ELASTIC: _elastic}


@dataclass(frozen=True)
class UnusableSink:
    """Stands in for a sink whose settings are wrong: its rows go to the dead letters with the reason."""

    name: str
    error: QScoreError

    def send(self, rows: ScoredRows) -> SendOutcome:
        return SendOutcome(0, unsent=rows, fault=SinkRefused(self.error.detail, self.error.remedy))


#: What tells one key file from the next: device, inode, nanoseconds of its last change; nothing where there is none.
_Stamp = tuple[int, ...]


class Sinks:
    """The sinks of one process, each made when the first job needs it, and again when its key file was replaced."""

    def __init__(self, settings: Settings, make: Callable[[Settings, str], Sink] = make_sink) -> None:
        self._settings = settings
        self._make = make
        self._made: dict[str, tuple[_Stamp, Sink]] = {}

    def of(self, job: DeliveryJob) -> Sink:
        """Find the sink that a job names, or the configured one; where it cannot be used, one that says why."""
        name = job.sink or self._settings.sink
        if name == ELASTIC:
            name += ":" + (job.namespace or self._settings.elastic.namespace)
        stamp = self._key_file(name)
        if name not in self._made or self._made[name][0] != stamp:
            self._made[name] = stamp, self._usable(name)
        return self._made[name][1]

    def _key_file(self, name: str) -> _Stamp:
        """Stamp a sink's key file: after a revoked key, the one put in its place must not wait for a restart."""
        path = self._settings.hec.token_file if name == "hec" else self._settings.elastic.api_key_file
        if path is None:
            return ()
        try:
            status = path.expanduser().stat()
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_mode

    def _usable(self, name: str) -> Sink:
        try:
            return self._make(self._settings, name)
        except ConfigurationError as error:
            get_log().error("sink_unusable", sink=name, reason=error.sentence())
            return UnusableSink(name, error)
