"""A request's head, read line by line and strictly: what two servers could read in two ways is refused.

h11 reads the lines; what it is lenient about (bare line feeds, folded lines, repeated lengths) is refused before it.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

import h11

from scorer.service.gateway.front.gate import Peer, RequestHead
from scorer.service.gateway.front.refusals import refusal
from scorer.wire.errors import MalformedBody, QScoreError

#: Bytes of one line with its end, and lines of one head.
LONGEST_LINE = 8 * 1024
MOST_LINES = 50
_REQUEST_LINE = re.compile(rb"([!-~]{1,32}) [!-~]+ HTTP/(\d\.\d)\r\n\Z")
_ABSOLUTE = re.compile(r"\Ahttps?://[^/?]*", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}\Z")


async def read_head(reader: asyncio.StreamReader, peer: Peer, first: bytes = b"") -> RequestHead | None:
    """Read one head, of which ``first`` is there already; None where the caller closed the connection before its end.

    Raises QScoreError for what is no head, as soon as the first wrong line is there. Sets no deadline.
    """
    try:
        lines = [first + await _line(reader)]
        _check_request_line(lines[0])
        while (line := await _line(reader)) != b"\r\n":
            _check_field_line(line)
            lines.append(line)
            if len(lines) > MOST_LINES + 1:
                raise refusal(431, f"the request has more than {MOST_LINES} headers", "Send fewer.")
    except asyncio.IncompleteReadError:
        return None
    return parse_head(b"".join(lines) + b"\r\n", peer)


def parse_head(head: bytes, peer: Peer) -> RequestHead:
    """Read a whole head of strict lines. Raises QScoreError for what is wrong in it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        connection.receive_data(head)
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        # Its words quote a whole line, which may hold a key; what they say of it stands before.
        raise _refusal(str(error).partition(" line: ")[0], error.error_status_hint) from None
    if not isinstance(request, h11.Request):
        raise _refusal("the request ends in the middle", 400)
    method = request.method.decode("ascii")
    if method != method.upper():  # names are of capitals; an application that takes others would be asked past the gate
        raise refusal(501, f"the method {method!r} is not known here", "Write it in capitals, as GET and POST.")
    given = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers]
    path, _, query = _ABSOLUTE.sub("", request.target.decode("ascii")).partition("?")
    return RequestHead(
        method=method,
        path="/" + unquote(path).lstrip("/"),  # as the application reads it: both must take it for the same
        query=query,
        headers=_joined(given, request.http_version),
        peer=peer,
        length=_length(head, given),
        keep_alive=_stays(request, given),
    )


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError:
        raise refusal(431, "a line of the request's head has no end", "Send shorter headers.") from None
    if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
        raise _refusal("a line of the request's head does not end in CR LF, or has CR or NUL in it", 400)
    return line


def _check_request_line(line: bytes) -> None:
    if len(line) > LONGEST_LINE:
        raise refusal(414, f"the request line has {len(line)} bytes", f"Send at most {LONGEST_LINE}.")
    found = _REQUEST_LINE.match(line)
    if found is None:
        raise _refusal("the first line is not a request of HTTP/1.1", 400)
    if found[2] not in (b"1.1", b"1.0"):
        raise refusal(505, f"HTTP/{found[2].decode()} is not served here", "Send HTTP/1.1.")
    if found[1] != found[1].upper():  # another method than that in upper case, for which the application would take it
        raise refusal(501, "the method is not in upper case, and no such one is known here", "Send GET or POST.")


def _check_field_line(line: bytes) -> None:
    if len(line) > LONGEST_LINE:
        raise refusal(431, f"a header has {len(line)} bytes", f"Send at most {LONGEST_LINE}.")
    if line[:1] in (b" ", b"\t"):
        raise _refusal("a header is folded over several lines", 400)


def _length(head: bytes, given: list[tuple[str, str]]) -> int | None:
    """Read the body's length. h11 makes one of several equal ones, so they are counted in the head itself."""
    if any(name == "transfer-encoding" for name, _ in given):
        raise MalformedBody("the body comes in chunks, without its length", "Send it whole, with Content-Length.")
    fields = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
    lengths = [value.strip() for name, _, value in fields if name.strip().lower() == b"content-length"]
    if not lengths:
        return None
    text = lengths[0].decode("latin-1")
    if len(lengths) != 1 or not _LENGTH.match(text):
        raise _refusal("Content-Length is given twice, or is no number", 400)
    return int(text)


def _joined(given: list[tuple[str, str]], version: bytes) -> dict[str, str]:
    """Join repeated headers. A name with an underscore is dropped: WSGI could not tell it from one with a hyphen.

    So is what HTTP/1.0 does not have: its callers expect nothing (RFC 9110, 10.1.1).
    """
    joined: dict[str, str] = {}
    for name, value in given:
        if "_" not in name and (name != "expect" or version != b"1.0"):
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _stays(request: h11.Request, given: list[tuple[str, str]]) -> bool:
    words = {word.strip().lower() for name, value in given if name == "connection" for word in value.split(",")}
    return "close" not in words and request.http_version == b"1.1"


def _refusal(detail: str, status: int) -> QScoreError:
    return refusal(status, f"this is no request that the gateway reads: {detail}", "Send plain HTTP/1.1.")
