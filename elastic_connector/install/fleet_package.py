"""The integration package for Fleet: the same assets in the layout of Elastic's package-spec, as bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from string import Template
from typing import Any, Final

from elastic_connector.install.dashboard import dashboard
from elastic_connector.install.rules import Rule, load_rules
from elastic_connector.install.score_fields import IGNORE_ABOVE, DocumentField, assets_folder, document_fields

PACKAGE: Final = "qscore"
DATA_STREAM: Final = "scores"
#: The data view that every Kibana has; a package brings none of its own.
_DATA_VIEW: Final = "logs-*"
_STREAM: Final = f"data_stream/{DATA_STREAM}"
#: Types of which one bad value shall not cost the score it stands on; our own template sets this for the whole index.
_MALFORMED: Final = frozenset({"date", "long", "integer", "float", "double", "ip"})
#: What a package's rule may not say: it belongs to whoever runs the rule.
_RULE_STATE: Final = ("enabled", "actions", "exceptions_list")


def package_files(version: str, licence: bytes) -> dict[str, bytes]:
    """Make the files of the package: path inside it -> content, sorted by path. ``licence``: text of the licence.

    Raises ValueError where the changelog does not tell of ``version``.
    """
    changelog = _text("changelog.yml")
    if f"- version: {version}\n" not in changelog:
        raise ValueError(f"assets/package/changelog.yml has no entry for version {version}; add one")
    files = {
        "LICENSE.txt": licence,
        "manifest.yml": Template(_text("manifest.yml")).substitute(version=version).encode(),
        "changelog.yml": changelog.encode(),
        "docs/README.md": _readme().encode(),
        "img/icon.svg": _text("img/icon.svg").encode(),
        f"{_STREAM}/manifest.yml": _text("data_stream.yml").encode(),
        f"{_STREAM}/lifecycle.yml": _text("lifecycle.yml").encode(),
        f"{_STREAM}/fields/base-fields.yml": _fields_yaml(f for f in document_fields() if _base(f)),
        f"{_STREAM}/fields/fields.yml": _fields_yaml(f for f in document_fields() if not _base(f)),
        f"kibana/dashboard/{PACKAGE}-overview.json": _json(dashboard(f"{PACKAGE}-overview", _DATA_VIEW)),
        **{f"kibana/security_rule/{rule.id}.json": _rule(rule) for rule in load_rules()},
    }
    return dict(sorted(files.items()))


def _text(name: str) -> str:
    return (assets_folder() / "package").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _base(field: DocumentField) -> bool:
    """Tell whether a field is one that every data stream has."""
    return field.name == "@timestamp" or field.name.startswith("data_stream.")


def _fields_yaml(fields: Iterable[DocumentField]) -> bytes:
    """Write one entry a field. Strings are written as JSON, which is YAML."""
    lines = []
    for field in fields:
        lines.append(f"- name: {json.dumps(field.name)}")
        lines.append(f"  type: {field.type}")
        lines.append(f"  description: {json.dumps(field.meaning)}")
        if field.value:
            lines.append(f"  value: {json.dumps(field.value)}")
        if not field.indexed:
            lines.append("  index: false")
        if field.type == "keyword":
            lines.append(f"  ignore_above: {IGNORE_ABOVE}")
        elif field.type in _MALFORMED and field.name != "@timestamp":
            lines.append("  ignore_malformed: true")
    return ("\n".join(lines) + "\n").encode()


def _rule(rule: Rule) -> bytes:
    attributes = {key: value for key, value in rule.body.items() if key not in _RULE_STATE}
    return _json({"id": rule.id, "type": "security-rule", "attributes": attributes})


def _readme() -> str:
    text = _text("README.md")
    return text.replace('{{fields "scores"}}', _field_table()).replace("{{rules}}", _rule_list())


def _field_table() -> str:
    rows = [f"| {field.name} | {field.meaning} | {field.type} |" for field in document_fields()]
    return "\n".join(["**Exported fields**", "", "| Field | Description | Type |", "|---|---|---|", *rows])


def _rule_list() -> str:
    return "\n".join(f"- **{rule.name}** ({rule.type}): {rule.body['description']}" for rule in load_rules())


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"
