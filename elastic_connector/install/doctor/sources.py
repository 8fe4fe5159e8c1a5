"""The parts of `qscore elastic doctor` that look at data: the scores' streams, the sources, lease and lag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from elastic_connector.install.cluster import Cluster
from elastic_connector.install.doctor.findings import Finding, ok
from elastic_connector.install.score_fields import field_types, leaves
from elastic_connector.read.closed_indices import closed_indices
from scorer.elastic_client.copies import no_place
from scorer.elastic_client.failures import Missing
from scorer.elastic_client.moments import from_iso, iso, millis, seconds
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.wire.errors import NonsenseReply

_DATES = ("date", "date_nanos")
#: Seconds above which a lag is said to be one: reading, settling and scoring take their time.
_SLACK = 120.0
_FINAL_PIPELINE = 'Name {pipeline} as the source\'s index.final_pipeline, or set time_field = "@timestamp".'


def check_streams(cluster: Cluster, settings: ElasticSettings) -> Iterator[Finding]:
    """Check the streams of scores: whether there are any, and whether they take writes."""
    wanted = {f"{cluster.names.scores}-{settings.namespace_of(source)}" for source in settings.sources}
    streams = cluster.backing_indices()
    for stream in sorted(wanted - set(streams)):
        yield Finding("scores", "warn", f"{stream} holds nothing yet", "It appears with the first score.")
    if cluster.ask("GET", f"/{quote(settings.state_index)}/_mapping", missing=(404,)) is None:
        yield Finding("scores", "fail", f"there is no index {settings.state_index}", "Run `qscore elastic install`.")
    for stream, backing in sorted(streams.items()):
        yield from _mapped(cluster, stream, backing[-1])
        blocked = _block(cluster, backing[-1])
        if blocked:
            remedy = "Free disk space on the cluster; Elasticsearch lifts the block itself. Nothing is lost meanwhile."
            yield Finding("scores", "fail", f"{stream} takes no writes ({blocked})", remedy)
        else:
            yield ok("scores", f"{stream}: {cluster.documents(stream)} documents in {len(backing)} indices")


def _mapped(cluster: Cluster, stream: str, index: str) -> Iterator[Finding]:
    """Check the newest index against the fields of this version; needs no privilege on templates."""
    there = dict(leaves(cluster.mapping(index).get("properties") or {}))
    lacking = sorted(set(field_types()) - set(there))
    if lacking:
        said = f"the newest index of {stream} lacks {len(lacking)} fields, such as {lacking[0]}"
        yield Finding("scores", "warn", said, "Run `qscore elastic install`, which adds them or rolls over.")


def _block(cluster: Cluster, index: str) -> str:
    raw = cluster.ask("GET", f"/{quote(index)}/_settings/index.blocks.*?flat_settings=true")
    settings = (raw.get(index) or {}).get("settings") or {}
    return ", ".join(sorted(name for name, value in settings.items() if str(value) == "true"))


def check_source(cluster: Cluster, settings: ElasticSettings, source: ElasticSource) -> Iterator[Finding]:
    """Check one source: its indices, its time field, its fields, its lease and its lag."""
    check = f"source {source.name}"
    fields = _fields(cluster, source)
    if fields is None:
        remedy = "Check `index`, and that the key may read it. A source without documents yet is no fault."
        yield Finding(check, "warn", f"no index matches {source.index}", remedy)
        return
    yield _time_field(cluster, source, fields)
    yield from _closed(cluster, source)
    yield from _query(cluster, source)
    yield from _copied(cluster, settings, source)
    yield from _lease_and_lag(cluster, settings, source)


def _fields(cluster: Cluster, source: ElasticSource) -> Mapping[str, Any] | None:
    """Read field -> type -> capabilities, over the source's indices; None where there is no index."""
    path = f"/{quote(source.index, safe=',*-:')}/_field_caps?ignore_unavailable=true&allow_no_indices=true"
    raw = cluster.ask("GET", f"{path}&fields={quote(source.time_field)}", missing=(404,))
    if raw is None or not raw.get("indices"):
        return None
    fields = raw.get("fields")
    if not isinstance(fields, Mapping):
        raise NonsenseReply("Elasticsearch's list of fields has not its form")
    return fields


def _time_field(cluster: Cluster, source: ElasticSource, fields: Mapping[str, Any]) -> Finding:
    check, name = f"source {source.name}", source.time_field
    types = {kind for kind in fields.get(name, {}) if kind != "unmapped"}
    remedy = _FINAL_PIPELINE.format(pipeline=cluster.names.source_pipeline)
    if not types:
        return Finding(check, "fail", f"no document of {source.index} has the time field {name}", remedy)
    if not types <= set(_DATES):
        found = ", ".join(sorted(types))
        return Finding(
            check, "fail", f"{name} is of type {found}, not a date", "Map it as date, or name another time_field."
        )
    without = _count(cluster, source, {"bool": {"must_not": [{"exists": {"field": name}}]}})
    if without:
        return Finding(check, "warn", f"{without} documents have no {name} and are not scored", remedy)
    return ok(check, f"{source.index} is read by {name}")


def _closed(cluster: Cluster, source: ElasticSource) -> Iterator[Finding]:
    closed = closed_indices(cluster.client, source.index)
    if closed:
        said = f"{len(closed)} closed indices are not read, such as {closed[0][:120]}"
        yield Finding(f"source {source.name}", "warn", said, "Open them, then run `qscore elastic backfill`.")


def _query(cluster: Cluster, source: ElasticSource) -> Iterator[Finding]:
    if source.query:
        matching = _count(cluster, source, {"kql": {"query": source.query}})
        if matching:
            yield ok(f"source {source.name}", f"{matching} documents match its query")
        else:
            said = f"no document matches its query {source.query[:120]!r}"
            yield Finding(f"source {source.name}", "warn", said, "Try the query in Discover.")


def _copied(cluster: Cluster, settings: ElasticSettings, source: ElasticSource) -> Iterator[Finding]:
    """Find copied fields that have no place on a score, and those that are kept there without being searchable."""
    check, mapped = f"source {source.name}", _mapped_types(cluster, settings, source)
    misplaced = {name: why for name in source.copy_fields if (why := no_place(name) or _below(name, mapped))}
    for name, why in misplaced.items():
        remedy = f"Take it out of `copy` of the source {source.name}; scores are written without it, and flagged."
        yield Finding(check, "warn", f"{name} is not copied onto scores: {why}", remedy)
    flattened = tuple(f"{name}." for name, kind in mapped.items() if kind == "flattened")
    unmapped = {name for name in source.copy_fields if name not in mapped and not name.startswith(flattened)}
    if unmapped - misplaced.keys():
        said = f"copied fields that cannot be searched on scores: {', '.join(sorted(unmapped - misplaced.keys()))}"
        remedy = "Map them in the component template logs-qscore.scores@custom; they are kept in _source meanwhile."
        yield Finding(check, "warn", said, remedy)


def _mapped_types(cluster: Cluster, settings: ElasticSettings, source: ElasticSource) -> Mapping[str, str]:
    """Read field -> type: the template's fields, and those that the user's templates gave to the newest index."""
    backing = cluster.backing_indices().get(f"{cluster.names.scores}-{settings.namespace_of(source)}")
    there = dict(leaves(cluster.mapping(backing[-1]).get("properties") or {})) if backing else {}
    return field_types() | there


def _below(name: str, mapped: Mapping[str, str]) -> str:
    """Return why a name has no place in a mapping of the user's; empty where it has one."""
    parts = name.split(".")
    above = (".".join(parts[:length]) for length in range(1, len(parts)))
    leaf = next((one for one in above if mapped.get(one, "flattened") != "flattened"), "")
    return f"{leaf} is mapped as {mapped[leaf]}, and nothing can stand below it" if leaf else ""


def _count(cluster: Cluster, source: ElasticSource, query: Mapping[str, Any]) -> int:
    path = f"/{quote(source.index, safe=',*-:')}/_count?ignore_unavailable=true"
    raw = cluster.ask("POST", path, {"query": query})
    count = raw.get("count") if isinstance(raw, Mapping) else None
    if not isinstance(count, int):
        raise NonsenseReply("Elasticsearch's count has not its form")
    return count


def _lease_and_lag(cluster: Cluster, settings: ElasticSettings, source: ElasticSource) -> Iterator[Finding]:
    check, name = f"source {source.name}", f"{source.name}:{source.model}"
    raw = cluster.ask("GET", f"/{quote(settings.state_index)}/_doc/{quote(name, safe='')}", missing=(404,))
    state = raw.get("_source") if isinstance(raw, Mapping) else None
    if not isinstance(state, Mapping):
        yield Finding(check, "warn", "it has never been read", "Start `qscore elastic run`.")
        return
    now = _server_time(cluster)
    yield _lease(check, state, now, settings)
    checkpoint = state.get("checkpoint") or {}
    if not checkpoint.get("time"):
        yield Finding(check, "warn", "nothing has been acknowledged yet", "Look at the connector's log and the queue.")
        return
    behind = _seconds(checkpoint["time"], check)
    waiting = _count(cluster, source, _after(source, str(checkpoint["time"]), now, settings))
    lag = now - behind - settings.settle_seconds
    said = f"scored up to {checkpoint['time']}, "
    # A source in which nothing happens has an old checkpoint, and is not behind.
    said += f"{max(lag, 0):.0f} s behind, {waiting} documents waiting" if waiting else "nothing waits"
    if waiting and lag > _SLACK + settings.overlap_seconds:
        yield Finding(
            check, "warn", said, "See whether the queue grows (`qscore status`): add workers, or backfill less."
        )
    else:
        yield ok(check, said)


def _after(source: ElasticSource, checkpoint: str, now: float, settings: ElasticSettings) -> dict[str, Any]:
    upper = iso(millis(now - settings.settle_seconds))
    filters: list[dict[str, Any]] = [{"range": {source.time_field: {"gt": checkpoint, "lt": upper}}}]
    if source.query:
        filters.append({"kql": {"query": source.query}})
    return {"bool": {"filter": filters}}


def _lease(check: str, state: Mapping[str, Any], now: float, settings: ElasticSettings) -> Finding:
    owner, epoch = str(state.get("owner") or "")[:120], state.get("epoch")
    remedy = "Start `qscore elastic run`, or see its log for why it stopped."
    if not owner:
        return Finding(check, "warn", f"nobody reads it (epoch {epoch}); the last connector stopped cleanly", remedy)
    silent = now - _seconds(str(state.get("updated")), check)
    if silent > 2 * settings.lease_seconds:
        return Finding(check, "fail", f"{owner} holds the lease but has been silent for {silent:.0f} s", remedy)
    return ok(check, f"read by {owner} (epoch {epoch})")


def _server_time(cluster: Cluster) -> float:
    raw = cluster.ask("GET", "/_cat/health?format=json&h=epoch")
    try:
        return float(raw[0]["epoch"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise Missing("it does not tell its time") from None


def _seconds(text: str, check: str) -> float:
    try:
        return seconds(from_iso(text))
    except ValueError:
        raise NonsenseReply(f"the state of {check} holds the time {text[:40]!r}", "Delete that document.") from None
