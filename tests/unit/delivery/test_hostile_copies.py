"""Copied fields of documents that somebody else wrote: none stands where it decides anything, each that is left out is
flagged, and a score is never lost or changed for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from elastic_connector.install.kibana_assets import kibana_files
from elastic_connector.install.rules import load_rules
from tests.unit.delivery.builders import changed, documents_of, make_rows

NAMES = [
    "__proto__", "__proto__.polluted", "host.__proto__.isAdmin", "labels.__proto__", "_id", "_index", "_source.x",
    "_routing", "_tier", "@timestamp", "@timestamp.x", "kibana", "kibana.alert.rule.name", "kibana.alert.status",
    "kibana.space_ids", "signal", "signal.rule.id", "signal.status", "event", "event.kind", "event.risk_score",
    "event.severity", "event.ingested", "event.dataset", "event.module", "event.start", "qscore", "qscore.score",
    "qscore.decision", "qscore.band", "qscore.model.name", "qscore.row.id", "qscore.flags", "qscore.anything",
    "host.risk", "host.risk.calculated_level", "user.risk", "user.risk.calculated_score_norm", "data_stream",
    "data_stream.type", "data_stream.namespace.x", "ecs.version", "error", "error.message", "threat",
    "threat.tactic.id", "message", "host", "user", "source", "related", "rule", "host.name.x", "user.name.x.y",
    "tags.a", ".", "..", "a.", ".a", "a..b", " ", "a. ", "\t.b", "", ".".join("a" * 30), ".".join("a" * 400),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:30])
@pytest.mark.parametrize("value", ["copied", ["a", "b"], ""])
def test_no_copy_decides_anything(name: str, value: Any) -> None:
    rows = make_rows(2)
    plain, other = documents_of(rows)
    made, untouched = documents_of(changed(rows, fields={name: value, "agent.id": "a7"}))
    assert untouched == other
    assert made["qscore"].pop("flags") == ["copied_field_left_out"]
    assert made.pop("agent") == {"id": "a7"}, "another copy of the same document has its place"
    assert made == plain


TEXTS = [
    "[" * 100_000, '{"a":' * 50_000, '{"a": {"b": "c"}}', '{"a": [["b"]]}', '{"a": 5}', '{"a": null}', '{"a": true}',
    "null", "[]", '"text"', "{", "{}}", '{"a": "b"} {"a": "c"}', '{"a": NaN}', "\x00", "{'a': 'b'}",
    json.dumps({"a": "x" * 100_000}), json.dumps({f"f{k}": "x" for k in range(5_000)}), '{"a": "\\ud800"}',
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
def test_copies_of_any_form_cost_no_score(text: str) -> None:
    (plain,) = documents_of(make_rows(1))
    (made,) = documents_of(make_rows(1, qscore_fields=[text]))
    for part in ("score", "decision", "band", "status", "row", "model"):
        assert made["qscore"][part] == plain["qscore"][part]
    assert made["event"] == plain["event"]
    assert json.loads(json.dumps(made)) == made


TEMPLATES = ("{{", "{%", "${", "<%", "rule_name_override", "mustache")


@pytest.mark.parametrize("suppression", [False, True])
def test_rules_hold_no_template_of_what_documents_say(suppression: bool) -> None:
    """A name of a process, or a user, that is one must not become a part of a rule, an action or a link."""
    for rule in load_rules(suppression):
        text = json.dumps(rule.body)
        assert not [template for template in TEMPLATES if template in text], rule.name
        assert rule.body["actions"] == []
        assert rule.body["enabled"] is False


def test_nothing_for_kibana_holds_a_script_or_a_link_made_of_a_document() -> None:
    for name, content in kibana_files().items():
        text = content.decode()
        assert not [word for word in ("{{", "{%", "<script", "javascript:", "urlTemplate") if word in text], name
