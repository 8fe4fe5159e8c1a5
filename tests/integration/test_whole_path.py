"""Real captures from training to HEC events: the built app's command, gateway, queue, worker, event collector."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import average_precision_score

from demo.material import Material
from demo.stage import Stage, demo_settings, open_stage
from demo.standins.search_process import SearchProcess
from scorer.registry.cards import CardStore
from scorer.rows.columns import KEY_COLUMNS
from scorer.rows.files import read_table, write_table
from scorer.wire.errors import Unavailable
from scorer.wire.names import OUTPUT_COLUMNS
from tests.conftest import build
from tests.integration.stack_tools import client_of, eventually, processes, send, stopped

MORDOR = "lm_winevents_mordor_covenant"
CASES = {"lateral": "logon_events_labelled.csv.gz", "lateral_flow": "host_flows_labelled.csv.gz"}


@pytest.fixture(scope="session")
def app_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built afresh."""
    return build("build_app.py", tmp_path_factory.mktemp("dist"))


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        yield Path(folder)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with _short_folder() as folder:
        yield folder


def _by_capture(events: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Every fourth capture is scored, with a model trained on the others."""
    captures = sorted(set(events["capture"].to_pylist()))
    scored = pc.is_in(events["capture"], pa.array(captures[::4]))
    return events.filter(pc.invert(scored)), events.filter(scored)


def _qscore(home: Path, *arguments: str) -> None:
    environment = os.environ | {"QSCORE_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "scorer.cli.main", *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("model", sorted(CASES))
def test_a_model_trained_on_some_captures_scores_the_others_through_the_whole_path(
    model: str, shared_data: Path, app_archive: Path, short_folder: Path
) -> None:
    past, future = _by_capture(read_table(shared_data / MORDOR / CASES[model]))
    training = short_folder / "past.parquet"
    write_table(past, training)
    home = short_folder / "home"
    options = ("--label", "label_lm", "--group", "capture", "--fpr", "0.05")
    _qscore(home, "train", "--model", model, "--data", str(training), *options)
    settings = demo_settings(short_folder)
    card = CardStore(settings.registry, settings.trusted_keys).card(model)
    assert card.version == "1"
    assert not card.starter
    assert not set(card.required_fields) & {"user", "src", "dest", "host", "src_port", "dest_port", "_time"}

    material = Material(model, future.drop_columns(["capture"]), "label_lm")
    with open_stage(short_folder, app_archive) as stage:
        search = f"index=demo | `{card.macro}` | qscore model={model} write=true"
        scored = stage.search(search, material.events())
        _assert_scored(material.judged(card.grain, scored), card.version)
        written = stage.written_events(len(scored))
        _assert_written(written, scored)
        again = stage.search(search, material.events())
        assert [row["qscore"] for row in again] == [row["qscore"] for row in scored]
        _assert_nothing_twice(stage.written_events(2 * len(scored)), len(scored))
        tally = stage.tstats("| tstats max(qscore) as highest where `qscore_index` by qscore_model")
    highest = max(float(row["qscore"]) for row in scored)
    assert [(row["qscore_model"], float(row["highest"])) for row in tally] == [(model, highest)]


def _assert_scored(judged: list[tuple[bool, Mapping[str, Any]]], version: str) -> None:
    """Every row has every output column, and the ranking beats chance on captures never trained on."""
    rows = [row for _, row in judged]
    assert all(set(OUTPUT_COLUMNS) <= set(row) for row in rows)
    assert {row["qscore_status"] for row in rows} == {"ok"}
    assert {row["qscore_version"] for row in rows} == {version}
    y = np.array([bad for bad, _ in judged])
    assert y.sum() >= 5
    probability = np.array([float(row["qscore"]) for row in rows])
    assert average_precision_score(y, probability) > 1.5 * y.mean()


def _assert_written(written: list[dict[str, Any]], scored: list[dict[str, Any]]) -> None:
    """One event for each row, with the row's own time and scores."""
    assert len(written) == len(scored)
    found = {_identity({**event["fields"], "_time": event["time"]}, "orig_id"): event for event in written}
    assert len(found) == len(scored)
    for row in scored:
        event = found[_identity(row, "origin_id")]
        assert event["time"] == pytest.approx(float(row["_time"]), abs=1e-3)
        for name in ("qscore", "qscore_risk", "qscore_band", "qscore_alert", "qscore_version"):
            assert event["fields"][name] == row[name]


def _identity(values: Mapping[str, Any], origin: str) -> tuple[str, ...]:
    """What makes an event or a window itself."""
    if values.get(origin):
        return (str(values[origin]),)
    keys = (str(values.get(name) or "") for name in KEY_COLUMNS)
    return (f"{float(values['_time']):.3f}", *keys)


def _assert_nothing_twice(written: list[dict[str, Any]], rows: int) -> None:
    """Written twice, and one id each: what readers see after qscore_dedup is what there was."""
    assert len(written) == 2 * rows
    assert len({event["fields"]["qscore_id"] for event in written}) == rows


@pytest.fixture(scope="module")
def shared(app_archive: Path, publish_tiny: Callable[[Path], None]) -> Iterator[Stage]:
    with _short_folder() as folder:
        publish_tiny(folder / "home")
        with open_stage(folder, app_archive) as stage:
            yield stage


@pytest.fixture
def running(shared: Stage) -> Stage:
    """One stage for the tests after which it must be whole again."""
    assert eventually(lambda: _scores(shared), 60.0)
    return shared


def _chunk(rows: int) -> bytes:
    return b"events,logons,failures\n" + b"".join(b"%d,%d,0\n" % (2 + i % 7, i % 2) for i in range(rows))


def _scores(stage: Stage) -> bool:
    with client_of(stage.home, stage.state) as client:
        try:
            return client.score("lateral", _chunk(1), 1, timeout=5.0).scored == 1
        except Unavailable:
            return False


@pytest.mark.parametrize(
    ("killed", "said"),
    [
        ("scorer.service.gateway", "the gateway https://127.0.0.1:"),
        ("scorer.service.worker", "no worker answered for batch "),
    ],
)
def test_a_killed_process_costs_scores_but_no_row_and_the_next_search_is_whole(
    running: Stage, killed: str, said: str
) -> None:
    search = {"args": ["model=lateral", "timeout=4"], **running.searchinfo}
    with SearchProcess(running.command, running.environment) as process:
        process.getinfo(**search)
        before = process.execute(_chunk(50))
        assert before.body.count(b",ok\n") == 50
        with stopped([running.state.pid]):  # so that nothing is restarted while we look
            send(signal.SIGKILL, processes(running.home, killed))
            during = process.execute(_chunk(60))
            later = process.execute(_chunk(70), finished=True)
        status, stderr, _ = process.finish()
    assert (status, stderr) == (0, "")
    for answer, rows in ((during, 60), (later, 70)):
        lines = answer.body.splitlines()
        assert len(lines) == rows + 1
        assert all(b"not_scored: " in line for line in lines[1:])
        assert not any(b",ok" in line for line in lines[1:])
    warnings = [text for answer in (before, during, later) for level, text in answer.messages if level == "WARN"]
    assert len(warnings) == 1
    assert warnings[0].startswith("qscore: rows came back without scores: ")
    assert said in warnings[0]
    assert "Run `qscore status`" in warnings[0]

    assert eventually(lambda: _scores(running), 60.0)
    with SearchProcess(running.command, running.environment) as process:
        process.getinfo(**search)
        assert process.execute(_chunk(50), finished=True).body.count(b",ok\n") == 50
