"""`| qscore` of the built app under Splunk's Pythons: rows, scores, options."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from itertools import pairwise

import pytest

from demo.standins.search_process import CommandReply
from scorer.wire.names import OUTPUT_COLUMNS
from tests.acceptance.conftest import InstalledApp
from tests.acceptance.scripted_gateway import CARD, ScriptedGateway


def rows_of(answer: CommandReply) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))


def test_getinfo_asks_for_the_models_fields_alone(app: InstalledApp) -> None:
    outcome = app.search(["model=lateral"], [b""])
    assert outcome.information.metadata == {"type": "stateful", "required_fields": ["logons", "failures"]}
    assert (outcome.exit_status, outcome.stderr, outcome.messages) == (0, "", ())


def test_getinfo_asks_under_own_names_and_for_the_context_when_writing(app: InstalledApp) -> None:
    outcome = app.search(["model=lateral", "write=true", "fields='Failed Logons'=failures who=user"], [b""])
    assert outcome.information.metadata["required_fields"] == ["logons", "Failed Logons", "_time", "who"]


def test_getinfo_alone_asks_for_no_scores(app: InstalledApp, gateway: ScriptedGateway) -> None:
    with app.open() as process:
        process.getinfo(["model=lateral"], **app.searchinfo)
        assert process.finish() == (0, "", b"")
    assert gateway.requests == []


def test_rows_come_back_in_order_with_their_own_scores(app: InstalledApp, gateway: ScriptedGateway) -> None:
    body = b"logons,failures\n" + b"".join(b"%d,%d\n" % (n, n * 2) for n in range(1000))
    outcome = app.search(["model=lateral"], [body])
    rows = rows_of(outcome.answers[0])
    assert [row["logons"] for row in rows] == [str(n) for n in range(1000)]
    assert all(row["qscore_reason"] == f"logons={row['logons']}; failures={row['failures']}" for row in rows)
    assert {row["qscore_status"] for row in rows} == {"ok"}
    assert outcome.answers[0].metadata == {"finished": True}
    assert gateway.requests[0].body == body


def test_large_chunks_go_over_connections_that_are_kept(app: InstalledApp, gateway: ScriptedGateway) -> None:
    body = b"logons,failures\n" + b"".join(b"%d,0\n" % n for n in range(17_000))
    outcome = app.search(["model=lateral"], [body, body])
    for answer in outcome.answers:
        assert [row["qscore_reason"] for row in rows_of(answer)] == [f"logons={n}; failures=0" for n in range(17_000)]
    assert sorted(len(request.rows) for request in gateway.requests) == [5666] * 2 + [5667] * 4
    assert len({request.connection for request in gateway.requests}) <= 3
    assert len({request.batch_id for request in gateway.requests}) == 6


def test_more_rows_than_a_request_may_hold(app: InstalledApp, gateway: ScriptedGateway) -> None:
    app.configure((app.folder / "local" / "qscore.conf").read_text().replace("[gateway]", "[gateway]\nparallel = 1"))
    body = b"logons,failures\n" + b"".join(b"%d,0\n" % n for n in range(100_001))
    outcome = app.search(["model=lateral"], [body])
    assert rows_of(outcome.answers[0])[-1]["qscore_reason"] == "logons=100000; failures=0"
    assert sorted(len(request.rows) for request in gateway.requests) == [1, 50_000, 50_000]


def test_what_is_not_the_models_is_kept_and_stays_here(app: InstalledApp, gateway: ScriptedGateway) -> None:
    body = 'user,logons,_raw,failures\r\nälice,1,"a ""quoted""\nline, with comma",2\r\n"b,c",3,,4\r\n'.encode()
    (answer,) = app.search(["model=lateral"], [body]).answers
    header, first, second = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
    assert header == ["user", "logons", "_raw", "failures", *OUTPUT_COLUMNS]
    assert first[:4] == ["älice", "1", 'a "quoted"\nline, with comma', "2"]
    assert second[:4] == ["b,c", "3", "", "4"]
    assert gateway.requests[0].body == b"logons,failures\n1,2\n3,4\n"


def test_the_context_travels_only_when_writing(app: InstalledApp, gateway: ScriptedGateway) -> None:
    body = b"_time,user,logons,failures\n1700000000,alice,1,2\n"
    app.search(["model=lateral"], [body])
    app.search(["model=lateral", "write=true"], [body])
    assert [request.header for request in gateway.requests] == [
        ("logons", "failures"),
        ("_time", "user", "logons", "failures"),
    ]
    assert [request.query["write"] for request in gateway.requests] == ["false", "true"]


def test_a_version_is_resolved_once_and_pinned(app: InstalledApp, gateway: ScriptedGateway) -> None:
    with app.open() as process:
        process.getinfo(["model=lateral", "threshold=0.25", "explain=all"], **app.searchinfo)
        process.execute(b"logons,failures\n1,2\n")
        gateway.cards["lateral"] = replace(CARD, version="8")
        process.execute(b"logons,failures\n1,2\n", finished=True)
        assert process.finish()[0] == 0
    assert [request.query for request in gateway.requests] == [
        {"version": "7", "explain": "all", "write": "false", "threshold": "0.25"}
    ] * 2
    assert gateway.card_requests == 1


def test_the_same_chunk_of_the_same_search_has_the_same_batch_id(app: InstalledApp, gateway: ScriptedGateway) -> None:
    chunk = b"logons,failures\n1,2\n"
    app.search(["model=lateral"], [chunk, chunk])
    app.search(["model=lateral"], [chunk])
    app.search(["model=lateral"], [chunk], sid="1700000000.2")
    first, second, again, other = [request.batch_id for request in gateway.requests]
    assert first == again
    assert len({first, second, other}) == 3


def test_a_field_that_appears_late_is_found(app: InstalledApp, gateway: ScriptedGateway) -> None:
    app.search(["model=lateral"], [b"logons\n1\n", b"logons,failures\n1,2\n"])
    assert [request.header for request in gateway.requests] == [("logons",), ("logons", "failures")]


def test_multivalue_companions_travel_with_their_feature(app: InstalledApp, gateway: ScriptedGateway) -> None:
    body = b'logons,failures,__mv_logons,__mv_failures\n"3\n5",1,$3$;$5$,\n'
    (answer,) = app.search(["model=lateral"], [body]).answers
    assert gateway.requests[0].body == body
    assert answer.body.startswith(b"logons,failures,__mv_logons,__mv_failures,qscore,")
    assert rows_of(answer)[0]["__mv_logons"] == "$3$;$5$"


def test_a_second_qscore_replaces_the_first_ones_columns(app: InstalledApp) -> None:
    (once,) = app.search(["model=lateral"], [b"logons,failures\n1,2\n"]).answers
    (twice,) = app.search(["model=lateral"], [once.body]).answers
    assert twice.body == once.body


@pytest.mark.parametrize(
    "body",
    [b"", b"logons,failures\n", b"logons,failures\r\n", b"other\n", b"\n"],
)
def test_no_rows_ask_for_no_scores(app: InstalledApp, gateway: ScriptedGateway, body: bytes) -> None:
    outcome = app.search(["model=lateral"], [body])
    assert (outcome.exit_status, outcome.messages, gateway.requests) == (0, (), [])
    assert outcome.answers[0].body.rstrip(b"\r\n").startswith(body.rstrip(b"\r\n"))


def test_a_starter_says_so_once(app: InstalledApp, gateway: ScriptedGateway) -> None:
    gateway.cards["lateral"] = replace(CARD, version="1-starter", starter=True)
    outcome = app.search(["model=lateral"], [b"logons,failures\n1,2\n"] * 3)
    ((level, text),) = outcome.messages
    assert level == "INFO"
    assert "lateral 1-starter was trained on generated rows" in text


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "qscore: the option model is missing. Write | qscore model=lateral."),
        (["model=lateral", "batch=1"], "unknown option batch="),
        (["lateral"], "lateral is not an option"),
        (["model=../../x"], "cannot be a model's name"),
        (["model=unknown"], "there is no model of that name. `qscore models` lists them."),
        (["model=lateral", "threshold={}"], "threshold={} is not a probability"),
        (
            ["model=lateral", "fields=a=nope"],
            "fields= names nope, which model lateral does not have. Its columns are",
        ),
    ],
)
def test_what_the_searcher_must_put_right_stops_the_search(app: InstalledApp, args: list[str], sentence: str) -> None:
    outcome = app.search(args, [b"logons,failures\n1,2\n"])
    ((level, text),) = outcome.messages
    assert level == "ERROR"
    assert sentence in text
    assert outcome.information.metadata["type"] == "stateful"
    assert (outcome.answers, outcome.exit_status, outcome.stderr) == ((), 1, "")


def test_the_app_finds_its_key_under_another_name(app: InstalledApp, gateway: ScriptedGateway) -> None:
    text = (app.folder / "local" / "qscore.conf").read_text()
    app.configure(text.replace("[gateway]", "[gateway]\nrealm = soc\nusername = scorer"))
    outcome = app.search(["model=lateral"], [b"logons,failures\n1,2\n"])
    assert "storage/passwords has no entry soc:scorer" in outcome.messages[0][1]


def test_rows_of_one_chunk_never_stand_in_another(app: InstalledApp) -> None:
    chunks = [b"logons,failures\n%d,0\n" % n for n in range(5)]
    outcome = app.search(["model=lateral"], chunks)
    reasons = [rows_of(answer)[0]["qscore_reason"] for answer in outcome.answers]
    assert reasons == [f"logons={n}; failures=0" for n in range(5)]
    assert [answer.metadata["finished"] for answer in outcome.answers] == [False] * 4 + [True]
    assert all(earlier != later for earlier, later in pairwise(reasons))
