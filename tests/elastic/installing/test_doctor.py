"""`qscore elastic doctor` on a real Elasticsearch: what is well, what is not, and what it says to do."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from elastic_connector.install.asset_files import Names
from elastic_connector.install.doctor.checks import Doctor
from elastic_connector.install.doctor.findings import Finding, failed
from elastic_connector.install.privileges import installer_role, runtime_role
from scorer.cli.main import build
from scorer.elastic_client.settings import ElasticSettings
from tests.elastic.conftest import Server
from tests.elastic.sink_tools import under_flood_stage

SOURCE = "doctor"


@pytest.fixture
def index(elasticsearch: Server) -> Iterator[str]:
    """An index of documents with event.ingested, as a source has them."""
    name = f"e3-doctor-{uuid.uuid4().hex[:8]}"
    mapping = {"properties": {"event": {"properties": {"ingested": {"type": "date"}, "code": {"type": "keyword"}}}}}
    elasticsearch.admin.indices.create(index=name, mappings=mapping)
    document = {"event": {"ingested": "2026-01-01T00:00:00Z", "code": "4624"}}
    elasticsearch.admin.index(index=name, document=document, refresh=True)
    yield name
    elasticsearch.admin.options(ignore_status=404).indices.delete(index=name)


def settings_of(server: Server, index: str, namespace: str, **source: Any) -> ElasticSettings:
    given = {"name": SOURCE, "index": index, "model": "lateral", **source}
    return ElasticSettings(url=server.url, namespace=namespace, sources=[given])


def examine(client: Elasticsearch, settings: ElasticSettings) -> list[Finding]:
    return Doctor(client, settings, Names(state_index=settings.state_index)).examine()


def said(findings: list[Finding], check: str) -> dict[str, str]:
    return {finding.detail: finding.state for finding in findings if finding.check == check}


def one(findings: list[Finding], words: str) -> Finding:
    (found,) = [finding for finding in findings if words in finding.detail]
    return found


@pytest.fixture
def runtime(installed: Server, index: str) -> Iterator[Elasticsearch]:
    client = installed.client(installed.api_key("doctor", runtime_role([index])))
    yield client
    client.close()


@pytest.fixture
def leading(installed: Server) -> Iterator[Callable[..., None]]:
    """Writes the state document of the source as a connector does."""

    def write(owner: str = "host:1", silent: float = 0.0, checkpoint: str = "2026-02-01T00:00:00Z") -> None:
        updated = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=silent)
        body = {"owner": owner, "epoch": 3, "updated": updated.isoformat(), "checkpoint": {"time": checkpoint}}
        installed.admin.index(index="qscore-state", id=f"{SOURCE}:lateral", document=body, refresh=True)

    yield write
    installed.admin.options(ignore_status=404).delete(index="qscore-state", id=f"{SOURCE}:lateral")


def test_all_is_well_for_the_runtime_key(
    installed: Server, runtime: Elasticsearch, index: str, namespace: str, leading: Callable[..., None]
) -> None:
    leading()
    findings = examine(runtime, settings_of(installed, index, namespace, query="event.code:4624"))
    assert not failed(findings)
    checks = ("version", "licence", "clock", "privileges", f"source {SOURCE}")
    assert all(set(said(findings, check).values()) == {"ok"} for check in checks), findings
    assert {finding.state for finding in findings if finding.check == "assets"} == {"skip"}
    assert "read by host:1 (epoch 3)" in said(findings, f"source {SOURCE}")


def test_an_administrator_sees_the_assets_and_is_told_to_use_less(
    installed: Server, index: str, namespace: str
) -> None:
    findings = examine(installed.admin, settings_of(installed, index, namespace))
    assert set(said(findings, "assets").values()) == {"ok"}
    assert one(findings, "far more than running needs").state == "warn"


def test_the_installer_key_is_not_blamed_for_not_running(installed: Server, index: str, namespace: str) -> None:
    client = installed.client(installed.admin.security.create_api_key(
        name="qscore-installer", role_descriptors={"r": installer_role()}
    )["encoded"])  # fmt: skip
    findings = examine(client, settings_of(installed, index, namespace))
    client.close()
    assert said(findings, "privileges") == {"this is the installer key, which is not for running": "skip"}
    assert set(said(findings, "assets").values()) == {"ok"}


def test_what_is_not_installed(installed: Server, index: str) -> None:
    settings = settings_of(installed, index, "default").model_copy(update={"state_index": f"e3-{uuid.uuid4().hex[:8]}"})
    findings = examine(installed.admin, settings)
    assert one(findings, f"index {settings.state_index} is missing").remedy == "Run `qscore elastic install`."
    assert failed(findings)


def test_a_key_that_lacks_privileges(installed: Server, index: str, namespace: str) -> None:
    role = {"cluster": ["monitor"], "indices": [{"names": [index], "privileges": ["read", "view_index_metadata"]}]}
    client = installed.client(installed.api_key("poor", role))
    findings = examine(client, settings_of(installed, index, namespace))
    client.close()
    lacking = one(findings, "the login lacks")
    assert lacking.state == "fail"
    assert "create_doc on logs-qscore.scores-*" in lacking.detail
    assert "write on qscore-state" in lacking.detail


def test_a_revoked_key_is_one_finding(installed: Server, index: str, namespace: str) -> None:
    made = installed.admin.security.create_api_key(name="gone", role_descriptors={"r": runtime_role()})
    installed.admin.security.invalidate_api_key(ids=[made["id"]])
    client = installed.client(made["encoded"])
    (finding,) = examine(client, settings_of(installed, index, namespace))
    client.close()
    assert finding.state == "fail"
    assert "not accepted" in finding.detail
    assert finding.remedy


def test_a_connector_that_fell_silent_or_never_ran(
    installed: Server, runtime: Elasticsearch, index: str, namespace: str, leading: Callable[..., None]
) -> None:
    settings = settings_of(installed, index, namespace)
    assert one(examine(runtime, settings), "never been read").state == "warn"
    leading(silent=300)
    assert one(examine(runtime, settings), "silent for").state == "fail"
    leading(owner="")
    assert one(examine(runtime, settings), "nobody reads it").state == "warn"


def test_documents_that_wait_are_lag(
    installed: Server, runtime: Elasticsearch, index: str, namespace: str, leading: Callable[..., None]
) -> None:
    leading(checkpoint="2025-12-31T00:00:00Z")
    lag = one(examine(runtime, settings_of(installed, index, namespace)), "1 documents waiting")
    assert lag.state == "warn"
    assert "add workers" in lag.remedy


@pytest.mark.parametrize(
    ("mapping", "document", "words", "state"),
    [
        ({}, {"a": 1}, "has the time field event.ingested", "fail"),
        ({"event.ingested": {"type": "keyword"}}, {"event": {"ingested": "x"}}, "of type keyword, not a date", "fail"),
        ({"event.ingested": {"type": "date"}}, {"a": 1}, "1 documents have no event.ingested", "warn"),
    ],
)
def test_a_source_that_cannot_be_read_by_arrival(
    installed: Server, namespace: str, mapping: dict[str, Any], document: dict[str, Any], words: str, state: str
) -> None:
    name = f"e3-doctor-{uuid.uuid4().hex[:8]}"
    installed.admin.indices.create(index=name, mappings={"properties": mapping})
    installed.admin.index(index=name, document=document, refresh=True)
    findings = examine(installed.admin, settings_of(installed, name, namespace))
    installed.admin.indices.delete(index=name)
    assert one(findings, words).state == state
    if "keyword" not in words:
        assert "qscore-event-ingested" in one(findings, words).remedy


def test_a_source_without_index_with_a_closed_one_and_without_matches(
    installed: Server, runtime: Elasticsearch, index: str, namespace: str
) -> None:
    gone = examine(runtime, settings_of(installed, "e3-nothing-*", namespace))
    assert one(gone, "no index matches").state == "warn"
    nothing = examine(runtime, settings_of(installed, index, namespace, query="event.code:1"))
    assert one(nothing, "no document matches its query").state == "warn"
    copied = examine(runtime, settings_of(installed, index, namespace, copy=["process.command_line", "user.name"]))
    assert one(copied, "cannot be searched").detail.endswith("process.command_line")
    misplaced = examine(runtime, settings_of(installed, index, namespace, copy=["user.name.first", "labels.env"]))
    finding = one(misplaced, "user.name.first is not copied onto scores: user.name is a single value")
    assert "Take it out of `copy`" in finding.remedy
    assert not [f for f in misplaced if "cannot be searched" in f.detail]
    installed.admin.indices.create(index=f"{index}-old")
    installed.admin.indices.close(index=f"{index}-old")
    closed = examine(installed.admin, settings_of(installed, f"{index}*", namespace))
    installed.admin.indices.delete(index=f"{index}-old")
    assert "backfill" in one(closed, "closed indices are not read").remedy


def test_a_full_disk(installed: Server, runtime: Elasticsearch, index: str, namespace: str) -> None:
    stream = f"logs-qscore.scores-{namespace}"
    installed.admin.create(index=stream, id="1", document={"@timestamp": "2026-01-01"}, refresh=True)
    settings = settings_of(installed, index, namespace)
    findings = under_flood_stage(installed.admin, stream, lambda _: examine(runtime, settings))
    blocked = one(findings, f"{stream} takes no writes")
    assert blocked.state == "fail"
    assert "Free disk space" in blocked.remedy


def test_a_closed_index_of_the_scores_hides_nothing_else(
    installed: Server, runtime: Elasticsearch, index: str, namespace: str
) -> None:
    """Counting a stream of which one index is closed is an error of its own in Elasticsearch."""
    admin, stream = installed.admin, f"logs-qscore.scores-{namespace}"
    first = admin.create(index=stream, id="1", document={"@timestamp": "2026-01-01"})["_index"]
    admin.indices.rollover(alias=stream)
    admin.create(index=stream, id="2", document={"@timestamp": "2026-01-01"}, refresh=True)
    admin.indices.close(index=first)
    findings = examine(runtime, settings_of(installed, index, namespace))
    admin.indices.open(index=first)
    assert one(findings, f"{stream}: 1 documents in 2 indices").state == "ok"


class OpenSearch(BaseHTTPRequestHandler):
    """Answers GET / as OpenSearch does: without the header X-Elastic-Product."""

    def do_GET(self) -> None:
        body = json.dumps({"version": {"distribution": "opensearch", "number": "2.11.0"}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing on stderr."""


def test_an_opensearch_server_is_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), OpenSearch) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            result = command(tmp_path, monkeypatch, f"http://127.0.0.1:{server.server_address[1]}", "key")
        finally:
            server.shutdown()
            thread.join()
    (finding,) = of_the_cluster(result.stdout)
    assert result.exit_code == 1
    assert "OpenSearch" in finding["detail"]


def test_a_server_that_is_not_there_is_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command(tmp_path, monkeypatch, "http://127.0.0.1:9", "key")
    (finding,) = of_the_cluster(result.stdout)
    assert result.exit_code == 1
    assert finding["state"] == "fail"
    assert finding["remedy"]


def of_the_cluster(printed: str) -> list[dict[str, str]]:
    """Findings, without those of the queue, which is looked at whatever the cluster is."""
    findings: list[dict[str, str]] = [json.loads(line) for line in printed.splitlines()]
    assert [finding["state"] for finding in findings if finding["check"] == "queue"] == ["ok"]
    return [finding for finding in findings if finding["check"] != "queue"]


def command(home: Path, monkeypatch: pytest.MonkeyPatch, url: str, key: str) -> Any:
    """`qscore elastic doctor --json` with a key of that text."""
    path = home / "key"
    path.touch(mode=0o600)
    path.write_text(key)
    monkeypatch.setenv("QSCORE_HOME", str(home))
    (home / "qscore.toml").write_text(f'[elastic]\nurl = "{url}"\napi_key_file = "{path}"\n')
    return CliRunner().invoke(build(), ["elastic", "doctor", "--json"])


def test_the_command_prints_a_line_for_each_finding(
    installed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = command(tmp_path, monkeypatch, installed.url, installed.runtime_key())
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert {finding["check"] for finding in findings} >= {"version", "licence", "clock", "privileges", "sources"}
    assert result.exit_code == 1, "no source is configured"
    table = CliRunner().invoke(build(), ["elastic", "doctor"])
    assert "no source is configured" in table.stdout
