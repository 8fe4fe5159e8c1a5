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

from demo.elastic_documents import MAPPINGS
from demo.elastic_setup import SCORES_QUERY, Source, settings_text, write_runtime_key
from demo.running_stack import running_stack
from elastic_connector.install.asset_files import Names
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install
from tests.conftest import make_tiny_model, publish_model

MODEL, VERSION = "lateral", "1-starter"
SOURCE = "events"
#: Times are short, so that tests are.
_TIMES = {"settle_seconds": 0.5, "poll_seconds": 0.5, "lease_seconds": 4, "late_seconds": 15, "page_documents": 100}


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
        query = {"query": SCORES_QUERY}
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
    write_runtime_key(admin, f"stage-{namespace}", [index], home / "key")
    text = settings_text(server.url, home / "key", namespace, [Source(SOURCE, index, MODEL)], **_TIMES)
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
    publish_model(home, dataclasses.replace(make_tiny_model(seed=seed), grain=grain), live=True)


def logon(start: float, number: int, ingested: float | None = None) -> dict[str, Any]:
    """A document as an agent makes it."""
    return {
        "@timestamp": int(start * 1000),
        "event": {"ingested": int((time.time() if ingested is None else ingested) * 1000), "code": "4624"},
        "user": {"name": f"user{number % 7}"},
        "source": {"ip": f"10.0.0.{number % 11}"},
        "host": {"name": f"SRV{number % 5}"},
    }
