"""What Kibana is given: planned, installed, removed; or written into a folder for an import by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elastic_connector.install.asset_files import content_digest, product_version
from elastic_connector.install.changes import Change, json_diff
from elastic_connector.install.dashboard import saved_objects, saved_objects_ndjson
from elastic_connector.install.kibana import Kibana
from elastic_connector.install.rules import Rule, load_rules, ndjson, stopped_rule
from scorer.elastic_client.names import SCORES_STREAM

#: What belongs to whoever runs the rules: an upgrade leaves it as it is.
_USERS = ("enabled", "actions", "exceptions_list")


def marked_objects() -> tuple[dict[str, Any], ...]:
    """Return the saved objects, each with a digest in its description: Kibana rewrites what it imports, and so no
    export of an object equals what was sent.
    """
    made = []
    for item in saved_objects():
        digest = content_digest(item["attributes"])[:16]
        attributes = dict(item["attributes"])
        if item["type"] == "dashboard":
            attributes["description"] += f" qscore {product_version()}, content {digest}."
        made.append({**item, "attributes": attributes})
    return tuple(made)


def kibana_plan(kibana: Kibana) -> list[Change]:
    """Compare every object and rule with what Kibana has."""
    changes = [_object_change(kibana, item) for item in marked_objects()]
    changes += [_rule_change(kibana, rule) for rule in load_rules()]
    changes.append(_stopped_change(kibana))
    return changes


def _object_change(kibana: Kibana, item: Mapping[str, Any]) -> Change:
    name = f"{item['id']}"
    live = kibana.export(item["type"], item["id"])
    kept = ("description",) if item["type"] == "dashboard" else ("title", "name", "timeFieldName")
    ours = {key: item["attributes"][key] for key in kept}
    if live is None:
        return Change("create", item["type"], name, json_diff({}, ours))
    attributes = live.get("attributes")
    lines = json_diff(_pick(attributes, ours), ours)
    return Change("update" if lines else "keep", item["type"], name, lines)


def _rule_change(kibana: Kibana, rule: Rule) -> Change:
    live = kibana.rule(rule.id)
    if live is None:
        return Change("create", "detection_rule", rule.name, json_diff({}, rule.body))
    ours = {key: value for key, value in rule.body.items() if key not in _USERS}
    lines = json_diff(_pick(live, ours), ours)
    return Change("update" if lines else "keep", "detection_rule", rule.name, lines)


def _stopped_change(kibana: Kibana) -> Change:
    rule = stopped_rule()
    request = _stopped_request()
    live = kibana.alerting_rule(rule.id)
    if live is None:
        return Change("create", "alerting_rule", rule.name, json_diff({}, request))
    ours = {key: request[key] for key in ("name", "tags", "schedule", "params")}
    lines = json_diff(_pick(live, ours), ours)
    return Change("update" if lines else "keep", "alerting_rule", rule.name, lines)


def _stopped_request() -> dict[str, Any]:
    return stopped_rule().request([f"{SCORES_STREAM}-*"])


def _pick(live: Any, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that we set of what Kibana has."""
    return {key: live[key] for key in ours if key in live} if isinstance(live, Mapping) else {}


def install_kibana(kibana: Kibana) -> list[Change]:
    """Bring Kibana to what this version has. Whether a rule is enabled, its actions and exceptions stay as they are."""
    changes = kibana_plan(kibana)
    todo = {change.name for change in changes if change.action != "keep"}
    objects = [item for item in marked_objects() if item["id"] in todo]
    if objects:
        kibana.import_objects(saved_objects_ndjson(objects))
    rules = [_as_users_left_it(kibana, rule) for rule in load_rules() if rule.name in todo]
    if rules:
        kibana.import_rules(rules)
    stopped = stopped_rule()
    if stopped.name in todo:
        kibana.put_alerting_rule(stopped, _stopped_request(), kibana.alerting_rule(stopped.id) is not None)
    return changes


def _as_users_left_it(kibana: Kibana, rule: Rule) -> Rule:
    live = kibana.rule(rule.id)
    if live is None:
        return rule
    return replace(rule, body={**rule.body, **{key: live[key] for key in _USERS if key in live}})


def uninstall_kibana(kibana: Kibana, dry_run: bool = False) -> list[Change]:
    """Remove our objects and rules, by their ids. Alerts that the rules raised stay."""
    changes = [change for change in kibana_plan(kibana) if change.action != "create"]
    removed = [replace(change, action="remove", lines=()) for change in changes]
    suppressed = [rule for rule in load_rules(suppression=True) if kibana.rule(rule.id) is not None]
    removed += [Change("remove", "detection_rule", rule.name) for rule in suppressed]
    if dry_run:
        return removed
    for rule in [*load_rules(), *suppressed]:
        kibana.delete_rule(rule.id)
    kibana.delete_alerting_rule(stopped_rule().id)
    for item in reversed(marked_objects()):
        kibana.delete_object(item["type"], item["id"])
    return removed


def kibana_files() -> dict[str, bytes]:
    """Return file name -> content, for an import by hand."""
    alerting = json.dumps(_stopped_request(), indent=2, sort_keys=True).encode() + b"\n"
    return {
        "qscore_saved_objects.ndjson": saved_objects_ndjson(marked_objects()),
        "qscore_rules.ndjson": ndjson(load_rules()),
        "qscore_rules_suppression.ndjson": ndjson(load_rules(suppression=True)),
        "qscore_scoring_stopped.json": alerting,
    }


def write_kibana_files(folder: Path) -> list[Path]:
    """Write them into ``folder``; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, content in kibana_files().items():
        path = folder / name
        path.write_bytes(content)
        made.append(path)
    return made
