"""A local HTTPS stand-in for the part of Kibana's HTTP interfaces that `qscore elastic install` uses.

It is strict: it answers only what Kibana documents, asks for the header kbn-xsrf and Basic authentication, wants
multipart uploads of .ndjson files, refuses rules without the fields that Kibana requires and saved objects whose
references it does not know. It is no Kibana: nothing is drawn, no rule runs.
"""

from __future__ import annotations

import base64
import email.policy
import json
import re
from collections.abc import Callable, Mapping
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from demo.standins.https_server import EndpointHandler, HttpsEndpoint, endpoint_of

Answer = tuple[int, Any]

_RULE_TYPES = {"query": set(), "threshold": {"threshold"}, "new_terms": {"new_terms_fields", "history_window_start"}}
_RULE_FIELDS = {"rule_id", "name", "description", "type", "risk_score", "severity"}
_SEVERITIES = {"low", "medium", "high", "critical"}
_ALERTING_FIELDS = {"name", "rule_type_id", "consumer", "schedule", "params"}
_UPDATED_FIELDS = {"name", "tags", "schedule", "params"}


class KibanaEndpoint(HttpsEndpoint):
    """The endpoint as a context manager. ``objects``, ``rules``, ``alerting``: what it holds, by id.

    ``paid``: whether its licence allows alert suppression. ``failure``: a status that every request gets, or None.
    """

    def __init__(self, user: str, password: str, certificate: Path, private_key: Path | None = None) -> None:
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.alerting: dict[str, dict[str, Any]] = {}
        self.paid = False
        self.failure: int | None = None
        super().__init__(_Handler, certificate, private_key)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Status and JSON (or bytes) for one request."""
        if self.failure is not None:
            return _fault(self.failure, "as the test wants it")
        if headers.get("authorization") != self.authorization:
            return _fault(401, "unable to authenticate user")
        if method != "GET" and not headers.get("kbn-xsrf"):
            return _fault(400, "Request must contain a kbn-xsrf header.")
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for wanted, pattern, act in _ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and wanted == method:
                return act(self, [unquote(group) for group in match.groups()], query, headers, body)
        return _fault(404, f"Not Found: {method} {parts.path}")

    def _status(self, *_args: Any) -> Answer:
        return 200, {"name": "kibana", "version": {"number": "8.19.8", "build_flavor": "traditional"}}

    def _import_objects(self, _ids: Any, query: Any, headers: Any, body: bytes) -> Answer:
        lines = _upload(headers, body)
        if lines is None or query.get("overwrite") != "true":
            return _fault(400, "an .ndjson file in the part `file` is needed")
        known = set(self.objects) | {(item["type"], item["id"]) for item in lines}
        lacking = [r for item in lines for r in item["references"] if (r["type"], r["id"]) not in known]
        if lacking:
            errors = [{"error": {"type": "missing_references", "references": lacking}}]
            return 200, {"success": False, "successCount": 0, "errors": errors}
        for item in lines:
            self.objects[item["type"], item["id"]] = item
        return 200, {"success": True, "successCount": len(lines)}

    def _export(self, _ids: Any, _query: Any, _headers: Any, body: bytes) -> Answer:
        wanted = [(item["type"], item["id"]) for item in json.loads(body)["objects"]]
        if any(key not in self.objects for key in wanted):
            return _fault(400, "Error fetching objects to export")
        return 200, b"".join(json.dumps(self.objects[key]).encode() + b"\n" for key in wanted)

    def _delete_object(self, ids: list[str], *_args: Any) -> Answer:
        found = self.objects.pop((ids[0], ids[1]), None)
        return (200, {}) if found else _fault(404, f"Saved object [{ids[0]}/{ids[1]}] not found")

    def _rule(self, _ids: Any, query: Mapping[str, str], *_args: Any) -> Answer:
        found = self.rules.get(query.get("rule_id", ""))
        return (200, found) if found else _fault(404, "rule_id not found")

    def _delete_rule(self, _ids: Any, query: Mapping[str, str], *_args: Any) -> Answer:
        found = self.rules.pop(query.get("rule_id", ""), None)
        return (200, found) if found else _fault(404, "rule_id not found")

    def _import_rules(self, _ids: Any, query: Any, headers: Any, body: bytes) -> Answer:
        lines = _upload(headers, body)
        if lines is None:
            return _fault(400, "an .ndjson file in the part `file` is needed")
        errors = [error for rule in lines if (error := self._rule_fault(rule, query))]
        faulty = {error["rule_id"] for error in errors}
        for rule in lines:
            if rule.get("rule_id") not in faulty:
                self.rules[rule["rule_id"]] = {**rule, "id": f"so-{rule['rule_id']}", "immutable": False}
        return 200, {"success": not errors, "success_count": len(lines) - len(errors), "errors": errors}

    def _rule_fault(self, rule: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any] | None:
        def fault(text: str) -> dict[str, Any]:
            return {"rule_id": rule.get("rule_id", "(unknown)"), "error": {"status_code": 400, "message": text}}

        lacking = (_RULE_FIELDS | _RULE_TYPES.get(str(rule.get("type")), {"a known type"})) - set(rule)
        if lacking:
            return fault(f"{', '.join(sorted(lacking))}: Required")
        if rule["severity"] not in _SEVERITIES or not 0 <= rule["risk_score"] <= 100:
            return fault("severity or risk_score: Invalid")
        if "alert_suppression" in rule and not self.paid:
            return fault("Your license does not support alert suppression.")
        if rule["rule_id"] in self.rules and query.get("overwrite") != "true":
            return fault(f'rule_id: "{rule["rule_id"]}" already exists')
        return None

    def _alerting_rule(self, ids: list[str], *_args: Any) -> Answer:
        found = self.alerting.get(ids[0])
        return (200, found) if found else _fault(404, f"Saved object [alert/{ids[0]}] not found")

    def _create_alerting(self, ids: list[str], _query: Any, _headers: Any, body: bytes) -> Answer:
        given = json.loads(body)
        if ids[0] in self.alerting or not set(given) >= _ALERTING_FIELDS:
            return _fault(400, "the rule exists, or lacks what is required")
        self.alerting[ids[0]] = {**given, "id": ids[0]}
        return 200, self.alerting[ids[0]]

    def _update_alerting(self, ids: list[str], _query: Any, _headers: Any, body: bytes) -> Answer:
        given = json.loads(body)
        if not set(given) <= _UPDATED_FIELDS | {"actions"}:
            return _fault(400, "definition for this key is missing")
        if ids[0] not in self.alerting:
            return _fault(404, "not found")
        self.alerting[ids[0]].update(given)
        return 200, self.alerting[ids[0]]

    def _delete_alerting(self, ids: list[str], *_args: Any) -> Answer:
        return (204, b"") if self.alerting.pop(ids[0], None) else _fault(404, "not found")


_Act = Callable[[KibanaEndpoint, list[str], Mapping[str, str], Mapping[str, str], bytes], Answer]
_RULES, _ALERTING = "/api/detection_engine/rules", "/api/alerting/rule/([^/]+)"
# What the endpoint knows: its own private methods, by Kibana's paths.
_ROUTES: tuple[tuple[str, str, _Act], ...] = (
    ("GET", "/api/status", KibanaEndpoint._status),
    ("POST", "/api/saved_objects/_import", KibanaEndpoint._import_objects),
    ("POST", "/api/saved_objects/_export", KibanaEndpoint._export),
    ("DELETE", "/api/saved_objects/([^/]+)/([^/]+)", KibanaEndpoint._delete_object),
    ("GET", _RULES, KibanaEndpoint._rule),
    ("DELETE", _RULES, KibanaEndpoint._delete_rule),
    ("POST", f"{_RULES}/_import", KibanaEndpoint._import_rules),
    ("GET", _ALERTING, KibanaEndpoint._alerting_rule),
    ("POST", _ALERTING, KibanaEndpoint._create_alerting),
    ("PUT", _ALERTING, KibanaEndpoint._update_alerting),
    ("DELETE", _ALERTING, KibanaEndpoint._delete_alerting),
)


def _upload(headers: Mapping[str, str], body: bytes) -> list[dict[str, Any]] | None:
    """The objects of the .ndjson file in the multipart body; None where it is not one."""
    head = f"Content-Type: {headers.get('content-type', '')}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    for part in message.iter_parts() if message.is_multipart() else ():
        named = part.get_param("name", header="content-disposition") == "file"
        if named and (part.get_filename() or "").endswith(".ndjson"):
            content = part.get_payload(decode=True)
            lines = content.splitlines() if isinstance(content, bytes) else []
            return [json.loads(line) for line in lines if line.strip()]
    return None


def _fault(status: int, message: str) -> Answer:
    return status, {"statusCode": status, "error": "Fault", "message": message}


class _Handler(EndpointHandler):
    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer = endpoint_of(self).answer(self.command, self.path, headers, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()
