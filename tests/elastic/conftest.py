"""Fixtures for tests on a real Elasticsearch: one server for the whole run; connector and sink get the runtime key."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from demo.elasticsearch_server import DevServer, available, dev_server, missing


@dataclass(frozen=True)
class Server:
    """``admin`` is the superuser: for what a test sets up or inspects, never for what it tests."""

    dev: DevServer
    admin: Elasticsearch

    @property
    def url(self) -> str:
        return self.dev.url

    def api_key(self, name: str, role: dict[str, Any]) -> str:
        """The encoded API key with exactly ``role``."""
        made = self.admin.security.create_api_key(name=name, role_descriptors={name: role})
        return str(made["encoded"])

    def runtime_key(self) -> str:
        """The key of least privilege that `qscore elastic install` makes for the running connector."""
        from elastic_connector.install.privileges import RUNTIME

        return self.api_key(f"runtime-{uuid.uuid4().hex[:8]}", RUNTIME)

    def revoke(self, encoded: str) -> None:
        """End an API key."""
        self.admin.security.invalidate_api_key(ids=[base64.b64decode(encoded).decode().partition(":")[0]])

    def now(self) -> float:
        """Epoch seconds by the server's clock."""
        answer: Any = self.admin.cat.health(format="json", h="epoch").body
        return float(answer[0]["epoch"])

    def client(self, encoded: str) -> Elasticsearch:
        """A client that holds this key."""
        return Elasticsearch(self.url, api_key=encoded, request_timeout=30, max_retries=0)


@pytest.fixture(scope="session")
def elasticsearch(require: Callable[[bool, str], None]) -> Iterator[Server]:
    """The server that is given, or one started for this run."""
    require(available(), ". ".join(missing()))
    with dev_server(print) as dev:
        admin = Elasticsearch(dev.url, basic_auth=(dev.user, dev.password), request_timeout=60)
        server = Server(dev, admin)
        try:
            server.revoke(server.api_key("first", {}))  # makes the index .security, so that no test finds it new
            yield server
        finally:
            admin.close()


@pytest.fixture(scope="session")
def installed(elasticsearch: Server) -> Server:
    """The server with the templates, pipelines and state index that `qscore elastic install` makes."""
    from elastic_connector.install.asset_files import Names
    from elastic_connector.install.cluster import Cluster
    from elastic_connector.install.installer import install

    install(Cluster(elasticsearch.admin, Names()))
    return elasticsearch


@pytest.fixture
def namespace() -> str:
    """A data stream namespace of this test alone."""
    return "t" + uuid.uuid4().hex[:10]


@pytest.fixture
def key_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes an encoded key where settings expect one: a file that its owner alone may read."""

    def write(encoded: str) -> Path:
        path = tmp_path / f"key-{uuid.uuid4().hex[:8]}"
        path.touch(mode=0o600)
        path.write_text(encoded)
        os.chmod(path, 0o600)  # noqa: PTH101
        return path

    return write
