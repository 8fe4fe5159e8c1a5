"""A local HTTPS HTTP Event Collector that enforces Splunk's documented rules and can be told to fail.

    python -m demo.standins.hec_endpoint --port 0 --token-file FILE --cert PEM --key PEM [--record FILE]

prints its address on the first line and serves until it is ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from demo.standins.hec_rules import HecAnswer, HecRules, refusal
from demo.standins.https_server import EndpointHandler, HttpsEndpoint, endpoint_of

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


class HecEndpoint(HttpsEndpoint):
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
        self._failures: deque[str | HecAnswer] = deque()
        self._lock = threading.Lock()
        self._record = record
        self.answer_after = 0.0  # seconds between taking events and saying so, as over a network
        super().__init__(_Handler, certificate, private_key, port)

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
        """Take the failure that the request in hand shall get instead of a proper answer."""
        with self._lock:
            return self._failures.popleft() if self._failures else None

    def keep(self, size: int, answer: HecAnswer) -> None:
        """Count a request, and record what was taken."""
        with self._lock:
            if self._record and answer.events:
                with self._record.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(event, ensure_ascii=False) + "\n" for event in answer.events)
            # After the file: whoever sees the events here may read them there.
            self.requests.append((size, answer.status))
            self.events.extend(answer.events)


class _Handler(EndpointHandler):
    def do_POST(self) -> None:
        endpoint = self._endpoint
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
        endpoint.closing.wait(endpoint.answer_after)
        return self._send(answer)

    def do_GET(self) -> None:
        if self.path == "/services/collector/health":
            return self._send(HecAnswer(200, {"text": "HEC is healthy", "code": 17}))
        return self._send(HecAnswer(405, {"text": "Method not allowed", "code": 405}))

    @property
    def _endpoint(self) -> HecEndpoint:
        found: HecEndpoint = endpoint_of(self)
        return found

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_READ:
            return None
        return self.rfile.read(int(length))

    def _special(self, failure: str) -> None:
        self.close_connection = True
        if failure == "hang":
            self._endpoint.closing.wait(60)
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


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted; the address goes to stdout."""
    parser = argparse.ArgumentParser(description="a strict local stand-in for Splunk's HTTP Event Collector")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--cert", type=Path, required=True)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--record", type=Path, help="append taken events here, one JSON object a line")
    parser.add_argument("--fail", action="append", default=[], help="fail the next request like this; may be repeated")
    parser.add_argument("--answer-after", type=float, default=0.0, help="seconds between taking events and saying so")
    chosen = parser.parse_args(arguments)
    rules = HecRules(chosen.token_file.read_text("utf-8").strip())
    endpoint = HecEndpoint(rules, chosen.cert, chosen.key, chosen.port, chosen.record)
    endpoint.fail_next(chosen.fail)
    endpoint.answer_after = chosen.answer_after
    sys.stdout.write(endpoint.url + "\n")
    sys.stdout.flush()
    endpoint.serve()


if __name__ == "__main__":
    main()
