"""Write-back between processes: a collector that comes and goes, dead letters, replay, and the notable in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from demo.elasticsearch_server import free_port
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.deliver import deliver
from scorer.service.settings import load_settings
from scorer.service.worker.sinks import make_sink
from tests.unit.delivery.builders import TOKEN, make_rows


@contextmanager
def collector(folder: Path, port: int, *failures: str) -> Iterator[str]:
    """The stand-in as a process of its own; yields its address."""
    arguments = ["--port", str(port), "--token-file", str(folder / "token"), "--cert", str(folder / "server.pem")]
    arguments += ["--record", str(folder / "recorded.ndjson")]
    for failure in failures:
        arguments += ["--fail", failure]
    command = [sys.executable, "-m", "demo.standins.hec_endpoint", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "token").chmod(0o600)
    for name, value in {
        "QSCORE_HOME": str(tmp_path),
        "QSCORE_SINK": "hec",
        "QSCORE_HEC__TOKEN_FILE": str(tmp_path / "token"),
        "QSCORE_HEC__CA_FILE": str(tmp_path / "ca.pem"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def qscore(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scorer.cli.main", *arguments]
    environment = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def test_scores_survive_a_collector_that_is_away_and_end_as_a_notable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_rows(12)
    with collector(home, free_port(), "busy") as url:
        monkeypatch.setenv("QSCORE_HEC__URL", url)
        settings = load_settings()
        store = DeadLetters(settings.dead_letters)
        first = deliver(rows[:8], make_sink(settings), store, final=False)
        assert (first.ack.written, len(first.unsent)) == (8, 0)

    last = deliver(rows[8:], make_sink(settings), store, final=True, retry_budget=0.5)
    assert (last.ack.written, last.ack.dead) == (0, 4)
    failed = qscore("dead", "replay")
    assert failed.returncode == 1
    assert "no connection to the HTTP Event Collector" in " ".join(failed.stderr.split())
    assert "Traceback" not in failed.stderr

    with collector(home, int(url.rpartition(":")[2])):
        replayed = qscore("dead", "replay")
        assert replayed.returncode == 0, replayed.stderr
        assert "4 sent" in replayed.stdout
    assert store.counts() == {}

    recorded = [json.loads(line) for line in (home / "recorded.ndjson").read_text("utf-8").splitlines()]
    assert [event["fields"]["qscore_id"] for event in recorded] == rows.ids

    shown = qscore("splunk", "preview", "--events", str(home / "recorded.ndjson"))
    assert shown.returncode == 0, shown.stderr
    assert "Lateral movement: user11 from 10.0.0.1 to srv11 (risk 80)" in shown.stdout
    assert "6 notable events from 12 score events" in shown.stdout
