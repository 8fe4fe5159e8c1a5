"""Kibana's side of an installation over its documented HTTP interfaces: saved objects, detection rules, alerting.

POST /api/saved_objects/_import, _export          data view and dashboard
GET, DELETE /api/detection_engine/rules           detection rules, by rule_id
POST /api/detection_engine/rules/_import
GET, POST, PUT, DELETE /api/alerting/rule/<id>    the rule that notices missing heartbeats
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from elastic_connector.install.rules import Rule, StoppedRule, ndjson
from scorer.printable import printable
from scorer.wire.errors import (
    Forbidden,
    NonsenseReply,
    QScoreError,
    ScoringTimeout,
    Unauthorised,
    Unavailable,
    Unreachable,
)
from scorer.wire.transport import Peer, TlsConnection, Trust

_CAP = 16 * 1024 * 1024  # bytes of one answer
_CHECK = "Check --kibana-url."
KIBANA = Peer(
    name="Kibana",
    form="https://host:5601, with the path of a space after it where there is one",
    port=443,
    address="Such as https://kibana.example:5601; http:// would send the password unencrypted.",
    trust="Name its authority's certificate (--ca-file).",
    silent=_CHECK,
    slow="Run the same command again.",
    plain_here=True,
)


@dataclass(frozen=True)
class KibanaLogin:
    """Who asks: a user with a password, or an encoded API key."""

    user: str = ""
    password: str = ""
    api_key: str = ""

    @property
    def header(self) -> str:
        """Return the value of Authorization."""
        if self.api_key:
            return f"ApiKey {self.api_key}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Kibana:
    """One space of one Kibana; each request has its whole answer within ``timeout`` seconds.

    Raises Unreachable, Untrusted, Unauthorised, Forbidden, Unavailable, NonsenseReply, QScoreError.
    """

    def __init__(self, url: str, login: KibanaLogin, ca_file: Path | None = None, timeout: float = 60.0) -> None:
        root, self._space = _split(url)
        self._login = login
        self._timeout = timeout
        self._connection = TlsConnection(root, KIBANA, Trust(str(ca_file) if ca_file else None))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def version(self) -> str:
        """Ask for the version of Kibana, which also tells that it is one."""
        raw = self._json("GET", "/api/status")
        try:
            return str(raw["version"]["number"])[:40]
        except (KeyError, TypeError):
            raise NonsenseReply(f"{self._connection.url} does not answer as Kibana does", _CHECK) from None

    def export(self, kind: str, object_id: str) -> Mapping[str, Any] | None:
        """Fetch one saved object; None where there is none."""
        body = {"objects": [{"type": kind, "id": object_id}], "excludeExportDetails": True}
        status, content = self._send("POST", "/api/saved_objects/_export", _encoded(body), "application/json")
        if status in (400, 404):  # Kibana's answer to an object that is not there
            return None
        self._check(status, content)
        for line in content.splitlines():
            found = self._decoded(line)
            if isinstance(found, Mapping) and found.get("id") == object_id:
                return found
        return None

    def import_objects(self, lines: bytes) -> None:
        """Create or replace saved objects given as NDJSON. Raises QScoreError with Kibana's reason for the first."""
        raw = self._upload("/api/saved_objects/_import?overwrite=true", "qscore.ndjson", lines)
        if raw.get("success") is not True:
            raise QScoreError(f"Kibana did not import the saved objects: {_reason(raw)}", "See Kibana's log.")

    def delete_object(self, kind: str, object_id: str) -> None:
        """Remove a saved object; one that is gone is as good."""
        self._json("DELETE", f"/api/saved_objects/{quote(kind)}/{quote(object_id)}", missing=True)

    def rule(self, rule_id: str) -> Mapping[str, Any] | None:
        """Fetch a detection rule; None where there is none."""
        raw = self._json("GET", f"/api/detection_engine/rules?rule_id={quote(rule_id)}", missing=True)
        return raw if isinstance(raw, Mapping) else None

    def import_rules(self, rules: list[Rule]) -> None:
        """Create or replace detection rules. Raises QScoreError with Kibana's reason for the first that failed."""
        raw = self._upload("/api/detection_engine/rules/_import?overwrite=true", "rules.ndjson", ndjson(rules))
        if raw.get("success") is not True:
            raise QScoreError(f"Kibana did not import the detection rules: {_reason(raw)}", "See Kibana's log.")

    def delete_rule(self, rule_id: str) -> None:
        """Remove a detection rule; one that is gone is as good."""
        self._json("DELETE", f"/api/detection_engine/rules?rule_id={quote(rule_id)}", missing=True)

    def alerting_rule(self, rule_id: str) -> Mapping[str, Any] | None:
        """Fetch a rule of Kibana's own alerting; None where there is none."""
        raw = self._json("GET", f"/api/alerting/rule/{quote(rule_id)}", missing=True)
        return raw if isinstance(raw, Mapping) else None

    def put_alerting_rule(self, rule: StoppedRule, request: Mapping[str, Any], exists: bool) -> None:
        """Create it, or change what may be changed and leave whether it is enabled, and its actions, as they are."""
        path = f"/api/alerting/rule/{quote(rule.id)}"
        if not exists:
            self._json("POST", path, dict(request))
            return
        self._json("PUT", path, {key: request[key] for key in ("name", "tags", "schedule", "params")})

    def delete_alerting_rule(self, rule_id: str) -> None:
        """Remove it; one that is gone is as good."""
        self._json("DELETE", f"/api/alerting/rule/{quote(rule_id)}", missing=True)

    def _json(self, method: str, path: str, body: Any = None, missing: bool = False) -> Any:
        content = _encoded(body) if body is not None else None
        status, answer = self._send(method, path, content, "application/json")
        if missing and status == 404:
            return None
        self._check(status, answer)
        return self._decoded(answer) if answer else {}

    def _upload(self, path: str, name: str, content: bytes) -> Mapping[str, Any]:
        body, media_type = urllib3.encode_multipart_formdata({"file": (name, content, "application/x-ndjson")})
        status, answer = self._send("POST", path, body, media_type)
        self._check(status, answer)
        raw = self._decoded(answer)
        if not isinstance(raw, Mapping):
            raise NonsenseReply("Kibana's answer to an import has not its form")
        return raw

    def _send(self, method: str, path: str, body: bytes | None, media_type: str) -> tuple[int, bytes]:
        headers = {"Authorization": self._login.header, "kbn-xsrf": "qscore", "Content-Type": media_type}
        try:
            answer = self._connection.exchange(method, self._space + path, body, headers, self._timeout, _CAP)
        except ScoringTimeout as error:
            raise Unreachable(error.detail, error.remedy) from None
        return answer.status, answer.body

    def _check(self, status: int, content: bytes) -> None:
        if status < 300:
            return
        reason = _message(content)
        if status == 401:
            raise Unauthorised(f"Kibana does not accept the login: {reason}", "Check --user and its password.")
        if status == 403:
            raise Forbidden(
                f"Kibana refused: {reason}", "The user needs the features Security, Dashboards and Stack Rules (all)."
            )
        if status in (429, 502, 503, 504):
            raise Unavailable(f"Kibana is busy or starting (HTTP {status}): {reason}", "Run the same command again.")
        raise QScoreError(f"Kibana answered HTTP {status}: {reason}", "See Kibana's log.")

    def _decoded(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise NonsenseReply(f"{self._connection.url} did not answer with JSON", _CHECK) from None


def _split(url: str) -> tuple[str, str]:
    """Split a URL: the address without a path, and the path of a space, which has no slash at its end.

    What is no path stays on the address, which is refused for it.
    """
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return (url, "") if set("?#") & set(path) else (f"{scheme}://{host}", f"/{path}".rstrip("/"))


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def _message(content: bytes) -> str:
    try:
        raw = json.loads(content)
        text = raw.get("message") or raw.get("error") or ""
    except (ValueError, AttributeError, RecursionError):
        text = content[:200].decode("utf-8", "replace")
    return printable(str(text)) or "no reason given"


def _reason(raw: Mapping[str, Any]) -> str:
    errors = raw.get("errors")
    return _message(json.dumps({"message": str(errors[0])}).encode()) if isinstance(errors, list) and errors else "?"
