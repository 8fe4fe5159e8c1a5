"""`uninstall --delete-data` against a cluster that can delete data streams, as the development server cannot.

The stand-in refuses what Elasticsearch 8.19 refuses, in its words: a template that a stream uses, a component template
that a template uses, a pipeline that an index names. Everything else it does not know is an error of the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.install.asset_files import Capabilities, Names, cluster_assets
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import removal_plan, uninstall
from tests.unit.elastic_client.servers import Canned, scripted_server

NAMES = Names()
STREAMS = {f"{NAMES.scores}-default": 3, f"{NAMES.scores}-soc": 0}
TEMPLATE, COMPONENT, PIPELINE = NAMES.scores, NAMES.mappings_template, NAMES.source_pipeline
_FOLDERS = {
    "_component_template": "component_template",
    "_index_template": "index_template",
    "_ingest/pipeline": "ingest_pipeline",
}


@dataclass
class Strict:
    """``assets``: (kind, name) -> body with its mark. ``streams``: data stream -> documents. ``users``: indices that
    name our pipeline. ``deleted``: in order."""

    assets: dict[tuple[str, str], dict[str, Any]]
    streams: dict[str, int]
    users: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    def __call__(self, method: str, path: str, _body: bytes) -> Canned:
        path = unquote(path.partition("?")[0]).strip("/")
        if path == "_index_template/_simulate":
            return Canned(200, {})
        if path.startswith("_resolve/index/"):
            listed = [{"name": name, "backing_indices": [_backing(name)]} for name in self.streams]
            return Canned(200, {"data_streams": listed, "indices": []})
        if path.endswith("/_count"):
            name = path.partition("/")[0]
            known = self.streams.get(name, 7 if ("index", name) in self.assets else None)
            return _missing(name) if known is None else Canned(200, {"count": known})
        if path.startswith("*/_settings"):
            return Canned(200, {name: {"settings": {"index.final_pipeline": PIPELINE}} for name in self.users})
        return self._asset(method, path)

    def _asset(self, method: str, path: str) -> Canned:
        folder, _, name = path.rpartition("/")
        if folder == "_data_stream":
            found = self.streams.pop(name, None) is not None if method == "DELETE" else pytest.fail(path)
        else:
            kind = _FOLDERS.get(folder, "index") if folder else "index"
            body = self.assets.get((kind, name))
            if body is not None and method == "GET":
                return Canned(200, _shown(kind, name, body))
            assert method in ("GET", "DELETE"), f"{method} {path}"
            if body is not None and (why := self._in_use(kind, name)):
                return Canned(400, {"error": {"type": "illegal_argument_exception", "reason": why}})
            found = self.assets.pop((kind, name), None) is not None
        if not found:
            return _missing(name)
        self.deleted.append(name)
        return Canned(200, {"acknowledged": True})

    def _in_use(self, kind: str, name: str) -> str:
        streams = ", ".join(self.streams)
        if kind == "index_template" and streams:
            return f"unable to remove composable templates [{name}] as they are in use by a data streams [{streams}]"
        if kind == "component_template" and ("index_template", TEMPLATE) in self.assets:
            return f"component templates [{name}] cannot be removed as they are still in use by index templates"
        if name == PIPELINE and self.users:
            return f"pipeline [{name}] cannot be deleted because it is the final pipeline for {len(self.users)} indices"
        return ""


def _backing(stream: str) -> str:
    return f".ds-{stream}-2026.01.01-000001"


def _missing(name: str) -> Canned:
    return Canned(404, {"error": {"type": "resource_not_found_exception", "reason": f"[{name}] not found"}})


def _shown(kind: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    if kind in ("index_template", "component_template"):
        return {f"{kind}s": [{"name": name, kind: body}]}
    return {name: body}


@pytest.fixture
def strict() -> Strict:
    assets = {(str(asset.kind), asset.name): asset.marked() for asset in cluster_assets(Capabilities())}
    return Strict(assets, dict(STREAMS))


@pytest.fixture
def cluster(strict: Strict) -> Iterator[Cluster]:
    with scripted_server(strict) as url, Elasticsearch(url, max_retries=0) as client:
        yield Cluster(client, NAMES)


def test_all_goes_in_the_order_that_elasticsearch_takes(cluster: Cluster, strict: Strict) -> None:
    names = {asset.name for asset in cluster_assets(Capabilities())}
    planned = removal_plan(cluster, delete_data=True)
    assert [change.why for change in planned[:2]] == [
        "3 documents are deleted for good", "0 documents are deleted for good"
    ]  # fmt: skip
    assert strict.deleted == [], "a plan changes nothing"
    assert {change.action for change in uninstall(cluster, delete_data=True)} == {"remove"}
    assert (strict.assets, strict.streams) == ({}, {})
    assert strict.deleted[:2] == list(STREAMS)
    assert set(strict.deleted[2:]) == names
    assert uninstall(cluster, delete_data=True) == [], "a second time finds nothing"


def test_without_it_data_and_what_data_needs_stay(cluster: Cluster, strict: Strict) -> None:
    kept = {change.name for change in uninstall(cluster) if change.action == "keep"}
    assert kept == {TEMPLATE, COMPONENT, NAMES.settings_template, NAMES.state_index}
    assert strict.streams == STREAMS
    assert strict.deleted == [PIPELINE]


def test_a_pipeline_that_an_index_names_stays_also_where_all_data_goes(cluster: Cluster, strict: Strict) -> None:
    strict.users.append("logs-mine")
    kept = {change.name: change.why for change in uninstall(cluster, delete_data=True) if change.action == "keep"}
    assert list(kept) == [PIPELINE]
    assert kept[PIPELINE].startswith("logs-mine names it")
    assert set(strict.assets) == {("ingest_pipeline", PIPELINE)}


def test_what_is_not_ours_stays_where_it_is(cluster: Cluster, strict: Strict) -> None:
    strict.assets["index_template", TEMPLATE]["_meta"] = {"managed_by": "fleet"}
    changes = {change.name: change.action for change in removal_plan(cluster, delete_data=True)}
    assert changes[TEMPLATE] == "foreign"
    assert changes[COMPONENT] == "remove"


def test_a_stream_that_is_gone_in_the_meantime_is_as_good_as_deleted(cluster: Cluster, strict: Strict) -> None:
    planned = removal_plan(cluster, delete_data=True)
    strict.streams.clear()
    assert [change.name for change in planned[:2]] == list(STREAMS)
    assert "remove" in {change.action for change in uninstall(cluster, delete_data=True)}
    assert strict.assets == {}
