"""What is a request's head, and what two servers could read in two ways and is refused."""

from __future__ import annotations

import asyncio

import pytest

from scorer.service.gateway.front.gate import Peer, RequestHead
from scorer.service.gateway.front.heads import LONGEST_LINE, MOST_LINES, read_head
from scorer.wire.errors import QScoreError

PEER = Peer("192.0.2.7", 40_000)
LINE = b"POST /v1/models/lateral/score HTTP/1.1\r\n"
HOST = b"Host: gateway\r\n"


def read(head: bytes, ended: bool = True) -> RequestHead | None:
    """Reads a head from a stream that holds it; one that has not ended would be waited for."""

    async def reading() -> RequestHead | None:
        reader = asyncio.StreamReader()
        reader.feed_data(head)
        if ended:
            reader.feed_eof()
        async with asyncio.timeout(5.0):
            return await read_head(reader, PEER)

    return asyncio.run(reading())


def status(head: bytes) -> int:
    with pytest.raises(QScoreError) as caught:
        read(head, ended=False)
    return caught.value.status


def test_a_head_is_read() -> None:
    head = read(
        LINE.replace(b"score", b"sc%6Fre?version=1&x=%20")
        + HOST
        + b"X-A: 1\r\nContent-Length: 12\r\nX-A: 2\r\n\r\nbody"
    )
    assert head is not None
    assert (head.method, head.path, head.query) == ("POST", "/v1/models/lateral/score", "version=1&x=%20")
    assert (head.header("X-a"), head.length, head.keep_alive, head.peer) == ("1,2", 12, True, PEER)


@pytest.mark.parametrize(
    ("line", "stays"),
    [(b"Connection: close\r\n", False), (b"Connection: x, Close\r\n", False), (b"Connection: keep-alive\r\n", True)],
)
def test_the_caller_says_whether_the_connection_stays(line: bytes, stays: bool) -> None:
    head = read(LINE + HOST + line + b"\r\n")
    assert head is not None
    assert head.keep_alive is stays


def test_a_caller_that_leaves_gets_no_answer() -> None:
    assert read(b"") is None
    assert read(LINE + HOST[:5]) is None


def test_a_name_that_wsgi_takes_for_another_is_dropped() -> None:
    head = read(LINE + HOST + b"X_QScore_Rows: 5\r\nX-QScore-Rows: 3\r\n\r\n")
    assert head is not None
    assert head.header("X-QScore-Rows") == "3"
    assert "x_qscore_rows" not in head.headers


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\ncontent-length: 5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5_0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length : 5\r\n",
        b"X-A: 1\n",
        b"X-A: 1\r\r\n",
        b"X-A: a\rb\r\n",
        b"X-A: 1\r\n folded\r\n",
        b"X-A: 1\r\n\tfolded\r\n",
        b"X-A: \x00\r\n",
        b"X-A\r\n",
        b": 1\r\n",
        b"X A: 1\r\n",
        b"Host: another\r\n",
    ],
)
def test_headers_that_two_servers_may_read_in_two_ways_are_refused(lines: bytes) -> None:
    assert status(LINE + HOST + lines + b"\r\n") == 400


@pytest.mark.parametrize("coding", [b"xchunked", b"gzip, chunked", b"chunked, identity", b"identity"])
def test_transfer_codings_are_refused(coding: bytes) -> None:
    assert status(LINE + HOST + b"Transfer-Encoding: " + coding + b"\r\n\r\n") in (400, 501)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\n", 400),
        (b"\r\n", 400),
        (b"GET  / HTTP/1.1\r\n", 400),
        (b"GET / HTTP/1.1 \r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n", 400),
        (b"\x16\x03\x01\x02\n", 400),
        (b"get / HTTP/1.1\r\n", 501),
        (b"pOST /v1/models/lateral/score HTTP/1.1\r\n", 501),
        (b"GET / HTTP/2.0\r\n", 505),
        (b"GET / HTTP/0.9\r\n", 505),
        (b"GET /" + b"x" * LONGEST_LINE + b" HTTP/1.1\r\n", 414),
    ],
)
def test_a_first_line_that_is_none_is_refused_before_the_next(first: bytes, expected: int) -> None:
    assert status(first) == expected


def test_heads_have_a_size() -> None:
    assert status(LINE + HOST + b"X-A: " + b"x" * LONGEST_LINE + b"\r\n") == 431
    assert status(LINE + HOST + b"X-A: 1\r\n" * MOST_LINES) == 431
    assert status(LINE + b"x" * 200_000) == 431
    assert read(LINE + HOST + b"X-A: 1\r\n" * (MOST_LINES - 1) + b"\r\n") is not None


def test_a_request_names_its_host() -> None:
    assert status(LINE + b"\r\n") == 400


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"https://gateway:8417/healthz?a", "/healthz", "a"),
        (b"HTTP://gateway", "/", ""),
        (b"/a/http://b/c", "/a/http://b/c", ""),
        (b"/a?b=https://c/d", "/a", "b=https://c/d"),
        (b"//a//b", "/a//b", ""),
        (b"/%2Fa", "/a", ""),
        (b"https://gateway//a", "/a", ""),
        (b"*", "/*", ""),
    ],
)
def test_a_target_has_one_path(target: bytes, path: str, query: str) -> None:
    """That which the application takes it for; it may come with its host."""
    head = read(b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert head is not None
    assert (head.path, head.query) == (path, query)


def test_a_header_whose_name_begins_as_that_of_the_length_is_none() -> None:
    head = read(LINE + HOST + b"Content-Length-Hint: 7\r\nContent-Length: 5\r\n\r\n")
    assert head is not None
    assert head.length == 5


@pytest.mark.parametrize(("version", "expected"), [(b"1.0", None), (b"1.1", "x")])
def test_callers_of_http_1_0_expect_nothing(version: bytes, expected: str | None) -> None:
    head = read(LINE.replace(b"1.1", version) + HOST + b"Expect: x\r\n\r\n")
    assert head is not None
    assert head.header("Expect") == expected


@pytest.mark.parametrize("line", [b"Authorization : qsk_x", b"Authorization: qsk_\x7f\x0b", b"qsk_x", b"qsk_x y: z"])
def test_what_is_wrong_is_said_without_the_line(line: bytes) -> None:
    with pytest.raises(QScoreError) as caught:
        read(LINE + HOST + line + b"\r\n\r\n")
    assert "qsk_" not in caught.value.sentence()
