"""The OpenAPI 3.1 description of the gateway, as plain data."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

from scorer.service.access.rights import SCOPES
from scorer.service.gateway.contract.operations import OPERATIONS, Answer, Operation, Schema
from scorer.service.gateway.contract.schemas import components
from scorer.wire.names import MEDIA_PROBLEM

_DESCRIPTION = (
    "Scores batches of rows with the models of this gateway. Every request but the two about its health carries "
    "`Authorization: Bearer <key>`; `qscore key new` makes keys. What goes wrong is answered as problem details "
    "(RFC 9457) that say what was wrong and what to do."
)
_KEY = "key"
#: Pauses and challenges that stand beside a problem.
_PROBLEM_HEADERS: dict[int, dict[str, Schema]] = {
    401: {"WWW-Authenticate": {"type": "string"}},
    429: {"Retry-After": {"type": "integer", "minimum": 0, "description": "Seconds."}},
    503: {"Retry-After": {"type": "integer", "minimum": 0, "description": "Seconds."}},
}


@functools.cache
def openapi() -> dict[str, Any]:
    """Write the description: an OpenAPI 3.1 document."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "qscore gateway", "version": version("qscore"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components(),
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer", "description": "An API key or a token."}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.endpoint,
        "summary": operation.summary,
        "parameters": [parameter.described() for parameter in operation.parameters],
        "responses": {"200": _answer(operation.answer)} | {str(s): _problem(s) for s in operation.statuses},
    }
    if operation.scope:
        described["security"] = [{_KEY: []}]
        needed = f"The key needs the scope `{operation.scope}`." if operation.scope in SCOPES else "Any key will do."
        described["description"] = needed
    if operation.body:
        content = {media_type: {"schema": schema} for media_type, schema in operation.body.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _answer(answer: Answer) -> dict[str, Any]:
    schema: Schema = {"$ref": f"#/components/schemas/{answer.shape}"} if answer.shape else {"type": "string"}
    return {
        "description": answer.description,
        "headers": _headers(answer.headers),
        "content": {answer.media_type: {"schema": schema}},
    }


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "A problem.",
        "headers": _headers(_PROBLEM_HEADERS.get(status, {})),
        "content": {MEDIA_PROBLEM: {"schema": schema}},
    }


def _headers(schemas: dict[str, Schema]) -> dict[str, Any]:
    return {name: {"schema": schema} for name, schema in schemas.items()}
