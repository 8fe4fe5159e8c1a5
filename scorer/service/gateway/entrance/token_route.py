"""``POST /v1/token``: a key, a client certificate or a provider's ID token, exchanged for a short-lived token."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, g, jsonify, request

from scorer.service.access.door.callers import Caller
from scorer.service.access.door.door import Door
from scorer.service.access.door.tokens import MOST_BODY, Token, TokenRequest
from scorer.service.gateway.entrance.enter import presented
from scorer.wire.errors import BodyTooLarge

if TYPE_CHECKING:
    from scorer.service.gateway.front.gate import RequestHead

#: What the log calls the scope of an exchange: it needs none of a key's.
SCOPE = "token"


def add_token_route(app: Flask, door: Door, counted: Callable[[str], object]) -> None:
    """Serve the exchange; the request's head lies in ``g.head``. ``counted``: is told whose key it is."""

    @app.post("/v1/token")
    def token() -> Response:
        head: RequestHead = g.head
        head.noted.scope = SCOPE
        callers = door.exchangers(presented(head))
        head.noted.caller = callers[0]
        counted(callers[0].key.id)
        for caller in callers:
            caller.check_alive()
        head.noted.caller, made, secret = door.exchange(callers, TokenRequest.read(_body(request)))
        head.noted.issued = made
        return _answer(head.noted.caller, made, secret)


def _body(asked: Request) -> bytes:
    if (asked.content_length or 0) > MOST_BODY:
        raise BodyTooLarge(f"the body has {asked.content_length} bytes", f"Send at most {MOST_BODY}.")
    return asked.get_data(cache=False)


def _answer(caller: Caller, token: Token, secret: str) -> Response:
    return jsonify(
        access_token=secret,
        token_type="Bearer",  # noqa: S106  # RFC 6750's name of the kind
        expires_in=max(0, int(token.expires - time.time())),
        key_id=caller.key.id,
        scopes=list(token.scopes),
        models=_names(token.models),
        indexes=_names(token.indexes),
        elastic_namespaces=_names(token.elastic_namespaces),
    )


def _names(bound: tuple[str, ...] | None) -> list[str] | None:
    return None if bound is None else list(bound)
