"""Kibana's detection rules, from ``assets/rules.toml``: as NDJSON for Kibana, and as the searches that they stand for.

Rule format: Kibana's detections API (POST /api/detection_engine/rules/_import).
"""

from __future__ import annotations

import copy
import functools
import json
import re
import tomllib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from elastic_connector.install.score_fields import assets_folder

#: Namespace of the rules' ids: the same key is the same rule in every version and on every machine.
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://qscore.invalid/elastic/rules")
_RISK_MAPPING = [{"field": "event.risk_score", "operator": "equals", "value": ""}]
_SEVERITIES = ("low", "medium", "high", "critical")
_TAG = "QScore"


@dataclass(frozen=True)
class Rule:
    """One rule: ``body`` is what Kibana imports."""

    key: str
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.body["rule_id"])

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def type(self) -> str:
        """Return query, threshold or new_terms."""
        return str(self.body["type"])


@functools.cache
def load_rules(suppression: bool = False) -> tuple[Rule, ...]:
    """Read the rules; with ``suppression`` those of the second file (paid licence), under ids of their own."""
    raw = _raw()
    return tuple(_rule(given, raw, suppression) for given in raw["rule"])


def _raw() -> dict[str, Any]:
    return tomllib.loads((assets_folder() / "rules.toml").read_text(encoding="utf-8"))


def _rule(given: Mapping[str, Any], raw: Mapping[str, Any], suppression: bool) -> Rule:
    own = dict(given)
    key, scored = own.pop("key"), own.pop("scored", False)
    body = copy.deepcopy(raw["common"]) | own
    body["tags"] = [_TAG, *body["tags"]]
    body["risk_score_mapping"] = _RISK_MAPPING if scored else []
    body["severity_mapping"] = _severity_mapping() if scored else []
    if suppression:
        key += "-suppressed"
        body["name"] += " (Suppressed)"
        body["alert_suppression"] = _suppression(body, raw["suppression"])
    body["rule_id"] = str(uuid.uuid5(_IDS, key))
    return Rule(key, body)


def _severity_mapping() -> list[dict[str, str]]:
    return [{"field": "qscore.band", "operator": "equals", "value": band, "severity": band} for band in _SEVERITIES]


def _suppression(body: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a rule suppresses alerts; a threshold rule, grouped by fields of its own, takes a duration alone."""
    return {"duration": given["duration"]} if body["type"] == "threshold" else dict(given)


def ndjson(rules: Iterable[Rule]) -> bytes:
    """Return one rule a line, keys sorted: the same bytes each time."""
    return b"".join(json.dumps(rule.body, sort_keys=True).encode() + b"\n" for rule in rules)


@dataclass(frozen=True)
class StoppedRule:
    """The rule of Kibana's alerting (rule type .es-query) that notices missing heartbeats."""

    name: str
    query: str
    interval: str
    window_minutes: int
    tags: tuple[str, ...]

    @property
    def id(self) -> str:
        return str(uuid.uuid5(_IDS, "stopped"))

    def request(self, index: Iterable[str]) -> dict[str, Any]:
        """Return the body of POST /api/alerting/rule/<id>."""
        params = {
            "searchType": "esQuery",
            "index": list(index),
            "timeField": "event.ingested",
            "esQuery": json.dumps({"query": {"kql": {"query": self.query}}}),
            "size": 0,
            "timeWindowSize": self.window_minutes,
            "timeWindowUnit": "m",
            "threshold": [1],
            "thresholdComparator": "<",
            "aggType": "count",
            "groupBy": "all",
            "excludeHitsFromPreviousRun": False,
        }
        return {
            "name": self.name,
            "rule_type_id": ".es-query",
            "consumer": "alerts",
            "enabled": False,
            "schedule": {"interval": self.interval},
            "tags": list(self.tags),
            "params": params,
            "actions": [],
        }


def stopped_rule() -> StoppedRule:
    """Read the rule from the section [stopped]."""
    raw = _raw()["stopped"]
    return StoppedRule(raw["name"], raw["query"], raw["interval"], raw["window_minutes"], tuple(raw["tags"]))


_KQL_FIELD = re.compile(r"(?<![\w\"])([A-Za-z@_][\w.@]*)\s*(?::|>=|<=|>|<)")
_KQL_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def kql_fields(query: str) -> set[str]:
    """Return the fields that a KQL query of ours names."""
    return set(_KQL_FIELD.findall(_KQL_TEXT.sub('""', query)))
