"""Servers that fail on purpose: a proxy that cuts answers off, and one whose every answer is scripted."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.serving import serving


@dataclass
class CuttingProxy:
    """Passes requests on to Elasticsearch; of the next ``cuts`` bulk requests the answer never comes back.

    The cut comes after the server has answered: what was asked is done, and nobody knows.
    """

    target: str
    cuts: int = 0
    url: str = ""
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    def __enter__(self) -> CuttingProxy:
        proxy, parts = self, urlsplit(self.target)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                lines = [f"{self.command} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in self.headers.items())]
                lines = [line for line in lines if not line.lower().startswith(("connection:", "host:"))]
                head = "\r\n".join([*lines, f"Host: {parts.netloc}", "Connection: close", "", ""])
                with socket.create_connection((parts.hostname, parts.port), timeout=30) as upstream:
                    upstream.sendall(head.encode() + body)
                    answer = b"".join(iter(lambda: upstream.recv(65536), b""))
                self.close_connection = True
                if self.path.split("?")[0].endswith("/_bulk") and proxy.cuts > 0:
                    proxy.cuts -= 1
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))

            do_GET = do_POST = do_PUT = do_HEAD = _pass_on  # noqa: N815

            def log_message(self, *_arguments: object) -> None:
                pass

        self.url = f"http://127.0.0.1:{self._open.enter_context(serving(Handler))}"
        return self

    def __exit__(self, *_error: object) -> None:
        self._open.close()


@dataclass(frozen=True)
class Canned:
    """One answer of a scripted server."""

    status: int
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    product: bool = True


@contextlib.contextmanager
def scripted_server(answer: Callable[[str, str, bytes], Canned]) -> Iterator[str]:
    """A server whose every answer comes from ``answer(method, path, body)``; yields its url."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            canned = answer(self.command, self.path, body)
            content = canned.body if isinstance(canned.body, bytes) else json.dumps(canned.body).encode()
            self.send_response(canned.status)
            if canned.product:
                self.send_header("X-Elastic-Product", "Elasticsearch")
            for name, value in canned.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "text/html" if isinstance(canned.body, bytes) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            pass

    with serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"
