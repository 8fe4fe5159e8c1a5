"""What lies on the queue: scoring jobs, delivery jobs and replies, checked by pydantic when they are read."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgpack
from pydantic import AfterValidator, BeforeValidator, Field, Strict, TypeAdapter, ValidationError

from scorer.rows.identity import RESERVED_NAMESPACES, Writer
from scorer.wire.errors import BadInput, MalformedBody, NonsenseReply, Problem, UnknownModel
from scorer.wire.names import MAX_BODY_BYTES, MAX_ROWS
from scorer.wire.options import ScoreOptions
from scorer.wire.release import RELEASE, SENDER, WORKER, skew, stated

JOB_VERSION = 1
#: Before a random number: the list on which a caller waits for its reply, and the seconds that one lies there.
REPLY = "qscore:reply:"
REPLY_LIFE = 60
#: Bodies above this travel under a key of their own. kombu would base64 them into a JSON envelope, which is stored,
#: copied to the unacknowledged messages and parsed again; above some kilobytes one more key is cheaper than that.
INLINE_BYTES = 4 * 1024
_LATEST = 1e11  # epoch seconds
_SAME_VERSION = "Run the same version of qscore everywhere."

# Strict: on the queue numbers are numbers and text is text. Parts that a later version adds are passed over.
Text = Annotated[str, Strict()]
Number = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
RoutePart = Annotated[Text, Field(pattern=r"^[A-Za-z0-9_./:-]{0,200}$")]


def _check_namespace(text: str) -> str:
    if text in RESERVED_NAMESPACES:
        raise ValueError("it is no writer's namespace")
    return text


Namespace = Annotated[RoutePart, AfterValidator(_check_namespace)]


def _read_options(raw: Any) -> ScoreOptions:
    """Read a job's options, which lie on the queue as the text of a query. Raises ValueError saying what is wrong."""
    if isinstance(raw, ScoreOptions):
        return raw
    if not isinstance(raw, dict) or not all(isinstance(part, str) for pair in raw.items() for part in pair):
        raise ValueError("they are not all text")
    try:
        return ScoreOptions.parse(raw)
    except (BadInput, UnknownModel) as error:
        raise ValueError(error.detail) from None


Options = Annotated[ScoreOptions, BeforeValidator(_read_options)]


@dataclass(frozen=True, kw_only=True)
class DeliveryRoute:
    """The way of a batch's rows to a sink; every part may be absent, and then what is configured applies.

    ``sink``, ``namespace``: in place of the worker's own settings. ``stream``, ``epoch``: the stream of documents that
    the batch belongs to, and which of its successive leaders sent it; a job of an earlier leader is dropped.
    ``first_submitted``: epoch seconds at which the batch was sent for the first time; 0: unknown.
    """

    sink: RoutePart = ""
    namespace: RoutePart = ""
    stream: RoutePart = ""
    epoch: Annotated[Whole, Field(ge=0, lt=2**53)] = 0
    first_submitted: Annotated[Number, Field(ge=0.0, lt=_LATEST)] = 0.0

    def route_kwargs(self) -> dict[str, Any]:
        """Write the parts of a message that say where to; none where all are absent, as in messages of 0.1.0."""
        parts = {name: getattr(self, name) for name in _ROUTE}
        return parts if any(parts.values()) else {}


_ROUTE = tuple(part.name for part in dataclasses.fields(DeliveryRoute))


@dataclass(frozen=True)
class ScoreJob(DeliveryRoute):
    """One batch to score. ``deadline`` and ``submitted``: epoch seconds. Either ``body`` or ``body_key`` is set.

    ``writer``, ``source``: namespace and source of whoever sent it, for the ids of written rows; ``writer`` is empty in
    messages of 0.1.0 and of its keys, whose rows keep the ids that they had then.
    """

    batch_id: Text
    model: Text
    options: Options
    rows: Annotated[Whole, Field(ge=0, le=MAX_ROWS)]
    media_type: Text
    deadline: Number
    submitted: Number
    reply_key: Text | None = None
    body: Annotated[bytes, Strict()] | None = None
    body_key: Text | None = None
    submitter: Text | None = None
    writer: Namespace = ""
    source: RoutePart = ""

    def to_kwargs(self) -> dict[str, Any]:
        """Write the keyword arguments of the task qscore.score."""
        message = _message(self) | {"options": self.options.to_query()}
        if not self.writer:
            del message["writer"], message["source"]
        return message

    @classmethod
    def from_kwargs(cls, raw: Mapping[str, Any]) -> ScoreJob:
        """Read a message's arguments. Raises MalformedBody naming the part that is wrong."""
        return _read(_SCORE_JOB, raw)

    @property
    def message(self) -> str:
        """Name this message among those of its batch; it keeps the name when it comes again after a worker's death."""
        return self.reply_key or f"{self.batch_id}:{self.submitted!r}"

    @property
    def by(self) -> Writer | None:
        """Say who sent it, as it enters the ids of its rows; None for the ids of 0.1.0."""
        return Writer(self.writer, self.source) if self.writer else None

    def expired(self) -> bool:
        """Tell whether the job's caller has stopped waiting."""
        return time.time() > self.deadline


@dataclass(frozen=True)
class DeliveryJob(DeliveryRoute):
    """One part of a batch's rows to write; the rows lie under ``rows_key``. ``attempt`` counts from 0.

    ``submission``: tells all rows of this batch from other rows under the same batch id; empty in messages of 0.1.0.
    """

    batch_id: Text
    rows_key: Text
    part: Whole = 0
    parts: Whole = 1
    attempt: Whole = 0
    submitter: Text | None = None
    submission: Text = ""

    def to_kwargs(self) -> dict[str, Any]:
        """Write the keyword arguments of the task qscore.deliver."""
        message = _message(self)
        if not self.submission:
            del message["submission"]
        return message

    @classmethod
    def from_kwargs(cls, raw: Mapping[str, Any]) -> DeliveryJob:
        """Read a message's arguments. Raises MalformedBody naming the part that is wrong."""
        return _read(_DELIVERY_JOB, raw)


_SCORE_JOB = TypeAdapter(ScoreJob)
_DELIVERY_JOB = TypeAdapter(DeliveryJob)


@dataclass(frozen=True)
class WorkerReply:
    """A worker's answer: ``body`` and ``headers``, or a problem."""

    body: bytes = b""
    headers: Mapping[str, str] | None = None
    problem: Problem | None = None

    def pack(self) -> bytes:
        """Write it as ``unpack`` reads it."""
        if self.problem is not None:
            content: dict[str, Any] = {"ok": False, "problem": self.problem.to_dict()}
        else:
            content = {"ok": True, "headers": dict(self.headers or {}), "body": self.body}
        return bytes(msgpack.packb(content))

    @classmethod
    def unpack(cls, packed: bytes) -> WorkerReply:
        """Read what ``pack`` wrote. Raises NonsenseReply when the bytes are no reply."""
        try:
            raw = msgpack.unpackb(packed, max_bin_len=8 * MAX_BODY_BYTES)
        except ValueError:
            raw = None
        if not isinstance(raw, dict):
            raise NonsenseReply("a worker's reply cannot be read", _SAME_VERSION)
        if raw.get("ok") is not True:
            return cls(problem=Problem.from_dict(raw.get("problem")))
        headers, body = raw.get("headers"), raw.get("body")
        if not isinstance(headers, dict) or not isinstance(body, bytes):
            raise NonsenseReply("a worker's reply has no body", _SAME_VERSION)
        if not all(isinstance(part, str) for pair in headers.items() for part in pair):
            raise NonsenseReply("a worker's reply has headers that are no text", _SAME_VERSION)
        return cls(body=body, headers=headers)


Job = TypeVar("Job")


def _message(job: ScoreJob | DeliveryJob) -> dict[str, Any]:
    """The parts of a job under their own names, with the version; the route's only where there is a route."""
    own = {part.name: getattr(job, part.name) for part in dataclasses.fields(job) if part.name not in _ROUTE}
    return {"v": JOB_VERSION, "release": RELEASE, **own, **job.route_kwargs()}


def _read(adapter: TypeAdapter[Job], raw: Mapping[str, Any]) -> Job:
    """Raise MalformedBody naming the part that is wrong; never with its text, which may be a caller's rows."""
    if raw.get("v") != JOB_VERSION:
        raise MalformedBody(f"a job of version {str(raw.get('v'))[:20]!r} is on the queue", _remedy(raw))
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    part, value = ".".join(str(step) for step in fault["loc"]), fault["input"]
    shown = repr(value) if isinstance(value, int | float) else type(value).__name__
    raise MalformedBody(f"a job's {part} is {shown}: {fault['msg']}", _remedy(raw))


def _remedy(raw: Mapping[str, Any]) -> str:
    """Say which side is old, where the sender says its release."""
    sender = raw.get("release")
    return skew({SENDER: stated(sender), WORKER: RELEASE}) if isinstance(sender, str) else _SAME_VERSION
