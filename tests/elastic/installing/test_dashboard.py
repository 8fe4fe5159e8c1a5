"""The dashboard's panels on a real Elasticsearch: what each asks for is there and can be aggregated."""

from __future__ import annotations

from typing import Any

import pytest

from elastic_connector.install.dashboard import Panel, dashboard, load_dashboard
from tests.elastic.conftest import Server
from tests.unit.elastic_connector.install.read_back import used_fields
from tests.unit.elastic_connector.install.test_assets import FULL_ROW, beat, document, error_row

AGGREGATIONS = {"average": "avg", "max": "max", "unique_count": "cardinality", "last_value": "top_hits"}


@pytest.fixture
def stream(installed: Server, namespace: str) -> str:
    """A stream with one score over the line, one critical, one error and one heartbeat."""
    name = f"logs-qscore.scores-{namespace}"
    critical = {**FULL_ROW, "id": "b" * 64, "band": "critical", "risk": 99}
    made = [document(row, namespace) for row in (FULL_ROW, critical, error_row())]
    heartbeat = beat()
    heartbeat["data_stream"]["namespace"] = namespace
    for number, body in enumerate([*made, heartbeat]):
        installed.admin.create(index=name, id=str(number), document=body, refresh=True)
    return name


def metric(operation: str, field: str) -> dict[str, Any]:
    if operation == "last_value":
        return {"top_hits": {"size": 1, "sort": [{"@timestamp": "desc"}], "docvalue_fields": [field], "_source": False}}
    return {AGGREGATIONS[operation]: {"field": field}}


def body_of(panel: Panel) -> dict[str, Any]:
    """The search that Lens makes of a panel: its query, its groups, its metrics."""
    inner = {f"m{n}": metric(m.operation, m.field) for n, m in enumerate(panel.metrics) if m.field}
    for name in (*panel.rows, *([panel.split] if panel.split else [])):
        inner = {"group": {"terms": {"field": name}, "aggregations": inner}}
    filters = [{"kql": {"query": query}} for query in (load_dashboard().query, panel.query)]
    return {"size": 0, "query": {"bool": {"filter": filters}}, "aggregations": inner} if inner else {
        "size": 0, "query": {"bool": {"filter": filters}}, "track_total_hits": True,
    }  # fmt: skip


@pytest.mark.parametrize("panel", load_dashboard().panels, ids=lambda panel: panel.title)
def test_a_panel_finds_what_it_is_for(installed: Server, stream: str, panel: Panel) -> None:
    answer = installed.admin.search(index=stream, **body_of(panel))
    assert answer["hits"]["total"]["value"] >= 1
    groups = answer.get("aggregations", {})
    depth = len(panel.rows) + bool(panel.split)
    for _ in range(depth):
        assert groups["group"]["buckets"], "a field that is not mapped makes no group"
        groups = groups["group"]["buckets"][0]
    for number, wanted in enumerate(panel.metrics):
        if wanted.operation == "last_value":
            (hit,) = groups[f"m{number}"]["hits"]["hits"]
            assert hit["fields"][wanted.field]
        elif wanted.field:
            assert groups[f"m{number}"]["value"] is not None


def test_every_panels_fields_exist_in_the_template(installed: Server) -> None:
    template = installed.admin.indices.simulate_index_template(name="logs-qscore.scores-anything")
    flat = set(_leaves(template["template"]["mappings"]["properties"]))
    used = used_fields(dashboard())
    assert used
    for title, fields in used.items():
        assert fields - flat == set(), title


def _leaves(properties: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, body in properties.items():
        found += _leaves(body.get("properties", {}), f"{prefix}{name}.")
        found += [prefix + name] if "type" in body else []
    return found
