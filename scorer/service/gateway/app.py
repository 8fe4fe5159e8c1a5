"""The gateway: authenticates, checks what can be checked without parsing, queues the body and waits for its reply.

It never imports NumPy and never parses a body.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from scorer.logs import get_log
from scorer.registry.cards import CardStore
from scorer.service.access.api_keys import ApiKey, KeyFile
from scorer.service.gateway.contract.pages import add_contract_routes
from scorer.service.gateway.metrics import GatewayMetrics, new_metrics
from scorer.service.gateway.request_checks import ScoreRequest, discard_body, read_body, score_request
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import ScoreJob, WorkerReply
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.queue.submit import Admission, Submitter
from scorer.service.settings import Settings
from scorer.wire.client import REPLY_HEADER
from scorer.wire.errors import (
    BadInput,
    BadOption,
    BodyTooLarge,
    Problem,
    QScoreError,
    ScoringTimeout,
)
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_PROBLEMS,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_VERSION,
    MAX_BODY_BYTES,
    MEDIA_CSV,
    MEDIA_PROBLEM,
    QUEUE_INTERACTIVE,
)

_RETRY_AFTER = {429: "2", 503: "5"}  # seconds
#: Replies that may pass from a worker to a caller.
_REPLY_HEADERS = (HEADER_BATCH, HEADER_MODEL, HEADER_VERSION, HEADER_ROWS, HEADER_SCORED, HEADER_PROBLEMS)


@dataclass(frozen=True)
class Gateway:
    """The parts that every request needs; made once per process."""

    settings: Settings
    keys: KeyFile
    cards: CardStore
    queue: Exchanges
    submitter: Submitter
    metrics: GatewayMetrics

    def allow(self, scope: str) -> ApiKey:
        """Find the caller's key. Raises Unauthorised or Forbidden."""
        return self.allow_header(request.headers.get("Authorization"), scope)

    def allow_header(self, authorization: str | None, scope: str) -> ApiKey:
        """Find the key in an Authorization header. Raises Unauthorised or Forbidden."""
        key = self.keys.identify(authorization)
        key.allows(scope)
        return key

    def run(self, asked: ScoreRequest, body: bytes) -> WorkerReply:
        """Queue one body and wait for its reply. Raises QueueFull, ScoringTimeout or Unavailable."""
        lane = self.queue.lanes.serving(asked.queue)
        admission, exchange = Admission.to_lane(lane, self.settings.gateway.max_waiting), self.queue.serving(lane)
        # A body's key outlives the caller a little: what is never fetched goes by itself.
        job = self.submitter.put(_job(asked), asked.queue, body, asked.timeout + 30, admission)
        reply = exchange.wait_reply(str(job.reply_key), job.deadline - time.time())
        if reply is None:
            exchange.drop(job.body_key)
            raise ScoringTimeout(
                f"no worker answered for batch {asked.batch_id} within {asked.timeout:g} s",
                "Run `qscore status`; add workers, send smaller batches or give more time.",
            )
        return reply


def _job(asked: ScoreRequest) -> ScoreJob:
    """The job of a request, without its body."""
    now = time.time()
    return ScoreJob(
        asked.batch_id,
        asked.model,
        asked.options,
        asked.rows,
        asked.media_type,
        deadline=now + asked.timeout,
        submitted=now,
        reply_key=f"qscore:reply:{uuid.uuid4().hex}",
        submitter=asked.submitter,
        writer=asked.writer,
    )


def create_app(settings: Settings, lanes: Lanes = LANES) -> Flask:
    """Make the WSGI application. Connects to nothing until the first request."""
    longest = settings.gateway.max_timeout
    queue = Exchanges.of(settings, settings.gateway.threads + 2, longest, lanes)
    gateway = Gateway(
        settings,
        KeyFile(settings.api_keys),
        CardStore(settings.registry, settings.trusted_keys),
        queue,
        queue.submitter(settings),
        new_metrics(queue.state),
    )
    app = Flask("qscore", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    _add_state_routes(app, gateway)
    _add_model_routes(app, gateway)
    add_contract_routes(app, gateway.allow_header)
    _add_edges(app, gateway)
    return app


def _add_state_routes(app: Flask, gateway: Gateway) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="up")

    @app.get("/readyz")
    def readyz() -> Response:
        state = gateway.queue.state()
        lane = gateway.queue.lanes.serving(QUEUE_INTERACTIVE)
        if state.workers[lane.name] == 0:
            raise lane.nobody()
        return jsonify(status="ready", workers=dict(state.workers), waiting=dict(state.waiting))

    @app.get("/metrics")
    def metrics() -> Response:
        gateway.allow("read")
        return Response(gateway.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _add_model_routes(app: Flask, gateway: Gateway) -> None:
    @app.get("/v1/models")
    def models() -> Response:
        gateway.allow("read")
        return jsonify(models=[card.to_dict() for card in gateway.cards.cards()])

    @app.get("/v1/models/<name>")
    def model(name: str) -> Response:
        gateway.allow("read")
        unknown = sorted(set(request.args) - {"version"})
        if unknown:
            raise BadOption(f"unknown option {unknown[0][:40]}", "The only option here is version.")
        return jsonify(gateway.cards.card(name, request.args.get("version", "live")).to_dict())

    @app.post("/v1/models/<name>/score")
    def score(name: str) -> Response:
        return _score(gateway, name)


def _score(gateway: Gateway, name: str) -> Response:
    try:
        asked = _allowed_request(gateway, name)
    except QScoreError:
        discard_body(request)
        raise
    g.log = {"batch_id": asked.batch_id, "model": asked.model, "version": asked.options.version, "rows": asked.rows}
    body = read_body(request)
    if asked.rows == 0 and not body:
        return _response(asked, WorkerReply(REPLY_HEADER, {HEADER_SCORED: "0", HEADER_PROBLEMS: "{}"}))
    gateway.metrics.rows.labels(asked.model).inc(asked.rows)
    with gateway.metrics.seconds.time():
        reply = gateway.run(asked, body)
    if reply.problem is not None:
        raise reply.problem.error()
    return _response(asked, reply)


def _allowed_request(gateway: Gateway, name: str) -> ScoreRequest:
    """Read what the caller asks for, of one exact version; all that can be said without the body is checked."""
    key = gateway.allow("score")
    asked = score_request(name, request, gateway.settings)
    if asked.options.write:
        key.allows("write")
    card = gateway.cards.card(asked.model, asked.options.version)
    return asked.pinned(card.version, gateway.queue.lanes.queue_of(card, asked.queue), key.namespace)


def _response(asked: ScoreRequest, reply: WorkerReply) -> Response:
    own = {
        HEADER_BATCH: asked.batch_id,
        HEADER_MODEL: asked.model,
        HEADER_VERSION: asked.options.version,
        HEADER_ROWS: str(asked.rows),
    }
    headers = own | {name: value for name, value in (reply.headers or {}).items() if name in _REPLY_HEADERS}
    return Response(reply.body, headers=headers, content_type=MEDIA_CSV + "; charset=utf-8")


def _add_edges(app: Flask, gateway: Gateway) -> None:
    """The one place where errors become HTTP, and where requests are counted and logged."""

    @app.before_request
    def start() -> None:
        g.started = time.perf_counter()

    @app.errorhandler(QScoreError)
    def refused(error: QScoreError) -> Response:
        g.code = error.code
        return problem_response(error)

    @app.errorhandler(HTTPException)
    def not_found(error: HTTPException) -> Response:
        response = refused(_http_error(error))
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        reference = uuid.uuid4().hex[:12]
        get_log().error("failed", reference=reference, exc_info=error)
        return refused(QScoreError(f"the gateway failed (reference {reference})", "Look for it in the gateway's log."))

    @app.after_request
    def account(response: Response) -> Response:
        code = g.get("code", "ok")
        gateway.metrics.requests.labels(request.endpoint or "none", code).inc()
        if request.endpoint == "score" or code != "ok":
            seconds = round(time.perf_counter() - g.started, 4)
            get_log().info(
                "request",
                endpoint=request.endpoint,
                status=response.status_code,
                code=code,
                seconds=seconds,
                **g.get("log", {}),
            )
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def problem_response(error: QScoreError) -> Response:
    """Answer with application/problem+json (RFC 9457)."""
    problem = Problem.of(error)
    response = Response(problem.to_json(), status=problem.status, content_type=MEDIA_PROBLEM)
    if problem.status in _RETRY_AFTER:
        response.headers["Retry-After"] = _RETRY_AFTER[problem.status]
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="qscore"'
    return response


def _http_error(error: HTTPException) -> QScoreError:
    if error.code == 413:
        return BodyTooLarge("the body is too large", f"Send at most {MAX_BODY_BYTES} bytes at a time.")
    named = BadInput(
        f"{request.method} {request.path[:200]}: {error.name}", "See docs/wire.md for what the gateway serves."
    )
    named.status = error.code or 400
    return named
