"""A local HTTPS stand-in for the part of splunkd's REST interface that the search command reads its key from.

It answers GET /servicesNS/<owner>/<app>/storage/passwords/<realm>:<user>: as Splunk documents it (JSON, one entry with
``content.clear_password``), to whoever sends ``Authorization: Splunk <session key>``, and can be told to fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from demo.standins.https_server import EndpointHandler, HttpsEndpoint, endpoint_of

#: What the endpoint can be told to do instead: answer with a status, hang until it closes, or send no JSON.
FAILURES = ("401", "403", "404", "500", "hang", "not_json")

_ENTRY = re.compile(r"/servicesNS/[^/]+/[^/]+/storage/passwords/([^/]+)\Z")
_TEXTS = {
    400: "Bad Request",
    401: "call not properly authenticated",
    403: "You (user=analyst) do not have permission to perform this operation (requires capability: "
    "list_storage_passwords).",
    404: "Could not find object id",
    500: "Internal Server Error",
}


class SplunkdEndpoint(HttpsEndpoint):
    """The endpoint as a context manager; serves on loopback from threads of its own.

    ``passwords``: "realm:user:" -> clear password. ``failure``: one of FAILURES while it lasts, or None.
    ``paths``: what was asked for, in order.
    """

    def __init__(
        self,
        session_key: str,
        passwords: Mapping[str, str],
        certificate: Path,
        private_key: Path | None = None,
        port: int = 0,
    ) -> None:
        self.session_key = session_key
        self.passwords = dict(passwords)
        self.failure: str | None = None
        self.paths: list[str] = []
        super().__init__(_Handler, certificate, private_key, port)

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        """Status and body for one request."""
        self.paths.append(path)
        if self.failure == "hang":
            self.closing.wait(60)
        if self.failure == "not_json":
            return 200, b"<html>Splunk is starting</html>"
        if self.failure is not None and self.failure.isdigit():
            return _fault(int(self.failure))
        if authorization != f"Splunk {self.session_key}":
            return _fault(401)
        return self._entry(path)

    def _entry(self, path: str) -> tuple[int, bytes]:
        parts = urlsplit(path)
        match = _ENTRY.match(parts.path)
        if match is None or parse_qs(parts.query).get("output_mode") != ["json"]:
            return _fault(400)
        name = unquote(match.group(1))
        if name not in self.passwords:
            return _fault(404)
        realm, user, _ = name.split(":")
        content = {"realm": realm, "username": user, "password": "********", "clear_password": self.passwords[name]}
        entry = {"name": name, "acl": {"app": "qscore", "sharing": "app"}, "content": content}
        return 200, json.dumps({"links": {}, "entry": [entry], "messages": []}).encode()


def _fault(status: int) -> tuple[int, bytes]:
    return status, json.dumps({"messages": [{"type": "ERROR", "text": _TEXTS[status]}]}).encode()


class _Handler(EndpointHandler):
    def do_GET(self) -> None:
        status, body = endpoint_of(self).answer(self.path, self.headers.get("Authorization"))
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True
