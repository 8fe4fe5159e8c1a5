"""Requests that two servers could cut in two ways: each gets one refusal, and what hides in it is never answered."""

from __future__ import annotations

import json

import pytest

from tests.unit.service.gateway.wire.conftest import Served

FIRST = b"POST /v1/models/lateral/score HTTP/1.1\r\nHost: localhost\r\n"
#: What a server in front takes for a body, and a careless one behind it for the next request.
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"0\r\n\r\n" + HIDDEN
LENGTH = b"Content-Length: %d\r\n" % len(CHUNKED)

CUTS: dict[str, bytes] = {
    "length and chunks": LENGTH + b"Transfer-Encoding: chunked\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "chunks, after a blank": b"Transfer-Encoding : chunked\r\n" + LENGTH,
    "chunks, before a tab": b"Transfer-Encoding:\tchunked\r\n" + LENGTH,
    "chunks, after a vertical tab": b"Transfer-Encoding: \x0bchunked\r\n" + LENGTH,
    "chunks in capitals": LENGTH + b"TRANSFER-ENCODING: ChUnKeD\r\n",
    "chunks twice": LENGTH + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "chunks in a list": LENGTH + b"Transfer-Encoding: identity, chunked\r\n",
    "xchunked": LENGTH + b"Transfer-Encoding: xchunked\r\n",
    "chunks, quoted": LENGTH + b'Transfer-Encoding: "chunked"\r\n',
    "no coding": LENGTH + b"Transfer-Encoding:\r\n",
    "a NUL in the name": LENGTH + b"Transfer-Encoding\x00: chunked\r\n",
    "a name in a folded line": LENGTH + b"X: 1\r\n Transfer-Encoding: chunked\r\n",
    "a name after a bare CR": LENGTH + b"X: 1\rTransfer-Encoding: chunked\r\n",
    "a name after a bare LF": LENGTH + b"X: 1\nTransfer-Encoding: chunked\r\n",
    "a blank before the first name": b" " + LENGTH,
    "lengths that differ": b"Content-Length: 0\r\n" + LENGTH,
    "equal lengths": LENGTH + LENGTH,
    "a list of lengths": b"Content-Length: 0, %d\r\n" % len(CHUNKED),
    "a plus": b"Content-Length: +0\r\n",
    "a minus": b"Content-Length: -1\r\n",
    "hexadecimal": b"Content-Length: 0x0\r\n",
    "an underscore": b"Content-Length: 0_0\r\n",
    "digits of another script": "Content-Length: ٠\r\n".encode(),
    "a length that no integer of 64 bits holds": b"Content-Length: 18446744073709551616\r\n",
    "an exponent": b"Content-Length: 0e1\r\n",
    "a semicolon": b"Content-Length: 0;x\r\n",
    "a name that CGI takes for the length": b"Content_Length: %d\r\n" % len(CHUNKED),
    "no length at all": b"",
}
WITHOUT_A_LENGTH = ("a name that CGI takes for the length", "no length at all")


@pytest.mark.parametrize("name", CUTS)
def test_a_request_of_two_readings_is_refused_and_nothing_in_it_is_answered(served: Served, name: str) -> None:
    authorised = b"Authorization: Bearer " + served.key.encode() + b"\r\n"
    typed = b"Content-Type: text/csv\r\nX-QScore-Rows: 0\r\n"
    with served.line() as line:
        line.say(FIRST + CUTS[name] + authorised + typed + b"\r\n" + CHUNKED)
        answer = line.answer()
        following = line.rest()
    assert answer.status in (400, 501), answer
    assert answer.headers["content-type"] == "application/problem+json"
    if name in WITHOUT_A_LENGTH:  # such a request ends with its head for everybody; what follows is the next one
        assert following.startswith(b"HTTP/1.1 400 ")
        assert following.count(b"HTTP/1.1 ") == 1
        return
    assert following == b""
    assert answer.headers["connection"] == "close"


ENDS: dict[str, tuple[bytes, int]] = {
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "no version": (b"GET /healthz \r\n\r\n", 400),
    "HTTP/1.10": (b"GET /healthz HTTP/1.10\r\n\r\n", 400),
    "http/1.1": (b"GET /healthz http/1.1\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "bare LF": (b"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400),
    "LF after the head": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\n", 400),
    "an empty line ahead": (b"\r\n" + HIDDEN, 400),
    "a tab in the line": (b"GET\t/healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two hosts": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n", 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "a NUL in a value": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400),
    "no colon": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n", 400),
    "60 headers": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 60 + b"\r\n", 431),
    "a header of 9 kB": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
    "a name of 9 kB": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X" * 9000 + b": y\r\n\r\n", 431),
    "a target of 9 kB": (b"GET /healthz?" + b"y" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a method of 40 letters": (b"G" * 40 + b" /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "another protocol": (b"HELP\r\nEHLO me\r\n\r\n", 400),
    "bytes": (bytes(range(256)) + b"\n", 400),
    "a tunnel": (b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "another protocol on top": (
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        404,
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_is_no_request_gets_one_problem(served: Served, name: str) -> None:
    content, status = ENDS[name]
    with served.line() as line:
        line.say(content)
        answer = line.answer()
        following = line.rest()
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(answer.body)["status"] == status
    assert following == b""


@pytest.mark.parametrize(
    "target",
    [
        b"/%0d%0aSet-Cookie:%20a=b",
        b"/v1/models/%0D%0A%0D%0A<html>",
        b"/v1/models/%00",
        b"/v1/models/%ff%fe",
        b"/%u000d",
    ],
)
def test_no_part_of_a_target_becomes_a_header_of_the_answer(served: Served, target: bytes) -> None:
    answer = served.ask("GET", target)
    assert answer.status == 404
    assert set(answer.headers) <= {
        "content-type", "cache-control", "x-content-type-options", "x-qscore-release", "content-length", "date",
        "connection", "server",
    }  # fmt: skip
    assert b"\r" not in answer.body
    assert json.loads(answer.body)["status"] == 404


def test_a_chunked_body_is_stopped_at_its_head(served: Served) -> None:
    """Chunks that never end: nothing of them is waited for."""
    with served.line() as line:
        line.say(FIRST + b"Transfer-Encoding: chunked\r\nContent-Type: text/csv\r\nX-QScore-Rows: 1\r\n\r\n1\r\n")
        assert line.answer().status == 400
        assert line.rest() == b""
