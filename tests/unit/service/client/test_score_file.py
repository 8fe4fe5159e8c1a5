"""A file's rows through a gateway that answers, refuses and is full, without a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import stamina
import trustme
from filelock import FileLock

from scorer.rows.files import write_table
from scorer.service.access.api_keys import write_private
from scorer.service.client.score_file import csv_bytes, score_file
from scorer.service.settings import load_settings
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.errors import BadInput, BadTrainingData, QueueFull
from scorer.wire.names import MAX_ROWS, OUTPUT_COLUMNS
from scorer.wire.options import ScoreOptions
from tests.acceptance.scripted_gateway import KEY, ScriptedGateway

TRIES = 3


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path]:
    """The authority's certificate, and the gateway's with its key."""
    authority, ca, own = trustme.CA(), tmp_path / "ca.pem", tmp_path / "own.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
    return ca, own


@pytest.fixture
def gateway(certificates: tuple[Path, Path]) -> Iterator[ScriptedGateway]:
    with ScriptedGateway(certificates[1]) as endpoint:
        yield endpoint


@pytest.fixture
def connect(gateway: ScriptedGateway, certificates: tuple[Path, Path]) -> Callable[[], GatewayClient]:
    return lambda: GatewayClient(gateway.url, KEY, str(certificates[0]), 30.0)


@pytest.fixture
def impatient() -> Iterator[None]:
    """Three tries at a full queue, without pauses."""
    with stamina.set_testing(True, attempts=TRIES):
        yield


def rows_file(folder: Path, count: int, **more: list[str]) -> Path:
    table = pa.table({"failures": [str(k) for k in range(count)], "logons": ["3"] * count, **more})
    write_table(table, folder / "rows.csv")
    return folder / "rows.csv"


def test_rows_keep_their_columns_and_order_over_chunks(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    count = MAX_ROWS + 2
    file = rows_file(tmp_path, count, note=["x"] * count, qscore=["old"] * count)
    heard: list[tuple[str, int, int]] = []
    scored = score_file(file, "lateral", ScoreOptions(), connect, lambda *step: heard.append(step))
    assert scored.table.column_names == ["failures", "logons", "note", *OUTPUT_COLUMNS]
    reasons = scored.table["qscore_reason"].to_pylist()
    assert reasons == [f"logons=3; failures={k}" for k in range(count)]
    assert (scored.chunks, scored.scored, scored.alerts, scored.problems) == (2, count, 0, {})
    assert scored.submitter is None
    text = "scoring with lateral 7"
    assert heard == [(text, 0, count), (text, MAX_ROWS, count), (text, count, count)]
    assert [request.header for request in gateway.requests] == [("logons", "failures")] * 2  # and nothing else travels
    assert {request.query["version"] for request in gateway.requests} == {"7"}  # a promotion splits no file


def test_written_rows_take_their_context_along_and_somebody_hears_of_them(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    file = rows_file(tmp_path, 2, user=["a", "b"])
    scored = score_file(file, "lateral", ScoreOptions(write=True), connect)
    assert scored.submitter is not None
    assert gateway.requests[0].header == ("logons", "failures", "user")


@pytest.mark.usefixtures("impatient")
def test_a_full_queue_is_asked_again_for_the_same_batch(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    gateway.score_script.extend(["queue_full", "queue_full"])
    scored = score_file(rows_file(tmp_path, 3), "lateral", ScoreOptions(), connect)
    assert scored.scored == 3
    assert len(gateway.requests) == 3
    assert len({request.batch_id for request in gateway.requests}) == 1


def test_a_key_over_its_limit_comes_again_when_the_gateway_says(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    gateway.score_script.append("over_limit")
    assert score_file(rows_file(tmp_path, 3), "lateral", ScoreOptions(), connect).scored == 3
    first, second = gateway.moments
    assert second - first >= gateway.retry_after


@pytest.mark.usefixtures("impatient")
def test_a_queue_that_stays_full_is_told(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    gateway.score_script.extend(["queue_full"] * 10)
    with pytest.raises(QueueFull, match="64 batches wait already"):
        score_file(rows_file(tmp_path, 3), "lateral", ScoreOptions(), connect)
    assert len(gateway.requests) == TRIES


def test_standard_output_holds_the_scores_alone_whatever_the_queue_says(
    tmp_path: Path, gateway: ScriptedGateway, certificates: tuple[Path, Path]
) -> None:
    """As a command, beside a stack that runs: this test holds its lock. Retries would be logged between the rows."""
    gateway.score_script.append("queue_full")
    settings = load_settings(home=tmp_path / "home")
    for folder in (settings.run_dir, settings.local_key.parent):
        folder.mkdir(parents=True)
    write_private(
        settings.run_dir / "stack.json", json.dumps(vars(StackState(1, gateway.url, str(certificates[0])))).encode()
    )
    write_private(settings.local_key, KEY.encode())
    command = [sys.executable, "-m", "scorer.cli.main", "score", str(rows_file(tmp_path, 2))]
    with FileLock(settings.run_dir / "stack.lock", mode=0o600):
        environment = os.environ | {"QSCORE_HOME": str(settings.home)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(gateway.requests) == 2
    header, *lines = done.stdout.splitlines()
    assert header.replace('"', "") == ",".join(["failures", "logons", *OUTPUT_COLUMNS])
    assert [line.split(",")[0].strip('"') for line in lines] == ["0", "1"]
    assert "2 of 2 rows scored, 0 over the line (lateral 7: Rows of this test.)" in done.stderr


def test_what_cannot_be_scored_is_named_before_anything_is_asked(
    tmp_path: Path, gateway: ScriptedGateway, connect: Callable[[], GatewayClient]
) -> None:
    with pytest.raises(BadTrainingData, match=r"absent\.csv cannot be read"):
        score_file(tmp_path / "absent.csv", "lateral", ScoreOptions(), connect)
    assert gateway.card_requests == 0
    write_table(pa.table({"logons": ["1"]}), tmp_path / "few.csv")
    with pytest.raises(BadInput, match=r"few\.csv has no column failures.*qscore rows --model lateral"):
        score_file(tmp_path / "few.csv", "lateral", ScoreOptions(), connect)
    assert gateway.requests == []
    with pytest.raises(BadInput, match="cannot be written as CSV"):
        csv_bytes(pa.table({"lists": [[1, 2]]}))


def test_programs_score_a_file_without_a_terminals_libraries() -> None:
    code = "import sys; sys.modules['typer'] = sys.modules['rich'] = None; import scorer.service.client.score_file"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
