"""The gateway, its queue and its worker as real processes: what they answer to good, wrong and hostile requests."""

from __future__ import annotations

import csv
import dataclasses
import http.client
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.broker import DURABLE, FAST, redis_client
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.errors import BadOption, Forbidden, QScoreError, RowCountMismatch, Unauthorised, UnknownModel
from scorer.wire.names import MAX_BODY_BYTES
from scorer.wire.options import ScoreOptions
from tests.conftest import make_tiny_model, publish_model
from tests.integration.stack_tools import body, client_of, eventually, qscore, settings_of


class Running(NamedTuple):
    home: Path
    state: StackState


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("gateway") / "home"
    publish_tiny(home)
    with running_stack(home, "--port", "0", "--workers", "1") as state:
        yield Running(home, state)


@pytest.fixture
def client(stack: Running) -> Iterator[GatewayClient]:
    with client_of(stack.home, stack.state) as made:
        yield made


def ask(stack: Running, method: str, path: str, content: bytes | None = None, **headers: str) -> Answer:
    """One request by hand, for what the client would never send."""
    context = ssl.create_default_context(cafile=stack.state.ca_file)
    connection = http.client.HTTPSConnection(stack.state.url.removeprefix("https://"), timeout=30, context=context)
    key = settings_of(stack.home).local_key.read_text().strip()
    sent = {"Authorization": f"Bearer {key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, content, sent)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def post(stack: Running, content: bytes = b"events\n1\n", query: str = "", **headers: str) -> Answer:
    given = {"Content_Type": "text/csv", "X_QScore_Rows": "1"} | headers
    return ask(stack, "POST", f"/v1/models/lateral/score{query}", content, **given)


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, json.loads(answer.body)["code"]


@pytest.mark.parametrize("rows", [1, 2, 1000, 20_000])
def test_every_row_is_scored_in_order(client: GatewayClient, rows: int) -> None:
    reply = client.score("lateral", body(rows), rows, ScoreOptions(explain="none"), f"batch-of-{rows}")
    lines = reply.body.decode().splitlines()[1:]
    assert (reply.scored, reply.rows, reply.version, reply.batch_id) == (rows, rows, "1-starter", f"batch-of-{rows}")
    assert all(line.endswith(",lateral,1-starter,ok") for line in lines)
    # Rows differ by k % 5 alone, so equal rows must have equal scores wherever they stand.
    assert lines[: rows - 5] == lines[5:]
    assert len(set(lines)) == min(rows, 5)


def test_ten_times_as_many_callers_as_usual_are_all_answered(stack: Running) -> None:
    """160 connections of four keys at once, each with a batch: nobody is refused, and nobody gets another's rows."""
    keys = [KeyFile(settings_of(stack.home).api_keys).add(["score"])[1] for _ in range(4)]
    together = threading.Barrier(160)

    def call(number: int) -> bool:
        rows = 1 + number % 7
        with GatewayClient(stack.state.url, keys[number % 4], stack.state.ca_file, timeout=50.0) as caller:
            together.wait(50.0)
            reply = caller.score("lateral", body(rows), rows, batch_id=f"batch-of-caller-{number}")
        return (reply.rows, reply.scored, reply.batch_id) == (rows, rows, f"batch-of-caller-{number}")

    with ThreadPoolExecutor(160) as threads:
        assert all(threads.map(call, range(160)))


def test_zero_rows_and_columnar_json(client: GatewayClient) -> None:
    assert client.score("lateral", b"events\n", 0).body.count(b"\n") == 1
    names = [*client.card("lateral").required_fields]
    columns = json.dumps({"columns": {name: [5, 5] for name in names}}).encode()
    assert client.score("lateral", columns, 2, media_type="application/json").scored == 2


def test_rows_that_cannot_be_scored_say_why(client: GatewayClient) -> None:
    reply = client.score("lateral", b"_time\n1\n2\n", 2)
    assert (reply.scored, reply.problems) == (0, {"missing_feature": 2})
    assert b"qscore_lateral_rows" in reply.body


def test_the_worker_counts_rows_again(client: GatewayClient) -> None:
    for declared in (0, 1, 3):
        with pytest.raises(RowCountMismatch):
            client.score("lateral", body(2), declared)


def test_card_and_list_of_models(client: GatewayClient) -> None:
    card = client.card("lateral")
    assert (card.version, card.starter, card.macro) == ("1-starter", True, "qscore_lateral_rows")
    assert client.models() == (card,)
    for name, version in (("lateral", "7"), ("lateral", "shadow"), ("absent", "live")):
        with pytest.raises(UnknownModel):
            client.card(name, version)


def test_keys_and_scopes(stack: Running) -> None:
    with client_of(stack.home, stack.state, "read") as reader:
        reader.card("lateral")
        with pytest.raises(Forbidden):
            reader.score("lateral", body(1), 1)
    with client_of(stack.home, stack.state, "score") as scorer:
        scorer.score("lateral", body(1), 1)
        with pytest.raises(Forbidden):
            scorer.card("lateral")
    with GatewayClient(stack.state.url, "qsk_nobody_knows_me", stack.state.ca_file) as stranger:
        for call in (lambda: stranger.card("lateral"), lambda: stranger.score("lateral", body(1), 1)):
            with pytest.raises(Unauthorised):
                call()


def test_a_refusal_reaches_a_caller_that_still_sends(stack: Running) -> None:
    note = b"events,note\n1," + b"x" * 6_000_000 + b"\n"
    with client_of(stack.home, stack.state, "read") as reader:
        with pytest.raises(Forbidden):
            reader.score("lateral", note, 50_000)
        assert reader.card("lateral").name == "lateral"
    with client_of(stack.home, stack.state, "score") as scorer, pytest.raises(UnknownModel):
        scorer.score("absent", note, 50_000)


def test_a_revoked_key_is_refused_at_once(stack: Running) -> None:
    keys = KeyFile(settings_of(stack.home).api_keys)
    key, secret = keys.add(["read"])
    with GatewayClient(stack.state.url, secret, stack.state.ca_file) as made:
        made.card("lateral")
        keys.revoke(key.id)
        with pytest.raises(Unauthorised):
            made.card("lateral")


def test_write_without_a_sink_is_a_bad_option(client: GatewayClient) -> None:
    with pytest.raises(BadOption, match="no sink"):
        client.score("lateral", body(1), 1, ScoreOptions(write=True))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": ""}, (401, "unauthorised")),
        ({"Content_Type": "text/html"}, (415, "unsupported_media_type")),
        ({"Content_Encoding": "gzip"}, (415, "unsupported_media_type")),
        ({"X_QScore_Rows": "-1"}, (400, "bad_option")),
        ({"X_QScore_Rows": "1e3"}, (400, "bad_option")),
        ({"X_QScore_Rows": ""}, (400, "bad_option")),
        ({"X_QScore_Rows": "50001"}, (413, "body_too_large")),
        ({"X_QScore_Batch": "short"}, (400, "bad_option")),
        ({"X_QScore_Batch": "a/../../b-long-enough"}, (400, "bad_option")),
        ({"X_QScore_Timeout": "nan"}, (400, "bad_option")),
        ({"X_QScore_Timeout": "0"}, (400, "bad_option")),
        ({"X_QScore_Queue": "train"}, (400, "bad_option")),
        ({"X_QScore_Submitter": "a b"}, (400, "bad_option")),
    ],
)
def test_wrong_headers_are_named(stack: Running, headers: dict[str, str], expected: tuple[int, str]) -> None:
    assert problem(post(stack, b"events\n1\n", "", **headers)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?threshold=2", (400, "bad_option")),
        ("?explain=maybe", (400, "bad_option")),
        ("?verbose=1", (400, "bad_option")),
        ("?threshold=0.1&threshold=0.2", (400, "bad_option")),
        ("?version=../1", (404, "unknown_model")),
        ("?version=99", (404, "unknown_model")),
    ],
)
def test_wrong_options_are_named(stack: Running, query: str, expected: tuple[int, str]) -> None:
    assert problem(post(stack, query=query)) == expected


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/models/..%2f..%2fetc", 404),
        ("GET", "/v1/models/LATERAL", 404),
        ("POST", "/v1/models/a.b/score", 404),
    ],
)
def test_paths_that_do_not_exist(stack: Running, method: str, path: str, status: int) -> None:
    content = {"Content_Type": "text/csv", "X_QScore_Rows": "1"} if method == "POST" else {}
    answer = ask(stack, method, path, b"" if method == "POST" else None, **content)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_bodies_over_the_limit_are_refused_by_their_announcement(stack: Running) -> None:
    assert problem(post(stack, Content_Length=str(MAX_BODY_BYTES + 1))) == (413, "body_too_large")


def test_a_body_without_a_length_is_refused(stack: Running) -> None:
    headers = {"Content_Type": "text/csv", "X_QScore_Rows": "1", "Transfer_Encoding": "chunked"}
    answer = ask(stack, "POST", "/v1/models/lateral/score", None, **headers)
    assert answer.status == 400


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'events\n"1', b"", b"\0\0", b"events,events\n1,1\n"])
def test_bodies_of_any_bytes_get_a_problem_or_statuses(stack: Running, content: bytes) -> None:
    answer = post(stack, content)
    if answer.status == 200:
        assert int(answer.headers["X-QScore-Scored"]) == 0
    else:
        assert problem(answer)[0] in (400, 422)


def test_health_readiness_and_metrics(stack: Running, client: GatewayClient) -> None:
    assert ask(stack, "GET", "/healthz", Authorization="").status == 200
    assert client.ready()["workers"]["score"] == 1
    client.score("lateral", body(3), 3)
    assert problem(ask(stack, "GET", "/metrics", Authorization=""))[0] == 401
    text = ask(stack, "GET", "/metrics").body.decode()
    for name in ('qscore_rows_total{model="lateral"}', 'qscore_workers_alive{lane="score"} 1.0', "qscore_queue_up 1.0"):
        assert name in text


def test_a_batch_that_ended_its_workers_is_not_tried_again(stack: Running, client: GatewayClient) -> None:
    redis_client(settings_of(stack.home), server=FAST).zadd(
        "qscore:runs:poison-batch-1", {f"caller{k} run": 1.7e9 for k in range(3)}
    )
    with pytest.raises(QScoreError, match="ended its worker 3 times and is not tried again") as caught:
        client.score("lateral", body(1), 1, batch_id="poison-batch-1")
    assert caught.value.code == "internal"


def test_nothing_is_left_on_the_queues_server(stack: Running, client: GatewayClient) -> None:
    client.score("lateral", body(5000), 5000)
    with pytest.raises(RowCountMismatch):
        client.score("lateral", body(5000), 4999)
    settings = settings_of(stack.home)
    keys: list[bytes] = []
    for server in (DURABLE, FAST):
        keys += redis_client(settings, server=server).keys("qscore:*")  # type: ignore[arg-type]
    assert b"qscore:workers:score" in keys
    left = [key for key in keys if b"poison" not in key]
    assert not [key for key in left if key.split(b":")[1] in (b"body", b"reply", b"runs", b"rows")]


def test_status_and_score_commands(stack: Running, tmp_path: Path) -> None:
    status = qscore(stack.home, "status")
    assert status.returncode == 0, status.stdout
    assert "lateral 1-starter (starter: generated rows)" in " ".join(status.stdout.split())
    rows, out = tmp_path / "rows.csv", tmp_path / "scored.csv"
    rows.write_bytes(body(7))
    done = qscore(stack.home, "score", str(rows), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "7 of 7 rows scored" in done.stderr
    lines = out.read_text().splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("_time,user,src,dest,events")
    assert lines[0].endswith("qscore_model,qscore_version,qscore_status")
    rows.write_text("a,b\n1,2\n")
    refused = qscore(stack.home, "score", str(rows))
    assert refused.returncode == 1
    assert refused.stderr.startswith("qscore: rows.csv has no column")
    assert refused.stderr.count("\n") == 1


def test_logs_hold_batches_and_no_values(stack: Running, client: GatewayClient) -> None:
    secret = body(1).replace(b"user0", b"s3cret-user")
    client.score("lateral", secret, 1, batch_id="logged-batch-1")

    def logs() -> str:
        return "".join(path.read_text() for path in (stack.home / "logs").iterdir())

    assert eventually(lambda: logs().count("logged-batch-1") >= 2), (
        "the gateway's line and, after its reply, the worker's"
    )
    text = logs()
    assert "s3cret-user" not in text
    assert settings_of(stack.home).local_key.read_text().strip() not in text


#: How Logstash's HTTP client names itself and what it offers; its JSON has no blanks.
_MANTICORE = {"User_Agent": "Manticore 0.9.1", "Accept_Encoding": "gzip,deflate", "Connection": "Keep-Alive"}


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8"])
def test_the_request_of_the_logstash_recipe_scores_an_event(
    stack: Running, repository: Path, content_type: str
) -> None:
    """Headers, body and target as docs/elastic.md has them, sent as the http filter sends them, and read as the ruby
    filter reads the answer. Logstash itself is not run."""
    publish_model(stack.home, dataclasses.replace(make_tiny_model("lateral_flow"), grain="event"), live=True)
    recipe = (repository / "docs" / "elastic.md").read_text("utf-8").partition("## Logstash")[2].partition("\n## ")[0]
    path = re.search(r'url => "https://[^/"]+(/[^"]+)"', recipe)
    headers = dict(re.findall(r'"([\w-]+)" => "([^"]*)"', _braces(recipe, "headers => ")))
    shown = dict(re.findall(r'"(\w+)" => \["([^"]*)"\]', _braces(recipe, '"columns" => ')))
    with client_of(stack.home, stack.state) as client:
        needed = client.card("lateral_flow").required_fields
    assert path is not None
    assert (headers.pop("Authorization"), headers) == ("Bearer ${QSCORE_KEY}", {"X-QScore-Rows": "1"})
    assert shown
    assert set(shown) <= set(needed), "columns of the recipe that the model does not know"
    event = {"failed": "1", "tcp": "1"}
    columns = {name: [re.sub(r"%\{(\w+)\}", lambda m: event[m[1]], shown.get(name, "0"))] for name in needed}
    body = json.dumps({"columns": columns}, separators=(",", ":")).encode()
    given = _MANTICORE | {"Content_Type": content_type} | {name.replace("-", "_"): v for name, v in headers.items()}
    answer = ask(stack, "POST", path[1], body, **given)
    assert answer.status == 200, answer.body
    names, values = csv.reader(answer.body.decode().splitlines())
    made = dict(zip(names, values, strict=True))
    assert (made["qscore_status"], made["qscore_model"]) == ("ok", "lateral_flow")
    assert 0.0 <= float(made["qscore"]) <= 1.0


def _braces(text: str, after: str) -> str:
    """What stands in the braces that follow ``after``."""
    opened = text.index("{", text.index(after))
    depth = 0
    for at in range(opened, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return text[opened : at + 1]
    raise AssertionError(f"no brace closes what follows {after}")
