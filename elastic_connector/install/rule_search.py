"""What a detection rule finds, asked of Elasticsearch itself: its KQL, and the aggregations that its type stands for.

A threshold rule groups the matching documents by its fields and alerts on groups with enough documents and enough
different values; a new-terms rule alerts on a combination that occurs in the rule's time and not in its history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.install.rules import Rule
from scorer.wire.errors import NonsenseReply

_PAGE = 1000


@dataclass(frozen=True)
class RuleFinding:
    """What one rule finds: alerts it would raise, and a few of what it alerts on (documents, or groups and counts)."""

    rule: Rule
    alerts: int
    examples: tuple[Mapping[str, Any], ...]


def run_rule(
    client: Elasticsearch, rule: Rule, index: str, start: dt.datetime, end: dt.datetime, examples: int = 5
) -> RuleFinding:
    """Find what ``rule`` alerts on among documents that came in [start, end); ``index``: in place of the rule's own."""
    query = matching(rule, start, end)
    if rule.type == "query":
        return _documents(client, rule, index, query, examples)
    found: list[Mapping[str, Any]] = []
    count = 0
    for group in _groups(client, index, _grouping(rule, start, end)):
        count += 1
        if count <= examples:
            found.append(_example(rule, group))
    return RuleFinding(rule, count, tuple(found))


def _example(rule: Rule, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what Kibana alerts on: a group of a threshold rule, the first document of a new combination."""
    if rule.type == "threshold":
        return {**group["key"], "documents": group["doc_count"]}
    return dict(group["first"]["hits"]["hits"][0]["_source"])


def matching(rule: Rule, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """Return the query of a rule over its time."""
    return _query(str(rule.body["query"]), str(rule.body["timestamp_override"]), start, end)


def _query(kql: str, time_field: str, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    times = {"gte": start.isoformat(), "lt": end.isoformat()}
    return {"bool": {"filter": [{"kql": {"query": kql}}, {"range": {time_field: times}}]}}


def _documents(client: Elasticsearch, rule: Rule, index: str, query: Mapping[str, Any], examples: int) -> RuleFinding:
    answer = client.search(index=index, query=query, size=examples, track_total_hits=True, sort="event.ingested")
    hits = answer["hits"]
    return RuleFinding(rule, int(hits["total"]["value"]), tuple(hit["_source"] for hit in hits["hits"]))


def _grouping(rule: Rule, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    """Return the query and the composite aggregation (without its page) whose buckets are the alerts."""
    return _threshold(rule, start, end) if rule.type == "threshold" else _new_terms(rule, start, end)


def _threshold(rule: Rule, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    given = rule.body["threshold"]
    paths, conditions, inner = {"documents": "_count"}, [f"params.documents >= {int(given['value'])}"], {}
    for number, part in enumerate(given.get("cardinality", [])):
        inner[f"different{number}"] = {"cardinality": {"field": part["field"]}}
        paths[f"different{number}"] = f"different{number}"
        conditions.append(f"params.different{number} >= {int(part['value'])}")
    inner["enough"] = {"bucket_selector": {"buckets_path": paths, "script": " && ".join(conditions)}}
    return {"query": matching(rule, start, end), "fields": given["field"], "inner": inner}


def _new_terms(rule: Rule, start: dt.datetime, end: dt.datetime) -> dict[str, Any]:
    time_field = str(rule.body["timestamp_override"])
    history = end - _ago(str(rule.body["history_window_start"]))
    before = {"filter": {"range": {time_field: {"lt": start.isoformat()}}}}
    new = {"bucket_selector": {"buckets_path": {"before": "before._count"}, "script": "params.before == 0"}}
    return {
        "query": _query(str(rule.body["query"]), time_field, min(history, start), end),
        "fields": rule.body["new_terms_fields"],
        "inner": {"before": before, "new": new, "first": {"top_hits": {"size": 1, "sort": [time_field]}}},
    }


_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _ago(text: str) -> dt.timedelta:
    """Read ``now-14d`` as a length of time."""
    amount = text.removeprefix("now-")
    return dt.timedelta(**{_UNITS[amount[-1]]: int(amount[:-1])})


def _groups(client: Elasticsearch, index: str, grouping: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    sources = [{name: {"terms": {"field": name}}} for name in grouping["fields"]]
    after: Mapping[str, Any] | None = None
    while True:
        composite: dict[str, Any] = {"size": _PAGE, "sources": sources}
        if after:
            composite["after"] = after
        aggregation = {"groups": {"composite": composite, "aggregations": grouping["inner"]}}
        answer = client.search(index=index, query=grouping["query"], size=0, aggregations=aggregation)
        try:
            page = answer["aggregations"]["groups"]
            yield from page["buckets"]
        except (KeyError, TypeError):
            raise NonsenseReply("Elasticsearch's answer about a rule's groups has not its form") from None
        after = page.get("after_key")
        if not after:
            return
