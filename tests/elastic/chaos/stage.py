"""A server of its own, what an administrator sets up on it, and everything started."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elasticsearch import Elasticsearch

from demo.elastic_setup import Source, put_source_template, settings_text, write_runtime_key
from demo.elasticsearch_server import DevServer, dev_server
from elastic_connector.install.asset_files import STANDARD
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install
from tests.conftest import make_tiny_model, publish_model
from tests.elastic.chaos.feeder import SOURCE, SOURCE_NAME
from tests.elastic.chaos.theatre import MODEL, Say, Theatre

_PATTERN = "logs-chaos.*"
#: The overlap is the product's own. Elasticsearch stamps event.ingested and may then wait a minute for a shard that is
#: starting: a document becomes searchable that much after its time, and by a refresh later.
_TIMES = {
    "lease_seconds": 4.0, "poll_seconds": 0.3, "settle_seconds": 5, "overlap_seconds": 60, "late_seconds": 6,
    "timeout": 10, "page_documents": 100, "in_flight_rows": 2000,
}  # fmt: skip


@contextlib.contextmanager
def theatre(namespace: str, rng: random.Random, say: Say) -> Iterator[Theatre]:
    """A server of its own (it is killed), the assets, a model whose rows are documents, and everything running."""
    with (
        own_server(say) as server,
        tempfile.TemporaryDirectory(prefix="qscore-chaos-") as name,
        Elasticsearch(server.url, basic_auth=(server.user, server.password), request_timeout=20) as admin,
    ):
        folder = Path(name)
        set_the_stage(folder, server, admin, namespace)
        play = Theatre(folder, server, admin, namespace, say, rng)
        try:
            play.tend()
            yield play
        finally:
            play.close()


@contextlib.contextmanager
def own_server(say: Say) -> Iterator[DevServer]:
    """Never the server that the environment names: this one dies."""
    named = {key: os.environ.pop(key) for key in list(os.environ) if key.startswith("QSCORE_TEST_ELASTICSEARCH_")}
    try:
        with dev_server(say) as server:
            yield server
    finally:
        os.environ |= named


def set_the_stage(folder: Path, server: DevServer, admin: Elasticsearch, namespace: str) -> None:
    """Assets, the source's data stream, a model by document, the runtime key and qscore.toml."""
    install(Cluster(admin, STANDARD))
    put_source_template(admin, "chaos-source", SOURCE)
    home = folder / "home"
    publish_model(home, dataclasses.replace(make_tiny_model(), grain="event"))
    key = home / "elastic_key"
    write_runtime_key(admin, "chaos-runtime", [_PATTERN], key)
    text = settings_text(server.url, key, namespace, [Source(SOURCE_NAME, _PATTERN, MODEL)], **_TIMES)
    (home / "qscore.toml").write_text(text)
