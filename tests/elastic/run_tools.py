"""A home with a small model of single connections, a stack on it, and connector processes on the real server."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elasticsearch import helpers

from demo.elastic_setup import SCORES_QUERY, Source, settings_text
from demo.running_stack import running_stack
from tests.conftest import make_tiny_model, publish_model
from tests.elastic.conftest import Server

MODEL = "lateral_flow"
MAPPINGS = {
    "properties": {
        "@timestamp": {"type": "date"},
        "event": {"properties": {"ingested": {"type": "date"}, "outcome": {"type": "keyword"}}},
        "source": {"properties": {"ip": {"type": "keyword"}, "bytes": {"type": "keyword"}}},
    }
}


def publish_event_model(home: Path) -> None:
    """Signs a small model that scores single connections and makes it live."""
    publish_model(home, dataclasses.replace(make_tiny_model(MODEL), grain="event"))


@contextlib.contextmanager
def running_beside(server: Server, home: Path) -> Iterator[Path]:
    """A stack with an event model and the runtime key of an Elasticsearch, in ``home``, for the body of a ``with``."""
    publish_event_model(home)
    key = home / "runtime_key"
    key.touch(mode=0o600)
    key.write_text(server.runtime_key())
    # The delivery worker reads the same section when it starts.
    variables = {"QSCORE_ELASTIC__URL": server.url, "QSCORE_ELASTIC__API_KEY_FILE": str(key)}
    with running_stack(home, "--port", "0", "--workers", "1", environment=variables):
        yield home


@dataclass
class Site:
    """One test's place: a home, a source index, a namespace of scores, a name in the state index."""

    server: Server
    home: Path
    index: str
    namespace: str
    source: str
    key_file: Path
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def stream(self) -> str:
        return f"logs-qscore.scores-{self.namespace}"

    def configure(self, index: str | None = None, **elastic: Any) -> None:
        """Write qscore.toml; times are short, so that tests are, and long enough for a machine that is busy: a lease
        that is lost to a pause, or documents that take longer to be found than the overlap, would fail them."""
        values = {
            "lease_seconds": 6.0, "poll_seconds": 0.5, "settle_seconds": 1.0, "overlap_seconds": 15.0,
            "late_seconds": 10.0, "page_documents": 200, **self.settings, **elastic,
        }  # fmt: skip
        source = Source(self.source, index or self.index, MODEL)
        text = settings_text(self.server.url, self.key_file, self.namespace, [source], **values)
        (self.home / "qscore.toml").write_text(text)

    def add(self, documents: int, start: int = 0, ingested: float | None = None, index: str | None = None) -> None:
        """Index connections, visible on return; ids are ``d<number>``."""
        actions = (
            {"_op_type": "create", "_index": index or self.index, "_id": f"d{k}", **connection(k, ingested)}
            for k in range(start, start + documents)
        )
        helpers.bulk(self.server.admin, actions, refresh=True)

    def scores(self) -> list[dict[str, Any]]:
        """All scores and errors, refreshed; heartbeats left out."""
        admin = self.server.admin
        if not admin.indices.exists(index=self.stream):
            return []
        admin.indices.refresh(index=self.stream)
        return list(helpers.scan(admin, index=self.stream, query={"query": SCORES_QUERY}))

    def counts(self) -> Counter[str]:
        """Document id -> scores."""
        return Counter(str(hit["_source"]["qscore"]["source"]["id"]) for hit in self.scores())

    def state(self) -> dict[str, Any]:
        found = self.server.admin.get(index="qscore-state", id=f"{self.source}:{MODEL}")
        return dict(found["_source"])

    def clean(self) -> None:
        """What can go goes; the scores stay, because the development server cannot delete a data stream."""
        admin = self.server.admin
        for index in admin.indices.get(index=self.index + "*", expand_wildcards="all"):
            admin.options(ignore_status=404).indices.delete(index=index)
        admin.options(ignore_status=404).delete(index="qscore-state", id=f"{self.source}:{MODEL}")


def connection(number: int, ingested: float | None = None) -> dict[str, Any]:
    when = datetime.fromtimestamp(ingested or time.time(), UTC).isoformat(timespec="milliseconds")
    return {
        "@timestamp": when,
        "event": {"ingested": when, "outcome": "failure" if number % 5 == 0 else "success", "duration": 10**9},
        "source": {"ip": f"10.0.{number % 7}.{number % 250}", "port": 40000 + number % 999, "bytes": number % 1000},
        "destination": {"ip": f"10.1.0.{number % 11}", "port": (445, 53, 443, 135)[number % 4], "bytes": number % 77},
        "network": {"transport": "tcp"},
    }


class Connector:
    """A `qscore elastic run` of its own process; its log lines are read as they come."""

    def __init__(self, home: Path, *arguments: str, **variables: str) -> None:
        command = [sys.executable, "-m", "scorer.cli.main", "elastic", "run", *arguments]
        environment = os.environ | {"QSCORE_HOME": str(home)} | variables
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            self._waiting.put(line)
        self._waiting.put(None)

    def until(self, word: str, seconds: float = 30.0) -> str:
        """The first line (of any time) that holds ``word``; fails with what was said when none comes."""
        seen = 0
        deadline = time.monotonic() + seconds
        while True:
            for line in self.lines[seen:]:
                seen += 1
                if word in line:
                    return line
            left = deadline - time.monotonic()
            assert left > 0, f"{word!r} was not said: " + "\n".join(self.lines[-20:])
            with contextlib.suppress(queue.Empty):
                self._waiting.get(timeout=min(left, 0.2))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = 60.0) -> int:
        code = self.process.wait(seconds)
        self._thread.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    @property
    def said(self) -> str:
        return "\n".join(self.lines)


@contextlib.contextmanager
def connector(home: Path, *arguments: str, **variables: str) -> Iterator[Connector]:
    """A connector for the body of a ``with``; killed at its end if it still runs."""
    running = Connector(home, *arguments, **variables)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.wait()


def once(site: Site, *arguments: str) -> Connector:
    """Run `qscore elastic run --once` to its end."""
    with connector(site.home, "--once", *arguments) as running:
        running.wait(120)
    return running


def eventually(condition: Any, seconds: float = 40.0) -> bool:
    """Whether ``condition()`` came true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return bool(condition())


def get(url: str) -> tuple[int, str]:
    """Status and body of an HTTP GET on this machine."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # a loopback address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
