"""HTTPS client of the gateway. Standard library only: it ships inside the Splunk app and also serves `qscore score`.

    client = GatewayClient("https://gateway:8417", key, ca_file="/opt/qscore/ca.pem", timeout=30)
    card = client.card("lateral", "live")
    reply = client.score("lateral", body, rows=1000, options=ScoreOptions(version=card.version))
    reply.body      # text/csv: REPLY_HEADER and exactly 1000 lines

A client holds one keep-alive connection and belongs to one thread. TLS is verified always. A reply counts as hostile
until its status, type, size, row count and line count have been checked. Timeouts are of the whole exchange, however
slowly its bytes arrive.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import quote, urlencode

from scorer.wire.card import ModelCard
from scorer.wire.errors import BodyTooLarge, ConfigurationError, NonsenseReply, Problem, QScoreError
from scorer.wire.limits import check_length
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_PROBLEMS,
    HEADER_QUEUE,
    HEADER_RELEASE,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_SUBMITTER,
    HEADER_TIMEOUT,
    HEADER_VERSION,
    HEADER_WORKER_RELEASE,
    MAX_ROWS,
    MEDIA_CSV,
    MEDIA_JSON,
    MEDIA_PROBLEM,
    OUTPUT_COLUMNS,
    QUEUE_BULK,
    check_model_name,
    check_version,
)
from scorer.wire.options import ScoreOptions
from scorer.wire.release import COMMAND, RELEASE, WORKER, skew, stated
from scorer.wire.release import GATEWAY as GATEWAY_SIDE
from scorer.wire.transport import HttpAnswer, Peer, TlsConnection, Trust

#: First line of every reply.
REPLY_HEADER = ",".join(OUTPUT_COLUMNS).encode() + b"\n"

REMEDY = "Run `qscore status` on the gateway's host, and check its address and port."
GATEWAY = Peer(
    name="the gateway",
    form="https://host:8417",
    port=443,
    address="Give scheme, host and port alone; the gateway speaks TLS only.",
    trust="Give the PEM file of the authority that signed the gateway's certificate as ca_file (<home>/tls/ca.pem), "
    "and reach it by a name in its certificate.",
    silent=REMEDY,
    slow="Run `qscore status` on its host; give more time with timeout=.",
)

_CARD_CAP = 4 * 1024 * 1024
_PROBLEM_CAP = 64 * 1024
_REPLY_CAP_PER_ROW = 4096  # a row's ten columns are about 100 bytes; a reason or a status may add a few hundred
_KEY = re.compile(r"[\x21-\x7e]{8,512}\Z")
_CODE = re.compile(r"[a-z_]{1,40}\Z")  # later versions may have codes that this one does not know
_DEFAULTS = ScoreOptions()
_PAUSE_DIGITS = 5  # of a Retry-After: a day


@dataclass(frozen=True)
class ScoreReply:
    """A checked reply: ``body`` is REPLY_HEADER and one LF-ended line per row, in row order."""

    body: bytes
    batch_id: str
    model: str
    version: str
    rows: int
    scored: int
    problems: Mapping[str, int] = field(default_factory=dict)  # status code -> rows
    skew: str = ""  # which side is of an older version and what to do; empty where all are of one


class GatewayClient:
    """One keep-alive connection to one gateway.

    ``url``: https://host[:port]. ``ca_file``: PEM of the authority that signed the gateway's certificate; None: the
    system's authorities. ``timeout``: seconds for a whole exchange. ``server_hostname``: name that the certificate
    must carry where it differs from the URL's host (a gateway reached by address). ``certificate``: PEM of a client
    certificate and its key, for a gateway that asks for one; ``key`` may be empty then.

    Raises ConfigurationError for a URL, key or CA file that cannot work.
    """

    def __init__(
        self,
        url: str,
        key: str,
        ca_file: Optional[str] = None,
        timeout: float = 30.0,
        server_hostname: Optional[str] = None,
        certificate: Optional[str] = None,
    ) -> None:
        if not _KEY.match(key) and not (certificate and not key):
            raise ConfigurationError(
                "the gateway key is empty or holds characters that a key never has",
                "Make one with `qscore key new` and store the line that it prints.",
            )
        self._connection = TlsConnection(url, GATEWAY, Trust(ca_file, server_hostname, certificate=certificate))
        self._key_id = hashlib.sha256(key.encode("ascii")).hexdigest()[:8]
        self._headers = {
            "Accept": "*/*",
            HEADER_RELEASE: RELEASE,
            **({"Authorization": "Bearer " + key} if key else {}),
        }
        self._timeout = timeout

    def __enter__(self) -> GatewayClient:
        return self

    def __exit__(self, *_exc: Any) -> None:
        self.close()

    @property
    def key_id(self) -> str:
        """Give the id under which the gateway lists the key; acknowledgement lists of its caller begin with it."""
        return self._key_id

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        self._connection.close()

    def models(self) -> Tuple[ModelCard, ...]:
        """List every model that the gateway knows. Raises NonsenseReply."""
        body = self._get_json("/v1/models")
        listed = body.get("models") if isinstance(body, dict) else None
        if not isinstance(listed, list):
            raise NonsenseReply("the gateway's list of models is not a list", REMEDY)
        return tuple(ModelCard.from_dict(raw) for raw in listed)

    def card(self, model: str, version: str = "live") -> ModelCard:
        """Fetch what a model says of itself. Raises UnknownModel."""
        path = "/v1/models/%s?version=%s" % (quote(check_model_name(model)), quote(check_version(version)))
        return ModelCard.from_dict(self._get_json(path))

    def release(self) -> str:
        """Ask the gateway for its release; SILENT of one that states none."""
        answer = self._exchange("GET", "/healthz", None, {}, self._timeout, _CARD_CAP)
        return stated(answer.headers.get(HEADER_RELEASE.lower()))

    def ready(self) -> Mapping[str, Any]:
        """Fetch /readyz, when the gateway reaches its queue and a worker is alive; else raises Unavailable."""
        body = self._get_json("/readyz")
        if not isinstance(body, dict):
            raise NonsenseReply("the gateway's state is not an object", REMEDY)
        return body

    def score(
        self,
        model: str,
        body: bytes,
        rows: int,
        options: ScoreOptions = _DEFAULTS,
        batch_id: Optional[str] = None,
        timeout: Optional[float] = None,
        media_type: str = MEDIA_CSV,
        submitter: Optional[str] = None,
        bulk: bool = False,
    ) -> ScoreReply:
        """Score one body of ``rows`` data rows; safe to repeat with the same ``batch_id``.

        ``timeout``: seconds, of this exchange alone. ``submitter``: whose acknowledgement list learns what became of
        written rows; it begins with the key's id and a colon. ``bulk``: wait on the queue for files, not on that of
        searches. Raises the gateway's own problem (BadInput, Unauthorised, UnknownModel, QueueFull ...),
        ScoringTimeout, Unreachable or NonsenseReply.
        """
        if rows > MAX_ROWS:
            raise BodyTooLarge("%d rows are too many" % rows, "Send at most %d rows at a time." % MAX_ROWS)
        check_length(len(body), rows, media_type)
        allowed = self._timeout if timeout is None else timeout
        headers = {"Content-Type": media_type, HEADER_ROWS: str(rows), HEADER_TIMEOUT: "%.3f" % _gateway_wait(allowed)}
        if batch_id is not None:
            headers[HEADER_BATCH] = batch_id
        if submitter is not None:
            headers[HEADER_SUBMITTER] = submitter
        if bulk:
            headers[HEADER_QUEUE] = QUEUE_BULK
        path = "/v1/models/%s/score?%s" % (quote(check_model_name(model)), urlencode(options.to_query()))
        cap = _PROBLEM_CAP + rows * _REPLY_CAP_PER_ROW
        answer = self._exchange("POST", path, body, headers, allowed, cap)
        _expect_type(answer, MEDIA_CSV)
        return _checked_reply(answer, rows)

    def _get_json(self, path: str) -> Any:
        answer = self._exchange("GET", path, None, {}, self._timeout, _CARD_CAP)
        _expect_type(answer, MEDIA_JSON)
        return _json(answer.body)

    def _exchange(
        self, method: str, path: str, body: Optional[bytes], headers: Dict[str, str], allowed: float, cap: int
    ) -> HttpAnswer:
        answer = self._connection.exchange(method, path, body, {**self._headers, **headers}, allowed, cap)
        if answer.status != 200:
            raise _refusal(answer)
        return answer


def _gateway_wait(allowed: float) -> float:
    """Say how long the gateway may wait: a little less than we do, so that its own answer still arrives."""
    return max(0.1, allowed - min(1.0, 0.1 * allowed))


def _expect_type(answer: HttpAnswer, wanted: str) -> None:
    if answer.media_type() != wanted:
        raise NonsenseReply("the gateway answered with %r instead of %s" % (answer.media_type()[:80], wanted), REMEDY)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NonsenseReply("the gateway's answer is not JSON", REMEDY) from None


def _refusal(answer: HttpAnswer) -> QScoreError:
    """The error that a status other than 200 stands for."""
    if answer.media_type() != MEDIA_PROBLEM:
        return NonsenseReply(
            "HTTP status %d came back without a problem document, so this is no qscore gateway" % answer.status, REMEDY
        )
    try:
        error = Problem.from_dict(_json(answer.body)).error()
    except NonsenseReply as nonsense:
        return nonsense
    if error.retry_after is None:
        error.retry_after = _seconds(answer.headers.get("retry-after", ""))
    return error


def _seconds(text: str) -> Optional[float]:
    """Read a Retry-After in seconds; None for a date, which no gateway sends, and for what is neither."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= _PAUSE_DIGITS else None


def _checked_reply(answer: HttpAnswer, rows: int) -> ScoreReply:
    counted = _count(answer, HEADER_ROWS)
    if counted != rows:
        raise NonsenseReply("%d rows were sent and %d came back" % (rows, counted), REMEDY)
    body = answer.body
    # Values never hold a line feed, so lines can be counted without parsing.
    if not body.startswith(REPLY_HEADER) or not body.endswith(b"\n") or body.count(b"\n") != rows + 1:
        raise NonsenseReply("the reply is not one line of scores per row", REMEDY)
    return ScoreReply(
        body=body,
        batch_id=answer.headers.get(HEADER_BATCH.lower(), "")[:80],
        model=answer.headers.get(HEADER_MODEL.lower(), "")[:64],
        version=answer.headers.get(HEADER_VERSION.lower(), "")[:64],
        rows=rows,
        scored=_count(answer, HEADER_SCORED),
        problems=_problems(answer),
        skew=_skew(answer),
    )


def _skew(answer: HttpAnswer) -> str:
    """Compare the releases of command, gateway and worker; a batch that no worker saw says nothing of one."""
    sides = {COMMAND: RELEASE, GATEWAY_SIDE: stated(answer.headers.get(HEADER_RELEASE.lower()))}
    worker = answer.headers.get(HEADER_WORKER_RELEASE.lower())
    if worker is not None:
        sides[WORKER] = stated(worker)
    return skew(sides)


def _count(answer: HttpAnswer, header: str) -> int:
    text = answer.headers.get(header.lower(), "")
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise NonsenseReply("the reply's %s is %r" % (header, text[:40]), REMEDY)
    return int(text)


def _problems(answer: HttpAnswer) -> Dict[str, int]:
    raw = _json(answer.headers.get(HEADER_PROBLEMS.lower(), "{}").encode("latin-1", "replace"))
    if not isinstance(raw, dict) or not all(_CODE.match(k) and type(v) is int for k, v in raw.items()):
        raise NonsenseReply("the reply's %s is not a table of counts" % HEADER_PROBLEMS, REMEDY)
    return raw
