"""A whole qscore beside the test server: assets, a model, the runtime key, queue, workers, a source of its own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch, helpers

from elastic_connector.assets import Names
from elastic_connector.cluster import Cluster
from elastic_connector.install import install
from elastic_connector.privileges import runtime_role
from scorer.demo.elastic_documents import MAPPINGS
from scorer.registry.keys import Signer
from scorer.registry.store import Registry
from scorer.service.stack import running_stack
from tests.conftest import make_tiny_model

MODEL, VERSION = "lateral", "1-starter"
SOURCE = "events"
_SETTINGS = """
sink = "elastic"

[elastic]
url = "{url}"
api_key_file = "{key}"
namespace = "{namespace}"
settle_seconds = 0.5
poll_seconds = 0.5
lease_seconds = 4
late_seconds = 15
page_documents = 100

[[elastic.sources]]
name = "{source}"
index = "{index}"
model = "{model}"
"""


@dataclass(frozen=True)
class Stage:
    """``index``: the source, an index or a data stream of this test alone."""

    home: Path
    admin: Elasticsearch
    namespace: str
    index: str

    @property
    def scores(self) -> str:
        return f"logs-qscore.scores-{self.namespace}"

    def qscore(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `qscore` command, run to its end."""
        return subprocess.run(
            [sys.executable, "-m", "scorer.cli.main", *arguments],
            env=os.environ | {"QSCORE_HOME": str(self.home), "COLUMNS": "160"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def load(self, documents: Iterable[Mapping[str, Any]]) -> None:
        helpers.bulk(self.admin, ({"_index": self.index, "_source": d} for d in documents), refresh=True)

    def written(self) -> list[dict[str, Any]]:
        """Hits of all scores and errors; heartbeats are none."""
        self.admin.indices.refresh(index=self.scores, ignore_unavailable=True)
        query = {"query": {"bool": {"must_not": [{"term": {"event.kind": "metric"}}]}}}
        return list(helpers.scan(self.admin, index=self.scores, query=query, ignore_unavailable=True))


@contextmanager
def open_stage(folder: Path, server: Any, namespace: str, grain: str = "event") -> Iterator[Stage]:
    """Everything but the connector, which the test runs."""
    admin = server.admin
    install(Cluster(admin, Names()))
    index = f"e4src-{namespace}"
    admin.indices.create(index=index, mappings=MAPPINGS)
    home = folder / "home"
    home.mkdir(mode=0o700)
    key = home / "key"
    key.touch(mode=0o600)
    key.write_text(server.api_key(f"stage-{namespace}", runtime_role([index])))
    text = _SETTINGS.format(url=server.url, key=key, namespace=namespace, source=SOURCE, index=index, model=MODEL)
    (home / "qscore.toml").write_text(text)
    publish(home, grain)
    stage = Stage(home, admin, namespace, index)
    try:
        with running_stack(home, "--port", "0", "--workers", "1"):
            yield stage
    finally:
        admin.indices.delete(index=index, ignore_unavailable=True)


def publish(home: Path, grain: str, seed: int = 5) -> None:
    """One more version of the small model, and live."""
    signer, _ = Signer.load_or_create(home / "private" / "signing_key.pem", home / "trusted_keys")
    model = dataclasses.replace(make_tiny_model(seed=seed), grain=grain)
    registry = Registry(home / "registry", home / "trusted_keys")
    registry.set_alias(MODEL, "live", registry.publish(model, signer))


def logon(start: float, number: int, ingested: float | None = None) -> dict[str, Any]:
    """A document as an agent makes it."""
    return {
        "@timestamp": int(start * 1000),
        "event": {"ingested": int((time.time() if ingested is None else ingested) * 1000), "code": "4624"},
        "user": {"name": f"user{number % 7}"},
        "source": {"ip": f"10.0.0.{number % 11}"},
        "host": {"name": f"SRV{number % 5}"},
    }
