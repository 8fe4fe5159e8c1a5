"""Fields that rules and dashboards need, read back from what Kibana is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from elastic_connector.install.rules import Rule, kql_fields


def rule_fields(rule: Rule) -> set[str]:
    """Every field that a rule needs in the documents."""
    body = rule.body
    threshold = body.get("threshold", {})
    return {
        *kql_fields(body["query"]),
        *body.get("new_terms_fields", []),
        *threshold.get("field", []),
        *(part["field"] for part in threshold.get("cardinality", [])),
        *(part["field"] for part in [*body["risk_score_mapping"], *body["severity_mapping"]]),
        *body["investigation_fields"]["field_names"],
        *body.get("alert_suppression", {}).get("group_by", []),
        body["timestamp_override"],
    }


def used_fields(saved: Mapping[str, Any]) -> dict[str, set[str]]:
    """Panel title -> fields, read back from a dashboard's saved object: what Kibana would ask for."""
    found = {}
    for panel in json.loads(saved["attributes"]["panelsJSON"]):
        state = panel["embeddableConfig"]["attributes"]["state"]
        columns = [
            c for layer in state["datasourceStates"]["formBased"]["layers"].values() for c in layer["columns"].values()
        ]
        named = {column["sourceField"] for column in columns} - {"___records___"}
        named |= {column["params"]["sortField"] for column in columns if "sortField" in column["params"]}
        found[panel["title"]] = named | kql_fields(state["query"]["query"])
    return found
