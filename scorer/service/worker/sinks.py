"""Which sinks there are, and how settings become one."""

from __future__ import annotations

import re
from collections.abc import Callable

from scorer.delivery.file_sink import FileSink
from scorer.delivery.hec.http import HecClient
from scorer.delivery.hec.sink import HecSink
from scorer.delivery.sink import Sink
from scorer.elastic_client.extra import elastic_extra
from scorer.elastic_client.names import ELASTIC, NAMESPACE
from scorer.secret_file import read_secret
from scorer.service.settings import Settings
from scorer.wire.errors import ConfigurationError


def make_sink(settings: Settings, name: str = "") -> Sink:
    """The configured sink, or the one called ``name``; ``elastic:prod`` is that sink with the namespace prod.

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
    return ElasticSink(connect(elastic), elastic.namespace, elastic.bulk_documents, elastic.bulk_bytes)


def _with_namespace(settings: Settings, namespace: str) -> Settings:
    if not re.fullmatch(NAMESPACE, namespace):
        raise ConfigurationError(
            f"{namespace[:80]!r} cannot be a namespace", "Use lower-case letters, digits, underscores and dots."
        )
    return settings.model_copy(update={"elastic": settings.elastic.model_copy(update={"namespace": namespace})})


#: Sink name -> how it is made from settings.
SINKS: dict[str, Callable[[Settings], Sink]] = {"hec": _hec, "file": _file, ELASTIC: _elastic}
