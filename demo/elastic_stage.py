"""qscore as it runs beside Elasticsearch, on one machine: a real server, the assets, the runtime key, the queue and the
workers. Used by `make demo-elastic`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError, helpers

from demo.elastic_setup import Source, put_source_template, settings_text
from demo.elasticsearch_server import DevServer
from elastic_connector.install.asset_files import STANDARD
from scorer.service.queue.broker import private_dir
from scorer.wire.errors import QScoreError

NAMESPACE = "demo"
SOURCE = "demo"
_TEMPLATE = "qscore-demo-source"
_SETTINGS = """\
# A demo does not wait half a minute for its own documents: settle_seconds.
{elastic}
[gateway]
port = 0
"""


@dataclass(frozen=True)
class ElasticStage:
    """A stage with an Elasticsearch on it.

    ``index``: the data stream of the source; ``admin``: the user who installs and looks.
    """

    folder: Path
    server: DevServer
    admin: Elasticsearch
    model: str
    index: str
    namespace: str = NAMESPACE

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def scores(self) -> str:
        """The data stream of the scores."""
        return f"{STANDARD.scores}-{self.namespace}"

    @property
    def key_file(self) -> Path:
        """The file of the runtime key."""
        return self.home / "private" / "elastic_runtime_key"

    def login(self) -> list[str]:
        """Options by which `qscore elastic install` logs in as the user who installs."""
        path = self.folder / "password"
        path.touch(mode=0o600)
        path.write_text(self.server.password)
        return ["--user", self.server.user, "--password-file", str(path)]

    def configure(self) -> str:
        """Write qscore.toml; returns what it says."""
        private_dir(self.home)
        source = Source(SOURCE, self.index, self.model)
        elastic = settings_text(self.server.url, self.key_file, self.namespace, [source], settle_seconds=1)
        text = _SETTINGS.format(elastic=elastic)
        (self.home / "qscore.toml").write_text(text)
        return text

    def load(self, found: Iterable[Mapping[str, Any]], numbered: bool = False) -> int:
        """Put documents into the source, as an agent would; returns how many are there to be read.

        ``numbered``: their ids are their positions. Raises QScoreError where a document was refused.
        """
        put_source_template(self.admin, _TEMPLATE, self.index)
        actions = (
            {"_op_type": "create", "_index": self.index, "_source": document} | ({"_id": str(n)} if numbered else {})
            for n, document in enumerate(found)
        )
        try:
            written, _ = helpers.bulk(self.admin, actions, refresh=True)
        except helpers.BulkIndexError as error:
            raise QScoreError(f"{error}, the first: {str(error.errors[0])[:300]}") from None
        return written

    def search(self, **arguments: Any) -> list[dict[str, Any]]:
        """Hits' sources, of the stream of scores."""
        self.admin.indices.refresh(index=self.scores)
        return [hit["_source"] for hit in self.admin.search(index=self.scores, **arguments)["hits"]["hits"]]

    def count(self, kql: str) -> int:
        """Scores that a KQL query finds."""
        self.admin.indices.refresh(index=self.scores)
        return int(self.admin.count(index=self.scores, query={"kql": {"query": kql}})["count"])

    def clear(self) -> None:
        """Remove what the demo itself put into a cluster that stays: its documents and their template."""
        with contextlib.suppress(ApiError, TransportError):
            self.admin.indices.delete_data_stream(name=self.index)
        with contextlib.suppress(ApiError, TransportError):
            self.admin.indices.delete_index_template(name=_TEMPLATE)


@contextlib.contextmanager
def elastic_stage(folder: Path, server: DevServer, model: str) -> Iterator[ElasticStage]:
    """Connect as the user who installs."""
    with Elasticsearch(server.url, basic_auth=(server.user, server.password), request_timeout=60) as admin:
        stage = ElasticStage(folder, server, admin, model, f"logs-qscore_{SOURCE}.events-{NAMESPACE}")
        try:
            yield stage
        finally:
            stage.clear()
