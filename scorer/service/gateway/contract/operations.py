"""What the gateway serves, operation by operation: the one table from which its OpenAPI description is made.

A test holds it against the routes of the running application, and another has generated requests answered by a real
gateway and compared with what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from scorer.wire.names import (
    ALIASES,
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
    MEDIA_ARROW,
    MEDIA_CSV,
    MEDIA_JSON,
    QUEUE_BULK,
    QUEUE_INTERACTIVE,
)
from scorer.wire.options import EXPLAIN_CHOICES

Schema = dict[str, Any]
MEDIA_TEXT = "text/plain"

#: Statuses that any request may be answered with: of the server before the application is reached, and of its end.
ANYWHERE = (400, 404, 405, 408, 413, 414, 417, 431, 500, 501, 503, 505)
#: Of every request that needs a key.
_KEYED = (401, 403, 429)
_NAME: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$"}
_VERSION: Schema = {"type": "string", "pattern": f"^([0-9]{{1,9}}(-starter)?|{'|'.join(ALIASES)})$"}
_EXACT_VERSION: Schema = {"type": "string", "pattern": "^[0-9]{1,9}(-starter)?$"}
_COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_ROWS}


@dataclass(frozen=True)
class Parameter:
    """A part of a request. ``where``: path, query or header."""

    name: str
    where: str
    description: str
    schema: Schema
    required: bool = False

    def described(self) -> Schema:
        """Write it as OpenAPI's parameter object."""
        return {
            "name": self.name,
            "in": self.where,
            "description": self.description,
            "required": self.required,
            "schema": self.schema,
        }


@dataclass(frozen=True)
class Answer:
    """A good answer: its one media type, the shape's name (empty: text), and its headers with their schemas."""

    description: str
    media_type: str
    shape: str = ""
    headers: dict[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One route and method. ``endpoint``: the view's name. ``scope``: what a key needs; empty: no key is asked for.

    ``body``: media type -> schema of the request's body. ``problems``: statuses beyond those of every request.
    """

    method: str
    path: str
    endpoint: str
    summary: str
    answer: Answer
    scope: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: dict[str, Schema] = field(default_factory=dict)
    problems: tuple[int, ...] = ()

    @property
    def statuses(self) -> tuple[int, ...]:
        """List the statuses of its problems, in order."""
        return tuple(sorted({*ANYWHERE, *(_KEYED if self.scope else ()), *self.problems}))


_MODEL_NAME = Parameter("name", "path", "A model's name, as GET /v1/models lists it.", _NAME, required=True)
_SCORE_PARAMETERS = (
    _MODEL_NAME,
    Parameter("version", "query", "A version or an alias; live where none is given.", _VERSION),
    Parameter(
        "threshold",
        "query",
        "Probability at and above which a row alerts; the model's own line where none is given.",
        {"type": "number", "minimum": 0, "maximum": 1},
    ),
    Parameter("explain", "query", "Which rows get a reason.", {"type": "string", "enum": list(EXPLAIN_CHOICES)}),
    Parameter(
        "write", "query", "Hand the scored rows to the configured sink; needs the scope write.", {"type": "boolean"}
    ),
    Parameter(HEADER_ROWS, "header", "Data rows in the body.", _COUNT, required=True),
    Parameter(
        HEADER_BATCH,
        "header",
        "The batch's id. A batch that is sent again under its id is scored again and written once.",
        {"type": "string", "pattern": "^(?!qs[kt]_)[A-Za-z0-9_.-]{8,80}$"},
    ),
    Parameter(HEADER_TIMEOUT, "header", "Seconds that the caller waits.", {"type": "number", "exclusiveMinimum": 0}),
    Parameter(
        HEADER_QUEUE,
        "header",
        "bulk gives way to what somebody waits for.",
        {"type": "string", "enum": [QUEUE_INTERACTIVE, QUEUE_BULK]},
    ),
    Parameter(HEADER_RELEASE, "header", "The caller's release of qscore, if it is one.", {"type": "string"}),
    Parameter(
        HEADER_SUBMITTER,
        "header",
        "Whose acknowledgement list is told what became of the batch, with write=true: the key's id, a colon, a name.",
        {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{1,80}$"},
    ),
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "get",
        "/healthz",
        "healthz",
        "Whether the process serves",
        Answer("It does.", MEDIA_JSON, "Up"),
    ),
    Operation(
        "get",
        "/readyz",
        "readyz",
        "Whether a batch would be scored now",
        Answer("It would.", MEDIA_JSON, "Ready"),
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "Metrics for Prometheus",
        Answer("In Prometheus's text format.", MEDIA_TEXT),
        scope="read",
    ),
    Operation(
        "get",
        "/v1/models",
        "models",
        "List the models",
        Answer("The card of every version of every model.", MEDIA_JSON, "Cards"),
        scope="read",
    ),
    Operation(
        "get",
        "/v1/models/{name}",
        "model",
        "Read a model's card",
        Answer("The card of the version that was asked for.", MEDIA_JSON, "Card"),
        scope="read",
        parameters=(_MODEL_NAME, Parameter("version", "query", "A version or an alias; live by default.", _VERSION)),
        problems=(410,),
    ),
    Operation(
        "post",
        "/v1/models/{name}/score",
        "score",
        "Score a batch of rows",
        Answer(
            "The new columns: a header line, then one line for each row, in order.",
            MEDIA_CSV,
            headers={
                HEADER_BATCH: {"type": "string"},
                HEADER_MODEL: _NAME,
                HEADER_VERSION: _EXACT_VERSION,
                HEADER_ROWS: _COUNT,
                HEADER_SCORED: _COUNT,
                HEADER_PROBLEMS: {"type": "string", "description": "JSON object: status code to rows."},
                HEADER_WORKER_RELEASE: {"type": "string", "description": "qscore's release where it was scored."},
            },
        ),
        scope="score",
        parameters=_SCORE_PARAMETERS,
        body={
            MEDIA_CSV: {"type": "string", "description": "A header line, then rows; LF or CRLF."},
            MEDIA_ARROW: {"type": "string", "contentMediaType": MEDIA_ARROW},
            MEDIA_JSON: {"$ref": "#/components/schemas/Columns"},
        },
        problems=(410, 415, 422, 502, 504),
    ),
    Operation(
        "post",
        "/v1/token",
        "token",
        "Exchange a key, a client certificate or an identity provider's ID token for a short-lived token",
        Answer("A token that may do what was asked for, and ends with its key.", MEDIA_JSON, "TokenAnswer"),
        scope="token",
        body={MEDIA_JSON: {"$ref": "#/components/schemas/TokenAsked"}},
    ),
    Operation(
        "get",
        "/v1/openapi.json",
        "openapi_json",
        "Read this description",
        Answer("It is an OpenAPI 3.1 document.", MEDIA_JSON, "Anything"),
        scope="read",
    ),
    Operation(
        "get",
        "/docs",
        "docs",
        "Show this description in a browser",
        Answer("A page.", "text/html"),
        scope="read",
    ),
    Operation(
        "get",
        "/docs/{name}",
        "docs_file",
        "A file of that page",
        Answer("The file.", "*/*"),
        scope="read",
        parameters=(Parameter("name", "path", "The file's name.", {"type": "string"}, required=True),),
    ),
)
