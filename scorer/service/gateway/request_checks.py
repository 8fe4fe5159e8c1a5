"""What a scoring request asks for, checked before anything is queued."""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from dataclasses import dataclass
from urllib.parse import parse_qsl

from scorer.service.gateway.front.gate import RequestHead
from scorer.service.settings import Settings
from scorer.wire.errors import BadOption, BodyTooLarge, MalformedBody, UnsupportedMediaType
from scorer.wire.limits import check_length
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_QUEUE,
    HEADER_RELEASE,
    HEADER_ROWS,
    HEADER_SUBMITTER,
    HEADER_TIMEOUT,
    MAX_ROWS,
    MEDIA_ARROW,
    MEDIA_CSV,
    MEDIA_JSON,
    QUEUE_BULK,
    QUEUE_INTERACTIVE,
    check_model_name,
)
from scorer.wire.options import ScoreOptions
from scorer.wire.release import SILENT, stated

#: A batch's id. A key in the wrong header is none: ids stand in logs.
BATCH_ID = re.compile(r"(?!qs[kt]_)[A-Za-z0-9_.-]{8,80}\Z")
_SUBMITTER = re.compile(r"[A-Za-z0-9_.:-]{1,80}\Z")
_MEDIA = (MEDIA_CSV, MEDIA_ARROW, MEDIA_JSON)
_MOST_ARGUMENTS = 50


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
    release: str = SILENT

    def pinned(self, version: str, queue: str, writer: str) -> ScoreRequest:
        """Pin the request to one exact version, on the queue of that version's lane, for the namespace of its key."""
        options = dataclasses.replace(self.options, version=version)
        return dataclasses.replace(self, options=options, queue=queue, writer=writer)

    def about(self) -> dict[str, object]:
        """Say in the log which batch it is."""
        version = self.options.version
        return {"batch_id": self.batch_id, "model": self.model, "version": version, "rows": self.rows}


def score_request(name: str, head: RequestHead, settings: Settings) -> ScoreRequest:
    """Read path, query and headers. Raises BadInput's kinds (BodyTooLarge by what is announced), UnknownModel."""
    options = ScoreOptions.parse(arguments(head.query))
    if options.write and settings.sink == "none":
        raise BadOption("write=true, but this gateway has no sink to write to", 'Set sink = "hec" in its qscore.toml.')
    rows, media_type = _rows(head.header(HEADER_ROWS)), _media_type(head)
    if head.length is None:
        raise MalformedBody("the request has no Content-Length", "Send the body whole, with its length.")
    check_length(head.length, rows, media_type)
    return ScoreRequest(
        model=check_model_name(name),
        options=options,
        rows=rows,
        media_type=media_type,
        batch_id=_matching(head, HEADER_BATCH, BATCH_ID) or uuid.uuid4().hex,
        timeout=_timeout(head.header(HEADER_TIMEOUT), settings.gateway.max_timeout),
        queue=_queue(head.headers.get(HEADER_QUEUE.lower(), QUEUE_INTERACTIVE)),
        submitter=_matching(head, HEADER_SUBMITTER, _SUBMITTER),
        release=stated(head.header(HEADER_RELEASE)),
    )


def arguments(query: str) -> dict[str, str]:
    """Read a query; every option once. Raises BadOption."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_ARGUMENTS)
    except ValueError:
        raise BadOption(f"the query has more than {_MOST_ARGUMENTS} options", "Give each once.") from None
    names = [name for name, _ in pairs]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise BadOption(f"option {repeated[0][:40]} is given twice", "Give it once.")
    return dict(pairs)


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


def _media_type(head: RequestHead) -> str:
    media_type = (head.header("Content-Type") or "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA:
        raise UnsupportedMediaType(
            f"a body of type {media_type[:80] or 'none'!r} cannot be scored", f"Send {', '.join(_MEDIA)}."
        )
    if head.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("the body is compressed", "Send it as it is.")
    return media_type


def _queue(text: str) -> str:
    if text not in (QUEUE_INTERACTIVE, QUEUE_BULK):
        raise BadOption(f"{HEADER_QUEUE} is {text[:40]!r}", f"Send {QUEUE_INTERACTIVE} or {QUEUE_BULK}.")
    return text


def _matching(head: RequestHead, header: str, pattern: re.Pattern[str]) -> str | None:
    text = head.header(header)
    if text is not None and not pattern.match(text):
        raise BadOption(f"{header} is {text[:80]!r}", f"It must match {pattern.pattern[:-2]}.")
    return text
