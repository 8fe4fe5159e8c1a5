"""Install and uninstall: carries out what `plan` found, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from elasticsearch import ApiError

from elastic_connector.install.asset_files import Kind, cluster_assets
from elastic_connector.install.changes import Change, plan, wanted_properties
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.score_fields import picked
from scorer.elastic_client.failures import translated
from scorer.wire.errors import ConfigurationError, QScoreError


def install(cluster: Cluster) -> list[Change]:
    """Bring the cluster to what this version has; returns what was changed or kept.

    Raises ConfigurationError, before anything is changed, where a name is taken by somebody else.
    """
    changes = plan(cluster)
    refuse_foreign(changes)
    for change in changes:
        if change.asset is not None and change.action in ("create", "update"):
            cluster.write(change.asset)
    # After the templates: a stream that rolls over takes the new ones.
    for change in changes:
        if change.kind == "data_stream":
            _bring_up(cluster, change)
    return changes


def refuse_foreign(changes: Iterable[Change]) -> None:
    """Refuse what others own: raises ConfigurationError naming everything that somebody else owns."""
    foreign = [change for change in changes if change.action == "foreign"]
    if foreign:
        named = "; ".join(f"{change.kind} {change.name}: {change.why}" for change in foreign)
        raise ConfigurationError(f"names that qscore needs are taken. {named}", "Nothing was changed.")


def _bring_up(cluster: Cluster, change: Change) -> None:
    stream = quote(change.name)
    if change.action == "update":
        # Only what is lacking: some fields (@timestamp, constants that have their value) cannot be put a second time.
        lacking = picked(wanted_properties(cluster, cluster.capabilities()), change.fields)
        cluster.ask("PUT", f"/{stream}/_mapping?write_index_only=true", {"properties": lacking})
    elif change.action == "roll over":
        cluster.ask("POST", f"/{stream}/_rollover")


def removal_plan(cluster: Cluster, delete_data: bool) -> list[Change]:
    """Return what uninstalling removes: only what carries our mark; data only with ``delete_data``."""
    streams = cluster.streams()
    changes = []
    if delete_data:
        changes += [_data(cluster, stream) for stream in streams]
    kept_by = streams if streams and not delete_data else []
    for asset in reversed(cluster_assets(cluster.capabilities(), cluster.names)):
        live = cluster.read(asset.kind, asset.name)
        if live is None:
            continue
        why = _kept(cluster, asset.kind, asset.name, kept_by, delete_data)
        if not live.ours:
            changes.append(Change("foreign", asset.kind, asset.name, why=f"it belongs to {live.owner}: left alone"))
        elif why:
            changes.append(Change("keep", asset.kind, asset.name, why=why))
        else:
            changes.append(Change("remove", asset.kind, asset.name))
    return changes


def _data(cluster: Cluster, stream: str) -> Change:
    return Change("remove", "data_stream", stream, why=f"{cluster.documents(stream)} documents are deleted for good")


def _kept(cluster: Cluster, kind: Kind, name: str, streams: list[str], delete_data: bool) -> str:
    """Return why an asset stays; empty where it goes."""
    if kind == "index":
        held = cluster.documents(name)
        return f"it holds {held} checkpoints; --delete-data removes it" if held and not delete_data else ""
    if streams and name != cluster.names.source_pipeline:
        return f"{_and_more(streams)} was made from it and still holds scores; --delete-data removes both"
    if kind == "ingest_pipeline":
        users = pipeline_users(cluster, name)
        return f"{_and_more(users)} names it as its pipeline; take it out there first" if users else ""
    return ""


def pipeline_users(cluster: Cluster, pipeline: str) -> list[str]:
    """List indices outside our own streams whose settings name ``pipeline``; those we may not see are left out."""
    raw = cluster.ask(
        "GET", "/*/_settings/index.*_pipeline?expand_wildcards=open,closed&flat_settings=true", missing=(403, 404)
    )
    own = f".ds-{cluster.names.scores}-"
    users = [
        index
        for index, body in (raw or {}).items()
        if pipeline in (body.get("settings") or {}).values() and not index.startswith(own)
    ]
    return sorted(users)


def _and_more(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def uninstall(cluster: Cluster, delete_data: bool = False) -> list[Change]:
    """Carry out ``removal_plan``; returns it. Raises QScoreError where a server cannot delete its data streams."""
    changes = removal_plan(cluster, delete_data)
    for change in changes:
        if change.action == "remove":
            _remove(cluster, change)
    return changes


def _remove(cluster: Cluster, change: Change) -> None:
    if change.kind != "data_stream":
        cluster.remove(change.kind, change.name)  # type: ignore[arg-type]  # every other kind is an asset's
        return
    try:
        cluster.request("DELETE", f"/_data_stream/{quote(change.name)}")
    except ApiError as error:
        if error.meta.status == 404:
            return
        if error.meta.status != 405:
            raise translated(error, f"delete {change.name}", "index privilege manage") from None
        raise QScoreError(
            f"this Elasticsearch cannot delete data streams, so {change.name} stays, with the templates it is made of",
            "It is a reduced server, as the one of the tests is; delete its data folder instead.",
        ) from None
