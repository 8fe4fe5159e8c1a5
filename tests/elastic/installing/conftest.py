"""A cluster under a prefix of the test's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from elastic_connector.install.asset_files import Names
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import removal_plan
from tests.elastic.conftest import Server

JSON = {"accept": "application/json", "content-type": "application/json"}


@pytest.fixture
def names() -> Names:
    prefix = "e3" + uuid.uuid4().hex[:10]
    return Names(prefix, f"{prefix}-state")


@pytest.fixture
def cluster(elasticsearch: Server, names: Names) -> Iterator[Cluster]:
    """As the superuser; what the test leaves behind is removed, as far as this server can."""
    made = Cluster(elasticsearch.admin, names)
    yield made
    for change in removal_plan(made, delete_data=False):
        if change.action == "remove":
            made.remove(change.kind, change.name)  # type: ignore[arg-type]


def put_score(cluster: Cluster, identity: str = "1", **fields: Any) -> str:
    stream = f"{cluster.names.scores}-default"
    document = {"@timestamp": "2026-01-01T00:00:00Z", "event": {"id": identity}, **fields}
    cluster.client.create(index=stream, id=identity, document=document, refresh=True)
    return stream
