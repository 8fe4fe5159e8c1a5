"""A local HTTPS HTTP Event Collector that enforces Splunk's documented rules and can be told to fail.

    python -m scorer.standins.hec_endpoint --port 0 --token-file FILE --cert PEM --key PEM [--record FILE]

prints its address on the first line and serves until it is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from scorer.standins.hec_rules import HecAnswer, HecRules, refusal

#: What the endpoint can be told to do instead of answering properly, by name.
FAILURES: dict[str, HecAnswer] = {
    "busy": refusal(503, 9),
    "throttled": refusal(429, 9, None, Retry_After="7"),
    "busy_retry_after": refusal(503, 9, None, Retry_After="1"),
    "error": refusal(500, 8),
    "disabled": refusal(403, 1),
    "redirect": HecAnswer(302, {"text": "moved"}, headers={"Location": "https://elsewhere.example/"}),
    "wrong_json": HecAnswer(200, {"hello": ["world"]}),
}
#: Failures that have no answer: hang until the endpoint closes, cut the connection, answer what is not JSON.
SPECIAL_FAILURES = ("hang", "close", "not_json")
_MAX_READ = 64 * 1024 * 1024


class HecEndpoint:
    """The endpoint as a context manager; serves on loopback from a thread of its own.

    ``events``: HEC events taken, in order; ``requests``: bodies seen with the status they got.
    """

    def __init__(
        self,
        rules: HecRules,
        certificate: Path,
        private_key: Path | None = None,
        port: int = 0,
        record: Path | None = None,
    ) -> None:
        self.rules = rules
        self.events: list[dict[str, Any]] = []
        self.requests: list[tuple[int, int]] = []  # (bytes, status)
        self.closing = threading.Event()
        self._failures: deque[str | HecAnswer] = deque()
        self._lock = threading.Lock()
        self._record = record
        self._server = _Server(("127.0.0.1", port), _tls(certificate, private_key), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def fail_next(self, failures: Iterable[str]) -> None:
        """The next requests fail in this way, one each, before the rules apply again. Raises ValueError if unknown."""
        wanted = list(failures)
        unknown = sorted(set(wanted) - set(FAILURES) - set(SPECIAL_FAILURES))
        if unknown:
            raise ValueError(f"unknown failures {unknown}; known are {sorted(FAILURES)} and {list(SPECIAL_FAILURES)}")
        with self._lock:
            self._failures.extend(wanted)

    def fail_with(self, answer: HecAnswer) -> None:
        """The next request gets exactly this answer."""
        with self._lock:
            self._failures.append(answer)

    def next_failure(self) -> str | HecAnswer | None:
        """What the request in hand shall get instead of a proper answer."""
        with self._lock:
            return self._failures.popleft() if self._failures else None

    def keep(self, size: int, answer: HecAnswer) -> None:
        """Count a request, and record what was taken."""
        with self._lock:
            self.requests.append((size, answer.status))
            self.events.extend(answer.events)
            if self._record and answer.events:
                with self._record.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in answer.events)

    def serve(self) -> None:
        """Serve in this thread until it is interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self._server.server_close()

    def __enter__(self) -> HecEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits for every answer in hand

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext, endpoint: HecEndpoint) -> None:
        super().__init__(address, _Handler)
        self.tls = tls
        self.endpoint = endpoint

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(5.0)
        wrapped = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off or distrusts the certificate is no fault of the endpoint."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout: ClassVar[float] = 5.0

    def do_POST(self) -> None:
        endpoint = self.server.endpoint
        body = self._body()
        if body is None:
            return self._send(HecAnswer(411, {"text": "Length required", "code": 411}))
        failure = endpoint.next_failure()
        if isinstance(failure, str) and failure in SPECIAL_FAILURES:
            return self._special(failure)
        if failure is None:
            answer = endpoint.rules.answer(self.path, self.headers.get("Authorization"), body)
        else:
            answer = FAILURES[failure] if isinstance(failure, str) else failure
        endpoint.keep(len(body), answer)
        return self._send(answer)

    def do_GET(self) -> None:
        if self.path == "/services/collector/health":
            return self._send(HecAnswer(200, {"text": "HEC is healthy", "code": 17}))
        return self._send(HecAnswer(405, {"text": "Method not allowed", "code": 405}))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (http.server's name)
        """Quiet: what happened is in ``requests``."""

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_READ:
            return None
        return self.rfile.read(int(length))

    def _special(self, failure: str) -> None:
        self.close_connection = True
        if failure == "hang":
            self.server.endpoint.closing.wait(60)
        elif failure == "not_json":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>no</html>")

    def _send(self, answer: HecAnswer) -> None:
        raw = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


def _tls(certificate: Path, private_key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, private_key)
    return context


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted; the address goes to stdout."""
    parser = argparse.ArgumentParser(description="a strict local stand-in for Splunk's HTTP Event Collector")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--record", type=Path, help="append taken events here, one JSON object a line")
    parser.add_argument("--fail", action="append", default=[], help="fail the next request like this; may be repeated")
    chosen = parser.parse_args(arguments)
    rules = HecRules(chosen.token_file.read_text("utf-8").strip())
    endpoint = HecEndpoint(rules, chosen.cert, chosen.key, chosen.port, chosen.record)
    endpoint.fail_next(chosen.fail)
    sys.stdout.write(endpoint.url + "\n")
    sys.stdout.flush()
    endpoint.serve()


if __name__ == "__main__":
    main()
