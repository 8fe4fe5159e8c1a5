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
from urllib.parse import quote, urlsplit

import urllib3

from elastic_connector.install.rules import Rule, StoppedRule, ndjson
from scorer.wire.errors import (
    ConfigurationError,
    Forbidden,
    NonsenseReply,
    QScoreError,
    Unauthorised,
    Unavailable,
    Unreachable,
)

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_CAP = 16 * 1024 * 1024  # bytes of one answer


@dataclass(frozen=True)
class Login:
    """Who asks: a user with a password, or an encoded API key."""

    user: str = ""
    password: str = ""
    api_key: str = ""

    @property
    def header(self) -> str:
        """The value of Authorization."""
        if self.api_key:
            return f"ApiKey {self.api_key}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Kibana:
    """One space of one Kibana. Raises Unreachable, Unauthorised, Forbidden, Unavailable, NonsenseReply, QScoreError."""

    def __init__(self, url: str, login: Login, ca_file: Path | None = None, timeout: float = 60.0) -> None:
        self._base = _base(url)
        self._login = login
        # An import is not repeated on its own: the caller starts the whole, idempotent installation again.
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED",
            ca_certs=str(ca_file) if ca_file else None,
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def version(self) -> str:
        """The version of Kibana, which also tells that it is one."""
        raw = self._json("GET", "/api/status")
        try:
            return str(raw["version"]["number"])[:40]
        except (KeyError, TypeError):
            raise NonsenseReply(f"{self._base} does not answer as Kibana does", "Check --kibana-url.") from None

    def export(self, kind: str, object_id: str) -> Mapping[str, Any] | None:
        """One saved object; None where there is none."""
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
        """A detection rule; None where there is none."""
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
        """A rule of Kibana's own alerting; None where there is none."""
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
            answer = self._pool.request(
                method, self._base + path, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                content = answer.read(_CAP + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"Kibana at {self._base} cannot be reached: {error}", "Check --kibana-url.") from None
        if len(content) > _CAP:
            raise NonsenseReply(f"Kibana's answer to {method} {path} is larger than {_CAP} bytes")
        return answer.status, content

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
        except ValueError:
            raise NonsenseReply(f"{self._base} did not answer with JSON", "Check --kibana-url.") from None


def _base(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.username
        good = good and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(f"{url[:200]!r} is no address of Kibana", "Such as https://kibana.example:5601.")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigurationError(f"{url[:200]!r} would send the password unencrypted", "Use https://.")
    return url.rstrip("/")


def _encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def _message(content: bytes) -> str:
    try:
        raw = json.loads(content)
        text = raw.get("message") or raw.get("error") or ""
    except (ValueError, AttributeError):
        text = content[:200].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in str(text)[:300]).strip() or "no reason given"


def _reason(raw: Mapping[str, Any]) -> str:
    errors = raw.get("errors")
    return _message(json.dumps({"message": str(errors[0])}).encode()) if isinstance(errors, list) and errors else "?"
