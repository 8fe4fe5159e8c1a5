"""Shapes of what the gateway answers, from which the description's JSON schemas are made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from scorer.service.access.door.tokens import LIFE
from scorer.wire.names import MAX_ROWS


class Up(BaseModel):
    """The process serves."""

    status: Literal["up"]


class Ready(BaseModel):
    """Batches would be scored now. Counts and warnings only for a caller whose key may read."""

    status: Literal["ready"]
    workers: dict[str, int] | None = None
    waiting: dict[str, int] | None = None
    warnings: Annotated[list[str] | None, Field(description="What somebody should mend.")] = None


class Problem(BaseModel):
    """Say what was wrong with which value, and what to do (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: Annotated[str, Field(description="Stable name of the kind of problem.")]
    detail: str
    remedy: str
    retryable: Annotated[bool, Field(description="Whether the same request may succeed later.")]
    retry_after: Annotated[float | None, Field(ge=0, description="Seconds after which it probably does.")] = None


class Card(BaseModel):
    """A model's words about itself."""

    name: str
    version: str
    family: str
    title: str
    trained_on: Annotated[str, Field(description="One sentence; a starter says that its rows were generated.")]
    starter: bool
    serve: Annotated[
        str,
        Field(description="quantum (simulated exactly) or twin: whose probability it is."),
    ]
    grain: Annotated[str, Field(description="window or event: what one row is.")]
    required_fields: list[str]
    context_fields: list[str]
    macro: Annotated[str, Field(description="The search macro that builds the rows.")]
    threshold: Annotated[float, Field(ge=0, le=1, description="Probability at the default line.")]
    fpr: Annotated[float, Field(description="False-positive rate that the default line was set for.")]
    details: dict[str, Any]
    qubits: int
    span: Annotated[float | None, Field(description="Seconds of a window; null where a row is an event.")]
    mitre: list[str]


class Cards(BaseModel):
    """Every version of every model whose signature verifies."""

    models: list[Card]


class Columns(BaseModel):
    """A batch as JSON: columns of equal length."""

    columns: Annotated[dict[str, Annotated[list[Any], Field(max_length=MAX_ROWS)]], Field(min_length=1)]


class TokenAsked(BaseModel):
    """Name what a token is to be good for; absent: as much as its key. Never more."""

    model_config = ConfigDict(extra="forbid")

    scopes: list[str] | None = None
    models: list[str] | None = None
    indexes: list[str] | None = None
    elastic_namespaces: list[str] | None = None
    ttl: Annotated[int, Field(ge=1, le=LIFE, description="Seconds.")] = LIFE


class TokenAnswer(BaseModel):
    """A token and what it is good for; null: not bound."""

    access_token: Annotated[str, Field(description="Send it as Authorization: Bearer.")]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=0, le=LIFE, description="Seconds.")]
    key_id: Annotated[str, Field(description="With which it ends.")]
    scopes: list[str]
    models: list[str] | None
    indexes: list[str] | None
    elastic_namespaces: list[str] | None


class Anything(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(extra="allow")


SHAPES: tuple[type[BaseModel], ...] = (Up, Ready, Problem, Card, Cards, Columns, TokenAsked, TokenAnswer, Anything)


def components() -> dict[str, Any]:
    """Write the schemas of all shapes, by name, as they stand under ``components.schemas``."""
    _, definitions = models_json_schema(
        [(shape, "serialization") for shape in SHAPES], ref_template="#/components/schemas/{model}"
    )
    return dict(definitions["$defs"])
