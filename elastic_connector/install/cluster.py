"""The cluster as the installer sees it: reads, writes and removes the assets; says what streams there are.

Requests go through the client's low level, because the assets are sent exactly as they stand in the folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from elasticsearch import ApiError, Elasticsearch, TransportError

from elastic_connector.install.asset_files import MANAGED_BY, Asset, Capabilities, Kind, Names
from scorer.elastic_client.failures import reached, translated
from scorer.wire.errors import NonsenseReply

_JSON = {"accept": "application/json", "content-type": "application/json"}
_VERBS = {"GET": "read", "PUT": "put", "POST": "call", "DELETE": "delete"}
_PATHS: Mapping[Kind, str] = {
    "component_template": "/_component_template/",
    "ingest_pipeline": "/_ingest/pipeline/",
    "index_template": "/_index_template/",
    "index": "/",
}
#: What an asset's content consists of; whatever else a server returns (dates, marks) is its own.
_CONTENT: Mapping[Kind, tuple[str, ...]] = {
    "component_template": ("template", "version"),
    "ingest_pipeline": ("description", "processors", "on_failure", "version"),
    "index_template": (
        "index_patterns", "data_stream", "priority", "composed_of", "ignore_missing_component_templates", "template",
        "version", "allow_auto_create",
    ),
    "index": ("mappings", "settings"),
}  # fmt: skip

#: Settings that an index has for life.
_FIXED = frozenset({"number_of_shards"})


@dataclass(frozen=True)
class Live:
    """An asset as it is in the cluster: its content in the form of ours, and the mark that it carries."""

    content: Mapping[str, Any]
    mark: Mapping[str, Any]

    @property
    def ours(self) -> bool:
        """Tell whether qscore installed it."""
        return self.mark.get("managed_by") == MANAGED_BY

    @property
    def owner(self) -> str:
        """Return who says that it is theirs, for a message."""
        return str(self.mark.get("managed_by") or "somebody else")[:80]


class Cluster:
    """Thin: every method is one or two requests. Raises what ``scorer.elastic_client.failures.reached`` raises."""

    def __init__(self, client: Elasticsearch, names: Names) -> None:
        self.client = client
        self.names = names

    def ask(self, method: str, path: str, body: Any = None, missing: tuple[int, ...] = ()) -> Any:
        """Send a request; returns the decoded answer, None for one in ``missing``. Raises what `reached` raises."""
        what = path.partition("?")[0]
        with reached(f"{_VERBS[method]} {what}", "privileges that docs/elastic.md lists under Keys"):
            try:
                return self.request(method, path, body)
            except ApiError as error:
                if error.meta.status in missing:
                    return None
                raise

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; returns the decoded answer. Raises the client's own errors, for callers that need them."""
        headers = _JSON if body is not None else {"accept": "application/json"}
        return self.client.perform_request(method, path, headers=headers, body=body).body

    def capabilities(self) -> Capabilities:
        """Ask what the server can do, by simulating a template, which changes nothing."""
        mapping = {"properties": {"probe": {"type": "constant_keyword"}}}
        body = {"index_patterns": [f"{self.names.prefix}-capability-probe-*"], "template": {"mappings": mapping}}
        try:
            self.request("POST", "/_index_template/_simulate", body)
        except ApiError as error:
            if error.meta.status != 400 or "constant_keyword" not in str(error.body):
                raise translated(error, "simulate a template", "cluster privilege manage_index_templates") from None
            return Capabilities(constant_keyword=False)
        except TransportError as error:
            raise translated(error, "simulate a template") from None
        return Capabilities()

    def read(self, kind: Kind, name: str) -> Live | None:
        """Read the asset as it is; None where there is none. Raises NonsenseReply."""
        raw = self.ask("GET", _path(kind, name), missing=(404,))
        if raw is None:
            return None
        try:
            return _live(kind, name, raw)
        except (AttributeError, IndexError, KeyError, TypeError):
            raise NonsenseReply(f"Elasticsearch's answer about the {kind} {name} has not its form") from None

    def write(self, asset: Asset) -> None:
        """Create it, or put it in place of what is there."""
        body = asset.marked()
        if asset.kind == "index" and self.read("index", asset.name) is not None:
            self.ask("PUT", f"/{quote(asset.name)}/_mapping", body["mappings"])
            changing = {key: value for key, value in body["settings"]["index"].items() if key not in _FIXED}
            self.ask("PUT", f"/{quote(asset.name)}/_settings", {"index": changing})
            return
        self.ask("PUT", _path(asset.kind, asset.name), body)

    def remove(self, kind: Kind, name: str) -> None:
        """Remove it; one that is gone already is as good."""
        self.ask("DELETE", _path(kind, name), missing=(404,))

    def streams(self) -> list[str]:
        """List the data streams of scores, of every namespace."""
        return list(self.backing_indices())

    def backing_indices(self) -> dict[str, list[str]]:
        """List by data stream of scores its backing indices, oldest first."""
        raw = self.ask("GET", f"/_resolve/index/{self.names.scores}-*", missing=(404,)) or {}
        try:
            return {str(s["name"]): [str(i) for i in s["backing_indices"]] for s in raw.get("data_streams", [])}
        except (AttributeError, KeyError, TypeError):
            raise NonsenseReply("Elasticsearch's list of data streams has not its form") from None

    def mapping(self, index: str) -> Mapping[str, Any]:
        """Read the mapping of one index."""
        raw = self.ask("GET", f"/{quote(index)}/_mapping")
        try:
            return dict(raw[index]["mappings"])
        except (KeyError, TypeError):
            raise NonsenseReply(f"Elasticsearch's answer about the mapping of {index} has not its form") from None

    def documents(self, index: str) -> int:
        """Count how many documents an index or a stream holds, closed indices left out; 0 where there is none."""
        raw = self.ask("GET", f"/{quote(index)}/_count?ignore_unavailable=true", missing=(404,))
        count = raw.get("count") if isinstance(raw, Mapping) else 0
        return count if isinstance(count, int) else 0


def _path(kind: Kind, name: str) -> str:
    return _PATHS[kind] + quote(name, safe="@")


def _live(kind: Kind, name: str, raw: Any) -> Live:
    if kind == "index_template":
        body = dict(raw["index_templates"][0]["index_template"])
        body["data_stream"] = {key: value for key, value in body.get("data_stream", {}).items() if value}
    elif kind == "component_template":
        body = dict(raw["component_templates"][0]["component_template"])
    else:
        body = dict(raw[name])
    mark = body.get("_meta") or {}
    if kind == "index":
        mappings = dict(body["mappings"])
        mark = mappings.pop("_meta", None) or {}
        body = {"mappings": mappings, "settings": _settings(body["settings"])}
    content = {key: body[key] for key in _CONTENT[kind] if key in body}
    return Live(content, mark if isinstance(mark, Mapping) else {})


def _settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that we set; the others are the server's own."""
    index = raw["index"]
    known = ("number_of_shards", "auto_expand_replicas", "hidden")
    return {"index": {key: index[key] for key in known if key in index}}
