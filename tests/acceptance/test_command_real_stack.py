"""`| qscore` of the built app against the real gateway, queue and workers: what rows may hold."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.standins.search_process import CommandReply, SearchOutcome
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.service.settings import load_settings
from scorer.service.stack.up import read_state
from scorer.wire.client import GatewayClient
from scorer.wire.errors import QScoreError
from scorer.wire.names import OUTPUT_COLUMNS
from tests.acceptance.conftest import Authority, InstalledApp

HEADER = "events,logons,failures"


@dataclass(frozen=True)
class Running:
    """A gateway that scores: where it is, who signed it, and a key for it."""

    url: str
    ca_file: str
    key: str


@pytest.fixture(scope="session")
def stack(publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    """`qscore up` with the small model, in a folder whose path leaves room for a Unix socket's.

    One for both of Splunk's Pythons, whose tests do not run module by module.
    """
    with tempfile.TemporaryDirectory(prefix="qs-") as name:
        home = Path(name) / "home"
        publish_tiny(home)
        environment = {**os.environ, "QSCORE_HOME": str(home), "QSCORE_GATEWAY__PORT": "0"}
        command = [sys.executable, "-m", "scorer.cli.main", "up"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                yield _wait(home, process)
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0


def _wait(home: Path, process: subprocess.Popen[bytes]) -> Running:
    settings = load_settings(home=home)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        state = read_state(settings)
        if state is not None and state.ca_file is not None:
            running = Running(state.url, state.ca_file, settings.local_key.read_text().strip())
            if _is_ready(running):
                return running
        time.sleep(0.2)
    raise AssertionError("the stack did not become ready")


def _is_ready(running: Running) -> bool:
    with GatewayClient(running.url, running.key, running.ca_file, 5.0) as client:
        try:
            client.ready()
        except QScoreError:
            return False
    return True


@pytest.fixture
def real(app: InstalledApp, splunkd: SplunkdEndpoint, stack: Running, authority: Authority) -> InstalledApp:
    """The app, set up for the real gateway."""
    splunkd.passwords["qscore:gateway:"] = stack.key
    gateway = f"[gateway]\nurl = {stack.url}\nca_file = {stack.ca_file}\n"
    app.configure(f"{gateway}[splunkd]\nca_file = {authority.ca}\n")
    return app


def rows_of(answer: CommandReply) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def rows(outcome: SearchOutcome) -> list[dict[str, str]]:
    return [row for answer in outcome.answers for row in rows_of(answer)]


def chunk(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def test_good_rows_are_scored_and_the_starter_says_what_it_is(real: InstalledApp) -> None:
    outcome = real.search(["model=lateral", "explain=all"], [chunk("10,6,1", "3,0,3")])
    assert outcome.information.metadata["required_fields"] == ["events", "logons", "failures"]
    found = rows(outcome)
    assert [row["events"] for row in found] == ["10", "3"]
    assert all(row["qscore_status"] == "ok" and 0 <= float(row["qscore"]) <= 1 for row in found)
    assert all(row["qscore_reason"] for row in found)
    assert [level for level, _ in outcome.messages] == ["INFO"]
    assert "was trained on generated rows" in outcome.messages[0][1]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (",6,1", "missing_feature: events"),
        ("ten,6,1", "not_a_number: events"),
        ("inf,6,1", "infinite: events"),
        ("nan,6,1", "infinite: events"),
        ("1e400,6,1", "infinite: events"),
        ("-3,6,1", "out_of_range: events"),
        ('"3\n5",6,1', "multivalue: events"),
        ('"""",6,1', "not_a_number: events"),
        ('"a, b",6,1', "not_a_number: events"),
        ("٣٣,6,1", "not_a_number: events"),
        ("日本,6,1", "not_a_number: events"),
        ("0x10,6,1", "not_a_number: events"),
    ],
)
def test_a_row_that_cannot_be_scored_says_why_and_spoils_no_other(real: InstalledApp, line: str, status: str) -> None:
    outcome = real.search(["model=lateral"], [chunk("10,6,1", line, "10,6,1")])
    first, bad, last = rows(outcome)
    assert bad["qscore_status"].startswith(status)
    assert bad["qscore"] == bad["qscore_risk"] == bad["qscore_alert"] == ""
    assert (bad["qscore_model"], bad["qscore_version"]) == ("lateral", "1-starter")
    assert first["qscore"] == last["qscore"] != ""
    assert [level for level, _ in outcome.messages] == ["INFO", "WARN"]
    assert status.split(":")[0] + " 1" in outcome.messages[1][1]


def test_quoted_and_huge_numbers_are_numbers(real: InstalledApp) -> None:
    found = rows(
        real.search(["model=lateral"], [chunk('"10",6,1', "10,6,1", "1e300,6,1", "999999999999999999999,6,1")])
    )
    assert found[0]["qscore"] == found[1]["qscore"] != ""
    assert all(row["qscore_status"] == "ok" or row["qscore"] == "" for row in found)


def test_a_missing_column_names_the_macro(real: InstalledApp) -> None:
    for found in (
        rows(real.search(["model=lateral"], [chunk("10,6", header="events,logons")])),
        rows(real.search(["model=lateral"], [chunk("alice", "", header="user")])),
    ):
        assert {row["qscore"] for row in found} == {""}
        assert all(row["qscore_status"].startswith("missing_feature: ") for row in found)
        assert all("qscore_lateral_rows" in row["qscore_status"] for row in found)


def test_a_field_that_appears_late_is_scored_from_there_on(real: InstalledApp) -> None:
    outcome = real.search(["model=lateral"], [chunk("10,6", header="events,logons"), chunk("10,6,1")])
    assert [row["qscore_status"].split(":")[0] for row in rows(outcome)] == ["missing_feature", "ok"]


def test_multivalue_companions(real: InstalledApp) -> None:
    header = HEADER + ",user,__mv_events,__mv_user"
    lines = ('"3\n5",6,1,u,$3$;$5$,', '10,6,1,"a\nb",,$a$;$b$')
    first, second = rows(real.search(["model=lateral"], [chunk(*lines, header=header)]))
    assert first["qscore_status"].startswith("multivalue: events")
    assert second["qscore_status"] == "ok"
    assert (second["user"], second["__mv_user"]) == ("a\nb", "$a$;$b$")


def test_duplicate_columns_are_named_on_every_row(real: InstalledApp) -> None:
    (answer,) = real.search(["model=lateral"], [chunk("10,6,1,11", header=HEADER + ",events")]).answers
    header, row = list(csv.reader(io.StringIO(answer.body.decode())))
    assert header == ["events", "logons", "failures", "events", *OUTPUT_COLUMNS]
    assert row[:4] == ["10", "6", "1", "11"]
    assert row[-1].startswith("duplicate_column: ")


def test_both_ways_through_the_command_give_the_same_scores(real: InstalledApp) -> None:
    numbers = [(2 + n % 40, n % 3, n % 2) for n in range(3000)]
    plain = chunk(*(f"{e},{lo},{fa}" for e, lo, fa in numbers))
    mixed = chunk(
        *(f'"raw, ""{n}""\nline",{fa},{e},x,{lo}' for n, (e, lo, fa) in enumerate(numbers)),
        header="_raw,failures,events,note,logons",
    )
    outcomes = [rows(real.search(["model=lateral"], [body])) for body in (plain, mixed, plain.replace(b"\n", b"\r\n"))]
    scores = [[tuple(row[name] for name in OUTPUT_COLUMNS) for row in found] for found in outcomes]
    assert scores[0] == scores[1] == scores[2]
    assert {row[-1] for row in scores[0]} == {"ok"}


def test_fifty_thousand_rows_and_one(real: InstalledApp) -> None:
    body = chunk(*(f"{2 + n % 40},{n % 3},{n % 2}" for n in range(50_000)))
    outcome = real.search(["model=lateral"], [body, chunk("10,6,1"), b"", HEADER.encode() + b"\n"])
    found = rows(outcome)
    assert len(found) == 50_001
    assert {row["qscore_status"] for row in found} == {"ok"}
    expected = {(row["events"], row["logons"], row["failures"]): row["qscore"] for row in found[:120]}
    assert all(expected[row["events"], row["logons"], row["failures"]] == row["qscore"] for row in found[:50_000])


def test_own_field_names(real: InstalledApp) -> None:
    outcome = real.search(
        ["model=lateral", "fields='Event Count'=events,ok=logons bad=failures"],
        [chunk("10,6,1", header='"Event Count",ok,bad')],
    )
    assert outcome.information.metadata["required_fields"] == ["Event Count", "ok", "bad"]
    assert [row["qscore_status"] for row in rows(outcome)] == ["ok"]


def test_the_threshold_decides_about_alerts(real: InstalledApp) -> None:
    for threshold, alert in (("0", "1"), ("1", "0")):
        found = rows(real.search(["model=lateral", f"threshold={threshold}"], [chunk("10,6,1")]))
        assert [row["qscore_alert"] for row in found] == [alert]


@pytest.mark.parametrize(
    "args", [["model=nothing"], ["model=lateral", "version=99"], ["model=lateral", "version=shadow"]]
)
def test_an_unknown_model_or_version_stops_the_search(real: InstalledApp, args: list[str]) -> None:
    outcome = real.search(args, [chunk("10,6,1")])
    assert outcome.exit_status == 1
    assert [level for level, _ in outcome.messages] == ["ERROR"]
    assert outcome.answers == ()


def test_a_wrong_key_costs_scores_and_no_rows(real: InstalledApp, splunkd: SplunkdEndpoint) -> None:
    splunkd.passwords["qscore:gateway:"] = "not-a-key-of-this-gateway"
    outcome = real.search(["model=lateral"], [chunk("10,6,1")])
    assert [row["qscore"] for row in rows(outcome)] == [""]
    assert [level for level, _ in outcome.messages] == ["WARN"]
