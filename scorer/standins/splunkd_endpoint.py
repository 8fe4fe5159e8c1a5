"""A local HTTPS stand-in for the part of splunkd's REST interface that the search command reads its key from.

It answers GET /servicesNS/<owner>/<app>/storage/passwords/<realm>:<user>: as Splunk documents it (JSON, one entry with
``content.clear_password``), to whoever sends ``Authorization: Splunk <session key>``, and can be told to fail.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

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


class SplunkdEndpoint:
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
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), _tls(certificate, private_key), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

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

    def __enter__(self) -> SplunkdEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _fault(status: int) -> tuple[int, bytes]:
    return status, json.dumps({"messages": [{"type": "ERROR", "text": _TEXTS[status]}]}).encode()


def _tls(certificate: Path, private_key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private_key)
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits for every answer in hand

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext, endpoint: SplunkdEndpoint) -> None:
        super().__init__(address, _Handler)
        self.tls = tls
        self.endpoint = endpoint

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(5.0)
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off or distrusts the certificate is no fault of the endpoint."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout: ClassVar[float] = 5.0

    def do_GET(self) -> None:
        status, body = self.server.endpoint.answer(self.path, self.headers.get("Authorization"))
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (http.server's own name)
        """Quiet: what was asked for is in ``paths``."""
