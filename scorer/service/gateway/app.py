"""The gateway: authenticates, checks what can be checked without parsing, queues the body and waits for its reply.

It never imports NumPy and never parses a body.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from scorer.logs import get_log
from scorer.registry.cards import CardStore
from scorer.service.access.api_keys import KeyFile
from scorer.service.access.disclosure import disclosed, roots_of
from scorer.service.access.door.callers import Caller
from scorer.service.access.door.door import Door
from scorer.service.access.door.tokens import Tokens
from scorer.service.access.oidc.people import People
from scorer.service.access.trust.anchors import gateway_cards
from scorer.service.gateway.contract.pages import add_contract_routes
from scorer.service.gateway.doors import Doors
from scorer.service.gateway.entrance.enter import card_for, enter
from scorer.service.gateway.entrance.token_route import add_token_route
from scorer.service.gateway.front.bodies import HeldBody
from scorer.service.gateway.front.gate import ENVIRON_BODY, ENVIRON_HEAD, ENVIRON_PERMIT, Peer, RequestHead
from scorer.service.gateway.front.refusals import problem_answer
from scorer.service.gateway.journal import Journal
from scorer.service.gateway.metrics import GatewayMetrics, new_metrics
from scorer.service.gateway.permits import RequestChecks, ScorePermit
from scorer.service.gateway.readiness import Readiness
from scorer.service.gateway.record.request_log import Line, RequestLog
from scorer.service.gateway.request_checks import ScoreRequest, arguments
from scorer.service.gateway.traffic.passages import Passage, Traffic, TrafficMetrics
from scorer.service.queue.exchanges import Exchanges
from scorer.service.queue.jobs import REPLY, ScoreJob, WorkerReply
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.queue.sealing.exposure import REMEDY, exposures
from scorer.service.queue.submit import Admission, Placed, Submitter
from scorer.service.settings import Settings
from scorer.wire.client import REPLY_HEADER
from scorer.wire.errors import (
    BadInput,
    BadOption,
    BodyTooLarge,
    Forbidden,
    QScoreError,
    QueueFull,
    ScoringTimeout,
    Unauthorised,
)
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_PROBLEMS,
    HEADER_RELEASE,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_VERSION,
    HEADER_WORKER_RELEASE,
    MAX_BODY_BYTES,
    MEDIA_CSV,
)
from scorer.wire.release import RELEASE

#: Threads for checks and for questions that are answered without a worker.
QUICK_THREADS = 8
#: Threads for exchanges of tokens: they wait for a provider, or for the audit record, and never for a batch's thread.
TOKEN_THREADS = 4
#: Replies that may pass from a worker to a caller.
_REPLY_HEADERS = (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_VERSION,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_PROBLEMS,
    HEADER_WORKER_RELEASE,
)


@dataclass(frozen=True)
class Gateway:
    """The parts that every request needs; made once per process."""

    settings: Settings
    door: Door
    cards: CardStore
    queue: Exchanges
    submitter: Submitter
    metrics: GatewayMetrics
    log: RequestLog
    traffic: Traffic
    doors: Doors

    @classmethod
    def of(cls, settings: Settings, lanes: Lanes = LANES) -> Gateway:
        """Make the parts. Connects to nothing until the first request."""
        connections = settings.gateway.threads + QUICK_THREADS + TOKEN_THREADS + 2
        longest = settings.gateway.max_timeout
        queue = Exchanges.of(settings, connections, longest, lanes)
        traffic = Traffic.of(settings.gateway, queue)
        metrics = new_metrics(queue.state, lambda: queue.backlog(traffic.waiting()))
        metrics.registry.register(TrafficMetrics(traffic))
        keys, cards = KeyFile(settings.api_keys), gateway_cards(settings)
        tokens = Tokens(queue.fast.client, settings.gateway.tokens_per_key)
        return cls(
            settings,
            Door(keys, tokens, People.of(settings.gateway.oidc)),
            cards,
            queue,
            queue.submitter(settings),
            metrics,
            RequestLog.of(settings, keys, cards),
            traffic,
            Doors.of(settings, queue),
        )

    def close(self) -> None:
        """Write what is still to be written, and end the threads that look after keys and switches."""
        self.log.uses.end()
        self.doors.close()

    @property
    def checks(self) -> RequestChecks:
        return RequestChecks(self.settings, self.door, self.cards, self.queue.lanes, self.traffic, self.doors)

    @property
    def journal(self) -> Journal:
        return Journal(self.metrics, self.log)

    def allow(self, scope: str, model: str | None = None) -> Caller:
        """Find the caller and check what it may do. Raises Unauthorised or Forbidden."""
        head: RequestHead = g.head
        return enter(self.door, head, scope, model, self.traffic.limits.count_request)

    def allow_header(self, authorization: str | None, scope: str) -> Caller:
        """Find the caller by another Authorization header than the request's own. Raises Unauthorised or Forbidden."""
        head: RequestHead = g.head
        headers = {name: text for name, text in head.headers.items() if name != "authorization"}
        given = {} if authorization is None else {"authorization": authorization}
        asked = replace(head, headers=headers | given)
        return enter(self.door, asked, scope, counted=self.traffic.limits.count_request)

    def may(self, scope: str) -> bool:
        """Tell whether the caller's key has the scope; no key has none."""
        try:
            self.allow(scope)
        except (Unauthorised, Forbidden):
            return False
        return True

    def run(self, asked: ScoreRequest, body: HeldBody, passage: Passage) -> WorkerReply:
        """Queue one body and wait for its reply. Raises QueueFull, ScoringTimeout or Unavailable."""
        lane, job = self.queue.lanes.serving(asked.queue), _job(asked, passage.left)
        placed = self._placed(job, asked, body.content(), passage)
        body.free()  # it lies on the queue, and others wait for its room
        reply = self.queue.serving(lane).wait_reply(str(job.reply_key), job.deadline - time.time())
        if reply is None:
            self.submitter.take_back(placed)
            raise ScoringTimeout(
                f"no worker answered for batch {asked.batch_id} within {asked.timeout:g} s",
                "Run `qscore status`; add workers, send smaller batches or give more time.",
            )
        passage.answered()
        return reply

    def _placed(self, job: ScoreJob, asked: ScoreRequest, content: bytes, passage: Passage) -> Placed:
        """Put a job on its queue; who finds it full hears when to come again."""
        admission = Admission.to_lane(self.queue.lanes.serving(asked.queue), self.settings.gateway.max_waiting)
        try:
            # A body's key outlives the caller a little: what is never fetched goes by itself.
            return self.submitter.put(job, asked.queue, content, asked.timeout + 30, admission)
        except QueueFull as full:
            passage.refused(full)
            raise


def _job(asked: ScoreRequest, seconds: float) -> ScoreJob:
    """The job of a request, without its body, for a caller that still waits some seconds."""
    now = time.time()
    return ScoreJob(
        asked.batch_id,
        asked.model,
        asked.options,
        asked.rows,
        asked.media_type,
        deadline=now + seconds,
        submitted=now,
        reply_key=REPLY + uuid.uuid4().hex,
        submitter=asked.submitter,
        writer=asked.writer,
    )


def application_of(gateway: Gateway) -> Flask:
    """Make the WSGI application. A front that checked a request says so in its environment (``ENVIRON_PERMIT``)."""
    app = Flask("qscore", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.merge_slashes = False  # another path is another path, and no redirect
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of the default provider
    _add_state_routes(app, gateway)
    _add_model_routes(app, gateway)
    add_contract_routes(app, gateway.allow_header)
    add_token_route(app, gateway.door, gateway.traffic.limits.count_request)
    _add_edges(app, gateway)
    return app


def _add_state_routes(app: Flask, gateway: Gateway) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="up")

    readiness = Readiness(gateway.queue, gateway.settings.gateway.max_waiting)
    warnings = [f"{sentence}. {REMEDY}" for sentence in exposures(gateway.settings)]

    @app.get("/readyz")
    def readyz() -> Response:
        gateway.doors.check()
        state = readiness.state()
        if not gateway.may("read"):  # whoever asks without a key learns whether, not how much
            return jsonify(status="ready")
        told = {"warnings": warnings} if warnings else {}
        return jsonify(status="ready", workers=dict(state.workers), waiting=dict(state.waiting), **told)

    @app.get("/metrics")
    def metrics() -> Response:
        gateway.allow("read")
        return Response(gateway.metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _add_model_routes(app: Flask, gateway: Gateway) -> None:
    @app.get("/v1/models")
    def models() -> Response:
        rights = gateway.allow("read").rights
        return jsonify(models=[card.to_dict() for card in gateway.cards.cards() if rights.covers(card.name)])

    @app.get("/v1/models/<name>")
    def model(name: str) -> Response:
        caller, head = gateway.allow("read", name), g.head
        asked = arguments(head.query)
        unknown = sorted(set(asked) - {"version"})
        if unknown:
            raise BadOption(f"unknown option {unknown[0][:40]}", "The only option here is version.")
        return jsonify(card_for(caller, gateway.cards, name, asked.get("version", "live")).to_dict())

    @app.post("/v1/models/<name>/score")
    def score(name: str) -> Response:
        return _score(gateway, name)


def _score(gateway: Gateway, name: str) -> Response:
    permit = request.environ.get(ENVIRON_PERMIT)
    if isinstance(permit, ScorePermit):
        return _scored(gateway, permit)
    if permit is not None:
        raise RuntimeError("a batch that the gate took for something else has no place and no turn")
    # No front stands before this application: nobody else gives back what is reserved.
    permit = gateway.checks.reserved(gateway.checks.score(g.head, name))
    try:
        return _scored(gateway, permit)
    finally:
        permit.release()


def _scored(gateway: Gateway, permit: ScorePermit) -> Response:
    gateway.door.check_still(permit.key)  # it may have been revoked while the body came
    asked = permit.asked
    body = request.environ.get(ENVIRON_BODY) or HeldBody(request.get_data(cache=False), _nothing)
    if asked.rows == 0 and not body.content():
        return _response(asked, WorkerReply(REPLY_HEADER, {HEADER_SCORED: "0", HEADER_PROBLEMS: "{}"}))
    if (closed := gateway.doors.closed(asked, gateway.queue)) is not None:
        return _response(asked, closed)
    gateway.metrics.rows.labels(asked.model).inc(asked.rows)
    with gateway.metrics.seconds.time():
        reply = gateway.run(asked, body, permit.passage)
    if reply.problem is not None:
        raise reply.problem.error()
    return _response(asked, reply)


def _head() -> RequestHead:
    """Read the head of the request at hand, where no front did."""
    peer = Peer(request.remote_addr or "", 0)
    headers = {name.lower(): value for name, value in request.headers.items()}
    query = request.query_string.decode("latin-1")
    return RequestHead(request.method, request.path, query, headers, peer, request.content_length)


def _nothing() -> None:
    """Give nothing back."""


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
        g.head = request.environ.get(ENVIRON_HEAD) or _head()

    @app.errorhandler(QScoreError)
    def refused(error: QScoreError) -> Response:
        g.code = error.code
        return problem_response(disclosed(error, roots_of(gateway.settings)))

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
        line = Line(request.endpoint, response.status_code, g.get("code", "ok"), time.perf_counter() - g.started)
        gateway.journal.note(g.head, line)
        response.headers["Cache-Control"] = "no-store"
        response.headers[HEADER_RELEASE] = RELEASE
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def problem_response(error: QScoreError) -> Response:
    """Answer with application/problem+json (RFC 9457)."""
    answer = problem_answer(error)
    return Response(answer.body, status=answer.status, headers=list(answer.headers))


def _http_error(error: HTTPException) -> QScoreError:
    if error.code == 413:
        return BodyTooLarge("the body is too large", f"Send at most {MAX_BODY_BYTES} bytes at a time.")
    named = BadInput(
        f"{request.method} {request.path[:200]}: {error.name}", "See docs/wire.md for what the gateway serves."
    )
    named.status = error.code or 400
    return named
