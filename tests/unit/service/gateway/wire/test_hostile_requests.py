"""Names, versions, options and headers that nobody means well with: refused with 4xx, or read as what they plainly say.

No worker lives here: what is let in gets 503, and so 503 tells that nothing was found wrong with a request.
"""

from __future__ import annotations

import json

import pytest

from tests.unit.service.gateway.wire.conftest import Answer, Served

BODY = b"events\n1\n"
SCORE = b"/v1/models/lateral/score"
GIVEN = {"Content-Type": b"text/csv", "X-QScore-Rows": b"1"}


def post(served: Served, target: bytes = SCORE, body: bytes = BODY, **headers: bytes) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return served.ask("POST", target, GIVEN | named, body)


def refused(answer: Answer, *statuses: int) -> str:
    """The code of the problem that an answer has to be."""
    assert answer.status in statuses, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert problem["status"] == answer.status
    assert problem["detail"]
    assert len(answer.body) < 2_000, "a problem does not repeat all that it was given"
    assert "Traceback" not in problem["detail"]
    return str(problem["code"])


def let_in(answer: Answer) -> None:
    assert refused(answer, 503) == "unavailable"


def test_a_plain_request_is_let_in(served: Served) -> None:
    let_in(post(served))


NAMES = [
    b"..", b"%2e%2e", b"..%2flateral", b"lateral%2f..%2flateral", b"%2fetc%2fpasswd", b"lateral%2f1-starter",
    b"LATERAL", b"lateral%20", b"lateral%00", b"lateral%0a", b"lateral%0d%0aX:%20y", b"l%c3%a4teral", b"%ff%fe",
    b"%ef%bd%8cateral", b"lateral.json", b"aliases.json", b"lateral;version=1", b"lateral*", b"{lateral}",
    b"%7b%7b7*7%7d%7d", b"$(id)", b"'%20or%20'1", b"_lateral", b"0lateral", b"__proto__", b"a" * 65, b"a" * 7000,
    b"%6c%61%74%65%72%61%6c%78",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:24].decode())
def test_no_name_but_a_models_is_found(served: Served, name: bytes) -> None:
    # With a slash in it the path is none of the routes, which take no bodies.
    assert refused(post(served, b"/v1/models/" + name + b"/score"), 400, 404) in ("unknown_model", "bad_input")
    assert refused(served.ask("GET", b"/v1/models/" + name), 404) in ("unknown_model", "bad_input")


VERSIONS = [
    b"..", b"../1-starter", b"1-starter/..", b"1-starter%00", b"1-starter%0a", b"%201-starter", b"LIVE", b"live%20",
    b"latest", b"-1", b"1e0", b"1.0", b"0x1", b"%d9%a1", b"9" * 10, b"9" * 5000, b"1-starter-starter", b"*", b"",
    b"manifest.json", b"2", b"01-starter", b"shadow",
]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version[:20].decode())
def test_no_version_but_a_models_is_found(served: Served, version: bytes) -> None:
    assert refused(post(served, SCORE + b"?version=" + version), 404) == "unknown_model"
    assert refused(served.ask("GET", b"/v1/models/lateral?version=" + version), 404) == "unknown_model"


def test_a_version_of_100_kilobytes_ends_with_its_line(served: Served) -> None:
    assert refused(post(served, SCORE + b"?version=" + b"1" * 100_000), 414, 431) == "bad_input"


OPTIONS = [
    b"verbose=1", b"Version=1-starter", b"version[]=1-starter", b"version=1-starter&version=1-starter",
    b"version=1-starter&version=live", b"threshold=nan", b"threshold=-nan", b"threshold=inf", b"threshold=1e309",
    b"threshold=-0.1", b"threshold=1.0000001", b"threshold=0x1", b"threshold=0,5", b"threshold=%00", b"threshold=high",
    b"threshold=" + b"9" * 6000, b"explain=maybe", b"explain=alerts%00", b"explain=", b"write=perhaps", b"write=2",
    b"write=", b"=", b"%00=1", b"&".join(b"a%d=1" % k for k in range(60)), b"constructor=1", b"%ff=%ff",
    b"explain=all;write=true",
]  # fmt: skip


@pytest.mark.parametrize("query", OPTIONS, ids=lambda query: query[:24].decode())
def test_options_of_no_meaning_are_refused(served: Served, query: bytes) -> None:
    assert refused(post(served, SCORE + b"?" + query), 400) == "bad_option"


def test_an_option_given_twice_is_refused_where_cards_are_read_too(served: Served) -> None:
    target = b"/v1/models/lateral?version=1-starter&version="
    for second in (b"1-starter", b"live", b"9"):
        assert refused(served.ask("GET", target + second), 400) == "bad_option"


@pytest.mark.parametrize(
    "query", [b"threshold=0_1", b"threshold=5e-1", b"threshold=%200.5%20", b"threshold=", b"explain=TRUE", b"write=f"]
)
def test_numbers_and_words_are_read_as_python_and_splunk_read_them(served: Served, query: bytes) -> None:
    let_in(post(served, SCORE + b"?" + query))


HEADERS: list[tuple[str, bytes, int, str]] = [
    *(("X-QScore-Timeout", text, 400, "bad_option") for text in (
        b"", b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"-1", b"0", b"-0.0", b"1e", b"0x5", b"5s", b"1,5", b"5 5",
        "٥".encode(), b"\xb2", b"1e-400", b"9" * 7000 + b"x",
    )),
    *(("X-QScore-Rows", text, 400, "bad_option") for text in (
        b"", b"-1", b"+1", b"1.0", b"1e0", b"0x1", b"1_0", b"1,1", b"1 1", b"one", "١".encode(), b"\xb2", b"9" * 10,
        b"9" * 7000, b"1;2", b"NaN",
    )),
    *(("X-QScore-Rows", text, 413, "body_too_large") for text in (b"50001", b"999999999", b"000050001")),
    *(("X-QScore-Batch", text, 400, "bad_option") for text in (
        b"", b"short", b"b" * 81, b"b" * 7000, b"../../../etc/passwd", b"batch 0001", "bätch-0001".encode(),
        b"batch;0001", b"batch-0001,batch-0002", b"batch/0001", b"batch%0a0001", b"batch\xff0001", b"{batch-0001}",
        b"batch:0001",
    )),
    *(("Content-Encoding", text, 415, "unsupported_media_type") for text in (
        b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"compress", b"identity, gzip", b"gzip, identity", b"GZIP", b"",
        b"chunked", b"identity;q=1",
    )),
    *(("Content-Type", text, 415, "unsupported_media_type") for text in (
        b"", b"text/html", b"text/csvx", b"text", b"application/xml", b"multipart/form-data; boundary=x",
        b"application/x-www-form-urlencoded", b"application/x-python-pickle", b"text/csv, application/json", b"*/*",
        b"x" * 7000, b"text/csv\xff",
    )),
    *(("X-QScore-Queue", text, 400, "bad_option") for text in (
        b"", b"train", b"deliver", b"qpu", b"INTERACTIVE", b"interactive,bulk", b"qscore:i:interactive", b"x" * 7000,
    )),
    *(("X-QScore-Submitter", text, 400, "bad_option") for text in (
        b"", b"a b", b"a/b", "ä".encode(), b"a" * 81, b"a\xff", b"*", b"a,b",
    )),
    ("X-QScore-Submitter", b"elastic:windows:lateral:7", 403, "forbidden"),
    ("Expect", b"a miracle", 417, "bad_input"),
    ("Expect", b"100-continue, 100-continue", 417, "bad_input"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "status", "code"), HEADERS, ids=[f"{name} {text[:20]!r}" for name, text, *_ in HEADERS]
)
def test_headers_of_no_meaning_are_refused(served: Served, name: str, text: bytes, status: int, code: str) -> None:
    assert refused(post(served, **{name.replace("-", "_"): text}), status) == code


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("X-QScore-Timeout", b"1e9"),  # as long as the gateway allows
        ("X-QScore-Timeout", b"1_0"),
        ("X-QScore-Timeout", b"\t5 "),
        ("X-QScore-Rows", b"01"),
        ("X-QScore-Batch", b"batch...-_0001"),
        ("Content-Encoding", b"identity"),
        ("Content-Type", b"Text/CSV; charset=utf-16"),
        ("X-QScore-Release", b"\xff" * 2000),
        ("X-QScore-Release", b"99999999999.0.0"),
        ("X-Forwarded-For", b"127.0.0.1, ::1"),
        ("Accept-Encoding", b"gzip"),
        ("Cookie", b"a=b; " * 500),
        ("Range", b"bytes=0-1"),
        ("If-None-Match", b"*"),
        ("X-HTTP-Method-Override", b"DELETE"),
        ("Origin", b"https://elsewhere.example"),
    ],
)
def test_headers_that_say_nothing_here_change_nothing(served: Served, name: str, text: bytes) -> None:
    let_in(post(served, **{name.replace("-", "_"): text}))


def test_a_header_given_twice_is_no_choice(served: Served) -> None:
    """A proxy may look at the first and the gateway at the second: they are read as one value, which is none."""
    key = b"Authorization: Bearer " + served.key.encode() + b"\r\n"
    plain = b"Content-Length: %d\r\nContent-Type: text/csv\r\nX-QScore-Rows: 1\r\n" % len(BODY)
    for twice, status in (
        (key + key, 401),
        (key + b"X-QScore-Rows: 1\r\n", 400),
        (key + b"Content-Type: text/csv\r\n", 415),
        (key + b"X-QScore-Batch: batch-0001\r\nX-QScore-Batch: batch-0002\r\n", 400),
    ):
        with served.line() as line:
            line.say(b"POST " + SCORE + b" HTTP/1.1\r\nHost: localhost\r\n" + plain + twice + b"\r\n" + BODY)
            refused(line.answer(), status)


LONG = b"qsk_" + b"A" * 7000


def _authorizations(key: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "no secret": b"Bearer",
        "blank secret": b"Bearer   ",
        "bare": key,
        "another scheme": b"Token " + key,
        "a browser's": b"Basic eDp5",
        "cut": b"Bearer " + key[:-1],
        "longer": b"Bearer " + key + b"x",
        "doubled": b"Bearer " + key + b", Bearer " + key,
        "two words": b"Bearer " + key + b" " + key,
        "in capitals": b"Bearer " + key.upper(),
        "long": b"Bearer " + LONG,
        "no text": b"Bearer \xff\xfe\x80",
        "a token of nobody": b"Bearer qst_" + b"A" * 43,
        "an ID token without a signature": b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
        "a pattern": b"Bearer *",
        "null": b"Bearer null",
    }


@pytest.mark.parametrize("name", _authorizations(b""))
def test_whom_nobody_knows_opens_nothing(served: Served, name: str) -> None:
    presented = _authorizations(served.key.encode())[name]
    assert refused(post(served, Authorization=presented), 401) == "unauthorised"
    for target in (b"/v1/models", b"/v1/models/lateral", b"/metrics", b"/v1/openapi.json", b"/docs", b"/docs/start.js"):
        answer = served.ask("GET", target, {"Authorization": presented})
        assert (refused(answer, 401), served.key.encode() in answer.body) == ("unauthorised", False)


def test_a_key_counts_in_its_header_alone(served: Served) -> None:
    key, nobody = served.key.encode(), b"Bearer qsk_nobody"
    for target in (b"?key=" + key, b"?access_token=" + key, b"?Authorization=Bearer%20" + key):
        assert refused(post(served, SCORE + target, Authorization=nobody), 401) == "unauthorised"
    for name in ("Cookie", "X-Api-Key", "Proxy-Authorization", "X-Authorization"):
        assert refused(served.ask("GET", b"/v1/models", {"Authorization": nobody, name: b"Bearer " + key}), 401)


METHODS = ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "POST", "get", "Get", "X" * 32, "!#$%&'*+.^_`|~"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", [b"/v1/models", b"/v1/models/lateral", b"/healthz", b"/metrics", b"/docs"])
def test_other_methods_change_nothing(served: Served, method: str, target: bytes) -> None:
    refused(served.ask(method, target), 405, 501)


@pytest.mark.parametrize("method", ["post", "Post", "pOST"])
def test_a_method_in_other_letters_has_no_way_around_the_turns(served: Served, method: str) -> None:
    """What the gate does not take for a batch must not be one for the application either."""
    headers = GIVEN | {"Content-Length": b"%d" % len(BODY)}
    assert refused(served.ask(method, SCORE, headers, BODY), 501) == "bad_input"


def test_every_byte_of_a_path_is_a_path_of_nobody(served: Served) -> None:
    for byte in range(256):
        target = b"/v1/%%%02x" % byte
        answer = served.ask("GET", target)
        assert answer.status in (404, 308), target
