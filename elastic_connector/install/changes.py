"""What an installation would change: the assets against the cluster. Reads only."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from elastic_connector.install.asset_files import Asset, Capabilities, Names, cluster_assets
from elastic_connector.install.cluster import Cluster, Live
from elastic_connector.install.score_fields import leaves, mappings, merged

Action = Literal["keep", "create", "update", "roll over", "remove", "foreign"]

#: What is written on the left and right of a diff.
_LIVE, _OURS = "in the cluster", "of this version"


@dataclass(frozen=True)
class Change:
    """One thing and what is to happen to it. ``lines``: the difference, for a reader. ``why``: one sentence."""

    action: Action
    kind: str
    name: str
    lines: tuple[str, ...] = ()
    why: str = ""
    asset: Asset | None = None
    fields: tuple[str, ...] = ()  # of a stream: those that its newest index lacks


def plan(cluster: Cluster) -> list[Change]:
    """Compare every asset and every existing stream of scores with ours, in the order of an installation."""
    capabilities = cluster.capabilities()
    changes = [_asset_change(cluster, asset) for asset in cluster_assets(capabilities, cluster.names)]
    wanted = dict(leaves(wanted_properties(cluster, capabilities)))
    for stream, backing in cluster.backing_indices().items():
        changes.append(_stream_change(cluster, stream, backing[-1], wanted))
    return changes


def differences(changes: list[Change]) -> list[Change]:
    """Return those changes whose thing is not as this version has it."""
    return [change for change in changes if change.action != "keep"]


def _asset_change(cluster: Cluster, asset: Asset) -> Change:
    live = cluster.read(asset.kind, asset.name)
    if live is None:
        return Change("create", asset.kind, asset.name, json_diff({}, asset.body), asset=asset)
    if not live.ours:
        return Change("foreign", asset.kind, asset.name, (), _foreign(live, asset, cluster.names), asset)
    lines = json_diff(live.content, asset.body)
    if not lines and live.mark.get("sha256") == asset.digest:
        return Change("keep", asset.kind, asset.name, asset=asset)
    return Change("update", asset.kind, asset.name, lines, _why(live, asset), asset)


def _foreign(live: Live, asset: Asset, names: Names) -> str:
    if live.owner == "fleet":
        return "Fleet's integration package installed it: use the package or `qscore elastic install`, not both"
    if asset.kind == "index":
        return f"qscore did not make it: set elastic.state_index to another name than {names.state_index}"
    return f"it belongs to {live.owner}: rename or remove it"


def _why(live: Live, asset: Asset) -> str:
    before = str(live.mark.get("version", "?"))[:20]
    if live.mark.get("sha256") == asset.digest:
        return f"it was changed by hand since version {before} installed it"
    return f"version {before} installed it"


def json_diff(live: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lines of a unified diff; empty where both say the same."""
    before, after = (json.dumps(side, indent=1, sort_keys=True).splitlines() if side else [] for side in (live, ours))
    return tuple(difflib.unified_diff(before, after, _LIVE, _OURS, n=2, lineterm=""))


def wanted_properties(cluster: Cluster, capabilities: Capabilities) -> dict[str, Any]:
    """Return what a stream's newest index should map; the user's own template has the last word."""
    ours = mappings(capabilities.constant_keyword, cluster.names.prefix)["properties"]
    custom = cluster.read("component_template", cluster.names.custom_template)
    template = custom.content.get("template") if custom is not None else None
    theirs = template.get("mappings") if isinstance(template, Mapping) else None
    return merged(ours, (theirs.get("properties") or {}) if isinstance(theirs, Mapping) else {})


def _stream_change(cluster: Cluster, stream: str, index: str, wanted: Mapping[str, str]) -> Change:
    live = dict(leaves(cluster.mapping(index).get("properties") or {}))
    lacking = sorted(name for name in wanted if name not in live)
    other = sorted(name for name in wanted if name in live and live[name] != wanted[name])
    lines = [f"+ {name}: {wanted[name]}" for name in lacking]
    lines += [f"- {name}: {live[name]} -> {wanted[name]}" for name in other]
    if other:
        why = "a field's type cannot be changed in an index that exists: new scores need a new one"
        return Change("roll over", "data_stream", stream, tuple(lines), why)
    if lacking:
        why = f"its newest index lacks {len(lacking)} of the fields"
        return Change("update", "data_stream", stream, tuple(lines), why, fields=tuple(lacking))
    return Change("keep", "data_stream", stream)
