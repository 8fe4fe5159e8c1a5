"""An HTTPS server in the gateway's place that can misbehave in every way a gateway can.

Its scores tell the row that they belong to: ``qscore_reason`` repeats the row's cells, so that a test sees at once
whether scores stand on their own rows.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from demo.standins.https_server import EndpointHandler, HttpsEndpoint, endpoint_of
from scorer.wire.card import ModelCard
from scorer.wire.errors import Forbidden, OverLimit, Problem, QScoreError, QueueFull, Unauthorised, UnknownModel
from scorer.wire.names import MEDIA_CSV, MEDIA_JSON, MEDIA_PROBLEM, OUTPUT_COLUMNS
from scorer.wire.release import RELEASE

KEY = "scripted-gateway-key"
CARD = ModelCard(
    name="lateral",
    version="7",
    family="svc",
    title="Lateral movement",
    trained_on="Rows of this test.",
    starter=False,
    serve="quantum",
    grain="window",
    required_fields=("logons", "failures"),
    context_fields=("_time", "user"),
    macro="qscore_lateral_rows",
    threshold=0.5,
    fpr=0.01,
    details={},
)


@dataclass(frozen=True)
class Request:
    """One request for scores: what it asked for, and its rows by column."""

    query: dict[str, str]
    batch_id: str
    body: bytes
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    connection: tuple[str, int] = field(default=("", 0))


class ScriptedGateway(HttpsEndpoint):
    """``card_script`` and ``score_script``: how the next requests fail, one name each; ``""`` answers properly.

    Names: hang, close, html, garbage, huge, no_length, redirect, not_json, unauthorised, forbidden, error, queue_full,
    over_limit (which names a pause of ``retry_after`` seconds);
    for scores also wrong_rows, fewer_lines, extra_column, open_quote, wrong_header, wrong_version, other_model.
    ``always``: a failure of every request while it is set. ``cards``: name -> card. ``moments``: by time.monotonic(),
    when each of ``requests`` came.
    """

    def __init__(self, certificate: Path) -> None:
        self.cards = {CARD.name: CARD}
        self.card_script: deque[str] = deque()
        self.score_script: deque[str] = deque()
        self.always = ""
        self.retry_after = 1
        self.releases: dict[str, str] = {"X_QScore_Release": RELEASE, "X_QScore_Worker_Release": RELEASE}
        self.requests: list[Request] = []
        self.moments: list[float] = []
        self.card_requests = 0
        super().__init__(_Handler, certificate)


class _Handler(EndpointHandler):
    def do_GET(self) -> None:
        gateway = endpoint_of(self)
        gateway.card_requests += 1
        failure = gateway.always or (gateway.card_script.popleft() if gateway.card_script else "")
        if failure:
            return self._fail(failure)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._refuse(Unauthorised("that key is not known", "Make one with `qscore key new`."))
        card = gateway.cards.get(urlsplit(self.path).path.rsplit("/", 1)[1])
        if card is None:
            return self._refuse(UnknownModel("there is no model of that name", "`qscore models` lists them."))
        return self._send(200, MEDIA_JSON, json.dumps(card.to_dict()).encode())

    def do_POST(self) -> None:
        gateway = endpoint_of(self)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        failure = gateway.always or (gateway.score_script.popleft() if gateway.score_script else "")
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        header, *rows = [tuple(row) for row in csv.reader(io.StringIO(body.decode(), newline=""))]
        batch = self.headers["X-QScore-Batch"]
        gateway.moments.append(time.monotonic())
        gateway.requests.append(Request(query, batch, body, header, tuple(rows), self.client_address))
        if failure in ("", "wrong_rows", "fewer_lines", "extra_column", "open_quote", "wrong_header", "wrong_version"):
            return self._scores(header, rows, query["version"], failure)
        return self._fail(failure)

    def _scores(self, header: tuple[str, ...], rows: list[tuple[str, ...]], version: str, failure: str) -> None:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(OUTPUT_COLUMNS if failure != "wrong_header" else reversed(OUTPUT_COLUMNS))
        for row in rows[1:] if failure == "fewer_lines" else rows:
            reason = "; ".join(f"{name}={cell}" for name, cell in zip(header, row, strict=False))
            reason = reason.replace("\n", "|").replace("\r", "|")
            extra = ["more"] if failure == "extra_column" else []
            line = ["0.5000", "50", "low", "0", "0.5000", "0.5000", reason, "lateral", version, "ok"]
            writer.writerow(line + extra)
        text = out.getvalue()
        if failure == "open_quote":
            text = text.replace("ok\n", '"ok\n')
        self._send(
            200,
            MEDIA_CSV,
            text.encode(),
            X_QScore_Rows=str(len(rows) + (failure == "wrong_rows")),
            X_QScore_Scored=str(len(rows)),
            X_QScore_Model="lateral",
            X_QScore_Version="999" if failure == "wrong_version" else version,
            X_QScore_Problems="{}",
            **endpoint_of(self).releases,
        )

    def _fail(self, failure: str) -> None:
        refusals: dict[str, QScoreError] = {
            "unauthorised": Unauthorised("that key is not known", "Make one with `qscore key new`."),
            "forbidden": Forbidden("the key has no scope score", "Make another."),
            "error": QScoreError("the gateway met an internal fault", "See its log."),
            "queue_full": QueueFull("64 batches wait already", "Try again."),
            "over_limit": OverLimit("key k1 has 48 batches under way and may have 48", "Wait for answers."),
        }
        if failure in refusals:
            pause = {"Retry-After": str(endpoint_of(self).retry_after)} if failure == "over_limit" else {}
            return self._refuse(refusals[failure], **pause)
        if failure == "hang":
            endpoint_of(self).closing.wait(60)
        if failure == "html":
            return self._send(200, "text/html", b"<h1>It works!</h1>")
        if failure == "not_json":
            return self._send(200, MEDIA_JSON, b"{nope")
        if failure == "redirect":
            return self._send(302, "text/plain", b"", Location="https://elsewhere.example/")
        if failure == "garbage":
            self.wfile.write(b"\x00\xffSSH-2.0-OpenSSH\r\n\r\n")
        if failure == "huge":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 99999999999\r\n\r\n")
        self.close_connection = True
        return None

    def _refuse(self, error: QScoreError, **headers: str) -> None:
        self._send(error.status, MEDIA_PROBLEM, Problem.of(error).to_json(), **headers)

    def _send(self, status: int, media: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
