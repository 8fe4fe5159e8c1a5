"""What a scoring request asks for, checked before anything is queued."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import time
import uuid
from dataclasses import dataclass

from flask import Request
from werkzeug.exceptions import HTTPException

from scorer.service.settings import Settings
from scorer.wire.errors import BadOption, BodyTooLarge, MalformedBody, UnsupportedMediaType
from scorer.wire.limits import check_length
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_QUEUE,
    HEADER_ROWS,
    HEADER_SUBMITTER,
    HEADER_TIMEOUT,
    MAX_BODY_BYTES,
    MAX_ROWS,
    MEDIA_ARROW,
    MEDIA_CSV,
    MEDIA_JSON,
    QUEUE_BULK,
    QUEUE_INTERACTIVE,
    check_model_name,
)
from scorer.wire.options import ScoreOptions

_BATCH = re.compile(r"[A-Za-z0-9_.-]{8,80}\Z")
_SUBMITTER = re.compile(r"[A-Za-z0-9_.:-]{1,80}\Z")
_MEDIA = (MEDIA_CSV, MEDIA_ARROW, MEDIA_JSON)
#: Seconds between two pieces of one body, after which its sender counts as gone.
_BODY_SILENCE = 15.0
#: Seconds in which a refused body may still arrive; nobody can hold a thread for longer without a key.
_DISCARD_SECONDS = 5.0
_DISCARD_BYTES = 64 * 1024


@dataclass(frozen=True)
class ScoreRequest:
    """A checked request. ``timeout``: seconds that the caller waits, at most what the settings allow."""

    model: str
    options: ScoreOptions
    rows: int
    media_type: str
    batch_id: str
    timeout: float
    queue: str
    submitter: str | None
    writer: str = ""

    def pinned(self, version: str, queue: str, writer: str) -> ScoreRequest:
        """Pin the request to one exact version, on the queue of that version's lane, for the namespace of its key."""
        options = dataclasses.replace(self.options, version=version)
        return dataclasses.replace(self, options=options, queue=queue, writer=writer)


def score_request(name: str, request: Request, settings: Settings) -> ScoreRequest:
    """Read path, query and headers. Raises BadInput's kinds (BodyTooLarge by what is announced), UnknownModel."""
    repeated = [key for key in request.args if len(request.args.getlist(key)) > 1]
    if repeated:
        raise BadOption(f"option {repeated[0][:40]} is given twice", "Give it once.")
    options = ScoreOptions.parse(request.args.to_dict())
    if options.write and settings.sink == "none":
        raise BadOption("write=true, but this gateway has no sink to write to", 'Set sink = "hec" in its qscore.toml.')
    rows, media_type = _rows(request.headers.get(HEADER_ROWS)), _media_type(request)
    check_length(request.content_length or 0, rows, media_type)
    return ScoreRequest(
        model=check_model_name(name),
        options=options,
        rows=rows,
        media_type=media_type,
        batch_id=_matching(request, HEADER_BATCH, _BATCH) or uuid.uuid4().hex,
        timeout=_timeout(request.headers.get(HEADER_TIMEOUT), settings.gateway.max_timeout),
        queue=_queue(request.headers.get(HEADER_QUEUE, QUEUE_INTERACTIVE)),
        submitter=_matching(request, HEADER_SUBMITTER, _SUBMITTER),
    )


def read_body(request: Request) -> bytes:
    """Read the whole body. Raises MalformedBody, BodyTooLarge."""
    length = request.content_length
    if length is None:
        raise MalformedBody("the request has no Content-Length", "Send the body whole, with its length.")
    if length > MAX_BODY_BYTES:
        raise BodyTooLarge(f"the body has {length} bytes", f"Send at most {MAX_BODY_BYTES} bytes at a time.")
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(_BODY_SILENCE)  # a sender that falls silent must not hold a thread
    try:
        body = request.get_data(cache=False)
    except OSError:
        raise MalformedBody("the body stopped in the middle", "Send it again.") from None
    if len(body) != length:
        raise MalformedBody(f"the body has {len(body)} bytes, not the {length} announced", "Send it again.")
    return body


def discard_body(request: Request) -> None:
    """Read away what a refused caller still sends, for some seconds.

    A caller that finds the connection closed while it sends sees a broken connection, and never why it was refused.
    """
    connection = request.environ.get("gunicorn.socket")
    deadline = time.monotonic() + _DISCARD_SECONDS
    with contextlib.suppress(OSError, HTTPException):
        while (left := deadline - time.monotonic()) > 0:
            if connection is not None:
                connection.settimeout(left)
            if not request.stream.read(_DISCARD_BYTES):
                break
    if connection is not None:
        connection.settimeout(_BODY_SILENCE)


def _rows(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadOption(f"{HEADER_ROWS} is {(text or 'missing')[:40]!r}", "Send the number of data rows.")
    if int(text) > MAX_ROWS:
        raise BodyTooLarge(f"{text} rows are too many", f"Send at most {MAX_ROWS} rows at a time.")
    return int(text)


def _timeout(text: str | None, longest: float) -> float:
    if text is None:
        return longest
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 < seconds < math.inf:
        raise BadOption(f"{HEADER_TIMEOUT} is {text[:40]!r}", "Send the seconds that you will wait.")
    return min(seconds, longest)


def _media_type(request: Request) -> str:
    if request.mimetype not in _MEDIA:
        raise UnsupportedMediaType(
            f"a body of type {request.mimetype[:80] or 'none'!r} cannot be scored", f"Send {', '.join(_MEDIA)}."
        )
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise UnsupportedMediaType("the body is compressed", "Send it as it is.")
    return request.mimetype


def _queue(text: str) -> str:
    if text not in (QUEUE_INTERACTIVE, QUEUE_BULK):
        raise BadOption(f"{HEADER_QUEUE} is {text[:40]!r}", f"Send {QUEUE_INTERACTIVE} or {QUEUE_BULK}.")
    return text


def _matching(request: Request, header: str, pattern: re.Pattern[str]) -> str | None:
    text = request.headers.get(header)
    if text is not None and not pattern.match(text):
        raise BadOption(f"{header} is {text[:80]!r}", f"It must match {pattern.pattern[:-2]}.")
    return text
