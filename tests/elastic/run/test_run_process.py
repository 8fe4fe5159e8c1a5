"""`qscore elastic run` on a real server with the real queue and workers: every document is scored once."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.elasticsearch_server import free_port as any_free_port
from scorer.delivery.dead_letters import DeadLetters
from tests.elastic.conftest import Server
from tests.elastic.run_tools import (
    MAPPINGS,
    MODEL,
    Site,
    connection,
    connector,
    eventually,
    get,
    once,
    running_beside,
)
from tests.integration.stack_tools import qscore, settings_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, installed: Server) -> Iterator[Path]:
    """One stack for all tests of this module."""
    with running_beside(installed, tmp_path_factory.mktemp("run") / "home") as folder:
        yield folder


@pytest.fixture
def free_port() -> int:
    return any_free_port()


@pytest.fixture
def site(home: Path, installed: Server) -> Iterator[Site]:
    """A source index with a mapping and nothing in it."""
    mark = uuid.uuid4().hex[:8]
    made = Site(installed, home, f"logs-e1.{mark}", f"e1{mark}", f"s-{mark}", home / "runtime_key")
    installed.admin.indices.create(index=made.index, mappings=MAPPINGS)
    made.configure()
    yield made
    made.clean()


def test_what_is_there_is_scored_once_and_a_second_run_writes_nothing(site: Site) -> None:
    site.add(450)
    first = once(site)
    assert first.process.returncode == 0, first.said
    assert "450 documents read, 450 scores written, 0 there already, 0 in the dead letters" in first.said
    assert site.counts() == {f"d{k}": 1 for k in range(450)}
    state = site.state()
    assert (state["owner"], state["epoch"]) == ("", 1), "the lease is given back"
    second = once(site)
    assert "0 scores written, 0 there already" in second.said, second.said
    assert set(site.counts().values()) == {1}


def test_documents_are_scored_as_they_arrive_and_a_stop_keeps_the_checkpoint(site: Site, free_port: int) -> None:
    site.configure(health_port=free_port)
    written = f'qscore_elastic_written_total{{model="{MODEL}",source="{site.source}"}} 60.0'
    with connector(site.home) as running:
        running.until("leading")
        site.add(30)
        assert eventually(lambda: len(site.scores()) == 30), running.said
        site.add(30, start=30)
        assert eventually(lambda: len(site.scores()) == 60), running.said
        # What Elasticsearch has, the connector knows a moment later: by the acknowledgement.
        assert eventually(lambda: written in get(f"http://127.0.0.1:{free_port}/metrics")[1]), running.said
        status, body = get(f"http://127.0.0.1:{free_port}/readyz")
        assert (status, '"state":"leading"' in body) == (200, True), body
        assert get(f"http://127.0.0.1:{free_port}/healthz")[0] == 200
        assert running.end(signal.SIGTERM) == 0, running.said
    assert "60 scores written" in running.said
    assert site.state()["checkpoint"]["time"].startswith("20")
    site.add(10, start=60)
    assert "10 scores written" in once(site).said
    assert site.counts() == {f"d{k}": 1 for k in range(70)}


def test_killing_the_leader_moves_the_lease_within_its_stated_time(site: Site) -> None:
    lease, poll = 4.0, 3.0
    site.configure(lease_seconds=lease, poll_seconds=poll)
    with connector(site.home) as leader:
        leader.until('"leading"')
        with connector(site.home) as standby:
            standby.until("running:")
            site.add(100)
            assert eventually(lambda: len(site.scores()) == 100), leader.said
            assert '"leading"' not in standby.said
            site.add(400, start=100)
            leader.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            standby.until('"leading"', seconds=30)
            took = time.monotonic() - killed
            assert took <= lease + poll, f"{took:.1f} s; stated are lease_seconds and poll_seconds"
            site.add(50, start=500)
            assert eventually(lambda: len(site.counts()) == 550), standby.said
            assert set(site.counts().values()) == {1}
            assert site.state()["epoch"] >= 2


def test_a_leader_that_was_frozen_stands_by_afterwards(site: Site) -> None:
    with connector(site.home) as first:
        first.until('"leading"')
        site.add(50)
        assert eventually(lambda: len(site.scores()) == 50), first.said
        with connector(site.home) as second:
            second.until("running:")
            first.process.send_signal(signal.SIGSTOP)
            site.add(300, start=50)
            second.until('"leading"', seconds=30)
            first.process.send_signal(signal.SIGCONT)
            first.until("standing_by", seconds=30)
            site.add(50, start=350)
            assert eventually(lambda: len(site.counts()) == 400), second.said
            assert set(site.counts().values()) == {1}
            assert '"epoch": 2' in second.said


def test_a_revoked_key_is_one_clear_sentence_and_nothing_is_lost(site: Site, tmp_path: Path) -> None:
    key = tmp_path / "own_key"
    key.touch(mode=0o600)
    encoded = site.server.runtime_key()
    key.write_text(encoded)
    site.configure(api_key_file=str(key))
    with connector(site.home) as running:
        running.until('"leading"')
        site.add(40)
        assert eventually(lambda: len(site.scores()) == 40), running.said
        site.server.revoke(encoded)
        site.add(40, start=40)
        running.until("the API key is not accepted", seconds=40)
        assert running.process.poll() is None, "it goes on trying"
        running.end()
    site.configure()
    assert once(site).process.returncode == 0
    assert site.counts() == {f"d{k}": 1 for k in range(80)}


def test_what_cannot_be_scored_is_written_as_an_error_beside_the_scores(site: Site) -> None:
    good = connection(1)
    odd: dict[str, dict[str, Any]] = {
        "integer": {**good, "source": {**good["source"], "ip": 167772161}},
        "single": {**good, "source": {**good["source"], "ip": ["10.0.0.1"]}},
        "several": {**good, "destination": {**good["destination"], "port": [445, 22]}},
        "no-time": {name: value for name, value in good.items() if name != "@timestamp"},
        "nothing": {"event": {"ingested": good["event"]["ingested"]}},
        "large": {**good, "message": "x" * 5_000_000},
    }
    for name, document in odd.items():
        site.server.admin.index(index=site.index, id=name, document=document)
    site.add(5)
    assert once(site).process.returncode == 0
    found = {hit["_source"]["qscore"]["source"]["id"]: hit["_source"] for hit in site.scores()}
    kinds = {name: document["event"]["kind"] for name, document in found.items()}
    assert kinds == {
        "integer": "enrichment", "single": "enrichment", "large": "enrichment", "several": "pipeline_error",
        "no-time": "pipeline_error", "nothing": "pipeline_error", **{f"d{k}": "enrichment" for k in range(5)},
    }  # fmt: skip
    assert "destination.port holds 2 values" in found["several"]["error"]["message"]
    assert "@timestamp is missing" in found["no-time"]["error"]["message"]


def test_heartbeats_say_that_the_source_is_led(site: Site) -> None:
    def beats() -> list[dict[str, Any]]:
        if not site.server.admin.indices.exists(index=site.stream):
            return []
        site.server.admin.indices.refresh(index=site.stream)
        query = {"term": {"event.kind": "metric"}}
        return [hit["_source"] for hit in site.server.admin.search(index=site.stream, query=query)["hits"]["hits"]]

    site.add(20)
    with connector(site.home) as running:
        assert eventually(lambda: bool(beats())), running.said
    beat = beats()[0]
    assert beat["qscore"]["heartbeat"]["source"] == site.source
    assert beat["qscore"]["heartbeat"]["state"] == "leading"
    assert beat["qscore"]["model"]["name"] == MODEL


def test_a_source_nobody_configured_is_one_sentence(site: Site) -> None:
    ended = once(site, "--source", "other")
    assert ended.process.returncode == 1
    assert f"there is no source 'other'. Sources: {site.source}." in ended.said


@pytest.mark.parametrize(
    ("close", "reopen", "why"),
    [
        (("disable", MODEL), ("enable", MODEL), "is disabled by its operators"),
        (("drain", "--wait", "20"), ("drain", "--undo"), "drained"),
    ],
)
def test_what_operators_close_costs_no_document(
    site: Site, close: tuple[str, ...], reopen: tuple[str, ...], why: str
) -> None:
    """Documents that come meanwhile wait in their index, not in the dead letters, and are scored afterwards."""
    with connector(site.home) as running:
        running.until("leading")
        site.add(20)
        assert eventually(lambda: len(site.scores()) == 20), running.said
        try:
            assert qscore(site.home, *close).returncode == 0
            time.sleep(2.0)  # every process has looked
            site.add(30, start=20)
            running.until(why)
            assert len(site.scores()) == 20
            assert not DeadLetters(settings_of(site.home).dead_letters).list()
        finally:
            assert qscore(site.home, *reopen).returncode == 0
        assert eventually(lambda: len(site.scores()) == 50), running.said
        assert site.counts() == {f"d{k}": 1 for k in range(50)}
