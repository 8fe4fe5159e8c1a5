"""`| qscore` of the built app when what it depends on fails: every row comes back, and one warning says what to do."""

from __future__ import annotations

import csv
import io
import shutil

import pytest
import trustme

from demo.standins.search_process import CommandEnded, SearchOutcome, getinfo_metadata
from demo.standins.splunkd_endpoint import SplunkdEndpoint
from scorer.wire.names import OUTPUT_COLUMNS
from scorer.wire.release import RELEASE
from tests.acceptance.conftest import Authority, InstalledApp, settings_for
from tests.acceptance.scripted_gateway import ScriptedGateway

CHUNK = b"logons,failures,note\n1,2,keep\n3,4,\n"


def assert_unscored(outcome: SearchOutcome, sentence: str, version: str = "7") -> None:
    """Rows as they were, empty scores, a status on each, one warning, exit 0."""
    assert outcome.exit_status == 0, outcome.stderr
    assert outcome.stderr == ""
    ((level, text),) = outcome.messages
    assert level == "WARN"
    assert sentence in text
    for answer in outcome.answers:
        header, *rows = list(csv.reader(io.StringIO(answer.body.decode())))
        assert header == ["logons", "failures", "note", *OUTPUT_COLUMNS]
        assert [row[:3] for row in rows] == [["1", "2", "keep"], ["3", "4", ""]]
        assert all(row[3:10] == [""] * 7 for row in rows)
        assert all(row[10:12] == ["lateral", version] for row in rows)
        assert all(row[12].startswith("not_scored: ") and sentence in row[12] for row in rows)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("close", "qscore status"),
        ("html", "answered with 'text/html'"),
        ("garbage", "did not answer in HTTP"),
        ("huge", "announced 99999999999 bytes"),
        ("redirect", "HTTP status 302"),
        ("not_json", "answered with 'application/json'"),
        ("unauthorised", "that key is not known. Make one with `qscore key new`."),
        ("forbidden", "the key has no scope score"),
        ("error", "the gateway met an internal fault"),
        ("wrong_rows", "2 rows were sent and 3 came back"),
        ("fewer_lines", "not one line of scores per row"),
        ("extra_column", "does not have 10 columns"),
        ("open_quote", "does not have 10 columns"),
        ("wrong_header", "not one line of scores per row"),
        ("wrong_version", "scores of lateral 999 came back"),
    ],
)
def test_a_gateway_that_fails_at_a_chunk(
    app: InstalledApp, gateway: ScriptedGateway, failure: str, sentence: str
) -> None:
    gateway.score_script.extend([failure] * 4)
    assert_unscored(app.search(["model=lateral"], [CHUNK, CHUNK]), sentence)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("close", "qscore status"),
        ("html", "answered with 'text/html'"),
        ("garbage", "did not answer in HTTP"),
        ("not_json", "is not JSON"),
        ("unauthorised", "that key is not known"),
        ("error", "the gateway met an internal fault"),
    ],
)
def test_a_gateway_that_fails_from_the_start(
    app: InstalledApp, gateway: ScriptedGateway, failure: str, sentence: str
) -> None:
    gateway.always = failure
    outcome = app.search(["model=lateral"], [CHUNK, CHUNK])
    assert outcome.information.metadata == {"type": "stateful", "required_fields": ["*"]}
    assert_unscored(outcome, sentence, version="live")


def test_a_gateway_that_nobody_started(app: InstalledApp, gateway: ScriptedGateway, authority: Authority) -> None:
    app.configure(settings_for("https://127.0.0.1:9", authority.ca, authority.ca))
    assert_unscored(
        app.search(["model=lateral"], [CHUNK]), "no connection to the gateway https://127.0.0.1:9", version="live"
    )


def test_a_slow_gateway_costs_its_timeout_and_then_less(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.score_script.extend(["hang"] * 2)
    outcome = app.search(["model=lateral", "timeout=1"], [CHUNK, CHUNK])
    gateway.closing.set()
    assert_unscored(outcome, "did not answer within 1 s")


def test_one_failure_leaves_the_other_chunks_whole(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.score_script.extend(["", "error", ""])
    outcome = app.search(["model=lateral"], [CHUNK, CHUNK, CHUNK])
    statuses = [[row["qscore_status"] for row in csv.DictReader(io.StringIO(a.body.decode()))] for a in outcome.answers]
    assert statuses[0] == statuses[2] == ["ok", "ok"]
    assert all(status.startswith("not_scored: ") for status in statuses[1])
    assert [level for level, _ in outcome.messages] == ["WARN"]


def test_a_gateway_that_is_back_by_the_first_chunk(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.card_script.append("error")
    outcome = app.search(["model=lateral"], [CHUNK])
    assert outcome.messages == ()
    assert b",ok\n" in outcome.answers[0].body


def test_a_full_queue_is_waited_for(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.score_script.append("queue_full")
    outcome = app.search(["model=lateral"], [CHUNK])
    assert outcome.messages == ()
    first, second = gateway.requests
    assert first.batch_id == second.batch_id


def test_a_key_over_its_limit_comes_again_when_the_gateway_says(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.score_script.extend(["over_limit", "over_limit"])
    outcome = app.search(["model=lateral"], [CHUNK])
    assert outcome.messages == ()
    assert b",ok\n" in outcome.answers[0].body
    first, second, third = gateway.moments
    assert min(second - first, third - second) >= gateway.retry_after
    assert len({request.batch_id for request in gateway.requests}) == 1


def test_a_pause_beyond_the_searchs_time_is_not_waited_for(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.retry_after = 3600
    gateway.score_script.extend(["over_limit"])
    outcome = app.search(["model=lateral"], [CHUNK, CHUNK])
    first, second = gateway.moments  # of two chunks
    assert second - first < 20
    statuses = [[row["qscore_status"] for row in csv.DictReader(io.StringIO(a.body.decode()))] for a in outcome.answers]
    assert statuses[1] == ["ok", "ok"]
    assert all(status.startswith("not_scored: key k1 has 48 batches under way") for status in statuses[0])


def test_an_unknown_model_stops_a_search_that_learns_of_it_late(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.card_script.append("error")
    outcome = app.search(["model=unknown"], [CHUNK])
    assert outcome.exit_status == 1
    assert [level for level, _ in outcome.messages] == ["ERROR"]
    assert outcome.answers[0].body == b""


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("401", "splunkd did not accept the search's session key"),
        ("403", "capability list_storage_passwords"),
        ("404", "storage/passwords has no entry qscore:gateway"),
        ("500", "splunkd answered 500"),
        ("not_json", "splunkd's answer holds no password"),
        ("hang", "did not answer within 1 s"),
    ],
)
def test_a_splunkd_that_gives_no_key(app: InstalledApp, splunkd: SplunkdEndpoint, failure: str, sentence: str) -> None:
    splunkd.failure = failure
    assert_unscored(app.search(["model=lateral", "timeout=1"], [CHUNK]), sentence, version="live")


def test_a_splunkd_of_another_authority_gets_no_session_key(app: InstalledApp, splunkd: SplunkdEndpoint) -> None:
    text = (app.folder / "local" / "qscore.conf").read_text()
    app.configure(text.rsplit("ca_file", 1)[0] + f"ca_file = {_another_ca(app)}\n")
    assert_unscored(app.search(["model=lateral"], [CHUNK]), "the certificate of splunkd https://", version="live")
    assert splunkd.paths == []


def _another_ca(app: InstalledApp) -> str:
    path = app.folder.parent / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def test_a_splunkd_without_tls_gets_no_session_key(app: InstalledApp) -> None:
    outcome = app.search(["model=lateral"], [CHUNK], splunkd_uri="http://127.0.0.1:8089")
    assert_unscored(outcome, "of splunkd is not of the form https://", version="live")


def test_a_key_that_the_gateway_does_not_know(app: InstalledApp, splunkd: SplunkdEndpoint) -> None:
    splunkd.passwords["qscore:gateway:"] = "some-other-key"
    assert_unscored(app.search(["model=lateral"], [CHUNK]), "that key is not known", version="live")


def test_a_gateway_of_another_authority_gets_no_key(app: InstalledApp, gateway: ScriptedGateway) -> None:
    splunkd_part = (app.folder / "local" / "qscore.conf").read_text().split("[splunkd]")[1]
    app.configure(f"[gateway]\nurl = {gateway.url}\nca_file = {_another_ca(app)}\n[splunkd]{splunkd_part}")
    assert_unscored(app.search(["model=lateral"], [CHUNK]), "was not accepted", version="live")
    assert gateway.card_requests == 0


def test_an_app_that_is_not_set_up(app: InstalledApp) -> None:
    shutil.rmtree(app.folder / "local")
    assert_unscored(app.search(["model=lateral"], [CHUNK]), "no gateway is set. Set url = https://", version="live")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("url = http://gateway.example:8417", "is not of the form https://host:8417"),
        ("url = https://127.0.0.1:1\nparallel = many", "parallel = many is not a number from 1 to 8"),
        ("url = https://127.0.0.1:1\nca_file = /nowhere.pem", "the CA file /nowhere.pem cannot be used"),
        ("url = https://127.0.0.1:1\nrealm = a:b", "realm = a:b is not possible"),
    ],
)
def test_a_setting_that_cannot_work(app: InstalledApp, authority: Authority, setting: str, sentence: str) -> None:
    app.configure(f"[gateway]\n{setting}\n[splunkd]\nca_file = {authority.ca}\n")
    assert_unscored(app.search(["model=lateral"], [CHUNK]), sentence, version="live")


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\n",
        b"chunked 1.0,5,0\n{}",
        b"chunked 1.0,999999999999,0\n",
        b"chunked 1.0,3,0\n{x}",
        b'chunked 1.0,20,0\n{"action":"execute"}',
        b"",
    ],
)
def test_what_is_not_splunkd_gets_one_line_and_no_traceback(app: InstalledApp, raw: bytes) -> None:
    with app.open() as process:
        process.send(raw)
        status, stderr, stdout = process.finish()
    assert (status, stdout) == (2, b"")
    assert stderr.startswith("qscore: ")
    assert stderr.count("\n") == 1


def test_a_frame_cut_short_in_mid_search(app: InstalledApp) -> None:
    with app.open() as process:
        process.getinfo(["model=lateral"], **app.searchinfo)
        process.send(b'chunked 1.0,20,100\n{"action":"execute"}logons')
        status, stderr, _ = process.finish()
    assert status == 2
    assert "the input ended after" in stderr
    assert stderr.count("\n") == 1


def test_a_search_that_is_cancelled_ends_the_command(app: InstalledApp) -> None:
    with app.open() as process:
        process.getinfo(["model=lateral"], **app.searchinfo)
        process.execute(CHUNK)
        assert process.finish() == (0, "", b"")
        with pytest.raises((CommandEnded, ValueError)):
            process.execute(CHUNK)


@pytest.mark.parametrize(
    "info",
    [{"args": None}, {"splunkd_uri": 7}, {"session_key": "a\r\nX: y"}, {"sid": ["x"]}, {"args": ["\ud800=\u0000"]}],
)
def test_hostile_search_information_is_no_traceback(app: InstalledApp, info: dict[str, object]) -> None:
    metadata = getinfo_metadata(["model=lateral"], **app.searchinfo)
    metadata["searchinfo"].update(info)
    with app.open() as process:
        answer = process.exchange(metadata, b"")
        status, stderr, _ = process.finish()
    assert answer.metadata["type"] == "stateful"
    assert status in (0, 1)
    assert stderr == ""


@pytest.mark.parametrize(
    ("releases", "old", "remedy"),
    [
        ({}, "the gateway is of version 0.1.0", "on the gateway's host"),
        (
            {"X_QScore_Release": RELEASE, "X_QScore_Worker_Release": "0.1.7"},
            "the worker is of version 0.1.7",
            "workers",
        ),
        ({"X_QScore_Release": "9.4.0"}, f"the caller is of version {RELEASE}", "install version 9.4.0 of the app"),
    ],
)
def test_a_side_of_another_version_is_named_once_and_rows_are_scored(
    app: InstalledApp, gateway: ScriptedGateway, releases: dict[str, str], old: str, remedy: str
) -> None:
    gateway.releases = releases
    outcome = app.search(["model=lateral"], [CHUNK, CHUNK])
    ((level, text),) = outcome.messages
    assert (level, outcome.exit_status) == ("WARN", 0)
    assert old in text
    assert remedy in text
    for answer in outcome.answers:
        assert [row["qscore_status"] for row in csv.DictReader(io.StringIO(answer.body.decode()))] == ["ok", "ok"]
