"""The Kibana dashboard, from ``assets/dashboard.toml``: Lens panels by value, as a saved object. Pure.

Shapes: Kibana's saved objects API (POST /api/saved_objects/_import) and what Lens itself exports since 8.9.
"""

from __future__ import annotations

import functools
import json
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from elastic_connector.install.rules import kql_fields
from elastic_connector.install.score_fields import assets_folder, field_types
from scorer.elastic_client.names import SCORES_STREAM

DATA_VIEW_ID: Final = "qscore-scores"
DASHBOARD_ID: Final = "qscore-overview"
TIME_FIELD: Final = "@timestamp"
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://qscore.invalid/elastic/dashboard")
_PANEL_VERSION: Final = "8.9.0"
_SHOWN: Final = 10
_LENS_TYPES = {"date": "date", "keyword": "string", "ip": "ip", "boolean": "boolean"}


@dataclass(frozen=True)
class Metric:
    """One number of a panel: an operation of Lens on a field ("" for count)."""

    operation: str
    field: str
    label: str


@dataclass(frozen=True)
class Panel:
    """One panel. ``kind``: metric, bars, lines or table; ``split``: breakdown of a chart; ``rows``: of a table."""

    title: str
    kind: str
    place: tuple[int, int, int, int]
    query: str
    metrics: tuple[Metric, ...]
    split: str = ""
    rows: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return str(uuid.uuid5(_IDS, self.title))

    @property
    def fields(self) -> set[str]:
        """Return every field that the panel needs in the documents."""
        named = {self.split, *self.rows, *(metric.field for metric in self.metrics), *kql_fields(self.query)}
        return {name for name in (named | {TIME_FIELD}) if name}


@dataclass(frozen=True)
class Dashboard:
    """The dashboard; ``query`` holds for all its panels."""

    title: str
    description: str
    query: str
    panels: tuple[Panel, ...]


@functools.cache
def load_dashboard() -> Dashboard:
    """Read the dashboard from the assets folder."""
    raw = tomllib.loads((assets_folder() / "dashboard.toml").read_text(encoding="utf-8"))
    panels = tuple(_panel(given) for given in raw["panel"])
    return Dashboard(raw["title"], raw["description"], raw["query"], panels)


def _panel(given: Mapping[str, Any]) -> Panel:
    x, y, width, height = given["place"]
    metrics = tuple(Metric(*parts) for parts in given["metrics"])
    rows = tuple(given.get("rows", ()))
    return Panel(
        given["title"], given["kind"], (x, y, width, height), given["query"], metrics, given.get("split", ""), rows
    )


def data_view() -> dict[str, Any]:
    """Return the data view as a saved object."""
    return {
        "type": "index-pattern",
        "id": DATA_VIEW_ID,
        "attributes": {"title": f"{SCORES_STREAM}-*", "name": "QScore scores", "timeFieldName": TIME_FIELD},
        "references": [],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.0.0",
    }


def dashboard(object_id: str = DASHBOARD_ID, data_view_id: str = DATA_VIEW_ID) -> dict[str, Any]:
    """Return the dashboard as a saved object whose panels read ``data_view_id``."""
    made = load_dashboard()
    panels = [_panel_object(panel, data_view_id) for panel in made.panels]
    return {
        "type": "dashboard",
        "id": object_id,
        "attributes": {
            "title": made.title,
            "description": made.description,
            "panelsJSON": _text(panels),
            "optionsJSON": _text({"useMargins": True, "syncColors": False, "hidePanelTitles": False}),
            "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": _kuery(made.query), "filter": []})},
            "timeRestore": True,
            "timeFrom": "now-24h",
            "timeTo": "now",
            "refreshInterval": {"pause": True, "value": 60000},
            "version": 1,
        },
        "references": [_dashboard_reference(panel, data_view_id) for panel in made.panels],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": _PANEL_VERSION,
    }


def saved_objects() -> tuple[dict[str, Any], ...]:
    """Return data view and dashboard, in the order in which they are imported."""
    return data_view(), dashboard()


def saved_objects_ndjson(objects: Iterable[Mapping[str, Any]]) -> bytes:
    """Return one object a line, keys sorted: the same bytes each time."""
    return b"".join(_text(item).encode() + b"\n" for item in objects)


def _panel_object(panel: Panel, data_view_id: str) -> dict[str, Any]:
    x, y, width, height = panel.place
    layer = str(uuid.uuid5(_IDS, panel.title + "/layer"))
    columns = _columns(panel)
    attributes = {
        "title": "",
        "type": "lens",
        "visualizationType": _VISUALIZATIONS[panel.kind],
        "references": [_layer_reference(layer, data_view_id)],
        "state": {
            "visualization": _visualization(panel, layer, columns),
            "query": _kuery(panel.query),
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {layer: _layer(columns)}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }
    return {
        "version": _PANEL_VERSION,
        "type": "lens",
        "gridData": {"x": x, "y": y, "w": width, "h": height, "i": panel.id},
        "panelIndex": panel.id,
        "title": panel.title,
        "embeddableConfig": {"attributes": attributes, "enhancements": {}, "hidePanelTitles": False},
    }


def _layer_reference(layer: str, data_view_id: str) -> dict[str, str]:
    return {"type": "index-pattern", "id": data_view_id, "name": f"indexpattern-datasource-layer-{layer}"}


def _dashboard_reference(panel: Panel, data_view_id: str) -> dict[str, str]:
    layer = str(uuid.uuid5(_IDS, panel.title + "/layer"))
    reference = _layer_reference(layer, data_view_id)
    return reference | {"name": f"{panel.id}:{reference['name']}"}


def _layer(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {"columns": dict(columns), "columnOrder": list(columns), "incompleteColumns": {}, "sampling": 1}


_VISUALIZATIONS = {"metric": "lnsMetric", "bars": "lnsXY", "lines": "lnsXY", "table": "lnsDatatable"}
_SERIES = {"bars": "bar_stacked", "lines": "line"}


def _columns(panel: Panel) -> dict[str, dict[str, Any]]:
    """Return the columns of the layer, buckets first: Lens wants them in this order."""
    metrics = {f"metric-{number}": _metric_column(metric) for number, metric in enumerate(panel.metrics)}
    buckets: dict[str, dict[str, Any]] = {}
    if panel.kind == "table":
        buckets = {f"row-{number}": _terms(name, _order(panel)) for number, name in enumerate(panel.rows)}
    elif panel.kind in _SERIES:
        if panel.split:
            buckets["split"] = _terms(panel.split, _order(panel))
        buckets["time"] = _date_histogram()
    return buckets | metrics


def _order(panel: Panel) -> str:
    """Return the column that ranks the groups: the first that is a number of the whole group."""
    ranked = [number for number, metric in enumerate(panel.metrics) if metric.operation != "last_value"]
    return f"metric-{ranked[0]}" if ranked else "metric-0"


def _metric_column(metric: Metric) -> dict[str, Any]:
    column: dict[str, Any] = {
        "label": metric.label,
        "customLabel": True,
        "dataType": "number",
        "operationType": metric.operation,
        "isBucketed": False,
        "scale": "ratio",
        "sourceField": metric.field or "___records___",
        "params": {"emptyAsNull": False},
    }
    if metric.operation == "last_value":
        column["dataType"] = _LENS_TYPES.get(field_types()[metric.field], "number")
        column["scale"] = "ordinal"
        column["filter"] = _kuery(f'"{metric.field}": *')
        column["params"] = {"sortField": TIME_FIELD, "showArrayValues": False}
    return column


def _terms(name: str, order: str) -> dict[str, Any]:
    return {
        "label": name,
        "dataType": _LENS_TYPES.get(field_types()[name], "number"),
        "operationType": "terms",
        "isBucketed": True,
        "scale": "ordinal",
        "sourceField": name,
        "params": {
            "size": _SHOWN,
            "orderBy": {"type": "column", "columnId": order},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }


def _date_histogram() -> dict[str, Any]:
    return {
        "label": TIME_FIELD,
        "dataType": "date",
        "operationType": "date_histogram",
        "isBucketed": True,
        "scale": "interval",
        "sourceField": TIME_FIELD,
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def _visualization(panel: Panel, layer: str, columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    base: dict[str, Any] = {"layerId": layer, "layerType": "data"}
    if panel.kind == "metric":
        return base | {"metricAccessor": "metric-0"}
    if panel.kind == "table":
        return base | {"columns": [{"columnId": name} for name in columns]}
    accessors = [name for name in columns if name.startswith("metric-")]
    chart = base | {"seriesType": _SERIES[panel.kind], "xAccessor": "time", "accessors": accessors}
    if panel.split:
        chart["splitAccessor"] = "split"
    return {
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "preferredSeriesType": _SERIES[panel.kind],
        "layers": [chart],
    }


def _kuery(query: str) -> dict[str, str]:
    return {"query": query, "language": "kuery"}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
