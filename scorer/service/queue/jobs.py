"""What lies on the queue: scoring jobs, delivery jobs and replies, checked when they are read."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from scorer.wire.errors import BadInput, MalformedBody, NonsenseReply, Problem, UnknownModel
from scorer.wire.names import MAX_BODY_BYTES, MAX_ROWS
from scorer.wire.options import ScoreOptions

JOB_VERSION = 1
#: Bodies above this travel under a key of their own. kombu would base64 them into a JSON envelope, which is stored,
#: copied to the unacknowledged messages and parsed again; above some kilobytes one more key is cheaper than that.
INLINE_BYTES = 4 * 1024
_ROUTE = re.compile(r"[A-Za-z0-9_./:-]{0,200}\Z")
_LATEST = 1e11  # epoch seconds


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a batch's rows go and on whose behalf; every part may be absent, and then what is configured applies.

    ``sink``, ``namespace``: in place of the worker's own settings. ``stream``, ``epoch``: the stream of documents that
    the batch belongs to, and which of its successive leaders sent it; a job of an earlier leader is dropped.
    ``first_submitted``: epoch seconds at which the batch was sent for the first time; 0: unknown.
    """

    sink: str = ""
    namespace: str = ""
    stream: str = ""
    epoch: int = 0
    first_submitted: float = 0.0

    def route_kwargs(self) -> dict[str, Any]:
        """The parts of a message that say where to; none where all are absent, as messages were before."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(Route)}
        return parts if any(parts.values()) else {}

    @staticmethod
    def route_parts(raw: Mapping[str, Any]) -> dict[str, Any]:
        """Raises MalformedBody naming the part that is wrong."""
        found: dict[str, Any] = {name: raw.get(name, "") for name in ("sink", "namespace", "stream")}
        for name, text in found.items():
            if not isinstance(text, str) or not _ROUTE.match(text):
                raise MalformedBody(
                    f"a job's {name} is {str(text)[:80]!r}", "Run the same version of qscore everywhere."
                )
        epoch = _typed({"epoch": 0} | dict(raw), "epoch", int)
        first = _typed({"first_submitted": 0.0} | dict(raw), "first_submitted", (int, float))
        if not 0 <= epoch < 2**53 or not 0 <= first < _LATEST:
            raise MalformedBody(f"a job's epoch is {epoch}, its first_submitted {first}", "Both are 0 or more.")
        return found | {"epoch": epoch, "first_submitted": float(first)}


@dataclass(frozen=True)
class ScoreJob(Route):
    """One batch to score. ``deadline`` and ``submitted``: epoch seconds. Either ``body`` or ``body_key`` is set."""

    batch_id: str
    model: str
    options: ScoreOptions
    rows: int
    media_type: str
    deadline: float
    submitted: float
    reply_key: str | None = None
    body: bytes | None = None
    body_key: str | None = None
    submitter: str | None = None

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the task qscore.score."""
        return {
            "v": JOB_VERSION,
            "batch_id": self.batch_id,
            "model": self.model,
            "options": self.options.to_query(),
            "rows": self.rows,
            "media_type": self.media_type,
            "body": self.body,
            "body_key": self.body_key,
            "reply_key": self.reply_key,
            "submitter": self.submitter,
            "deadline": self.deadline,
            "submitted": self.submitted,
            **self.route_kwargs(),
        }

    @classmethod
    def from_kwargs(cls, raw: Mapping[str, Any]) -> ScoreJob:
        """Raises MalformedBody naming the part that is wrong."""
        _check_version(raw)
        rows = _typed(raw, "rows", int)
        if not 0 <= rows <= MAX_ROWS:
            raise MalformedBody(f"a job of {rows} rows is on the queue", f"One job holds at most {MAX_ROWS} rows.")
        return cls(
            batch_id=_typed(raw, "batch_id", str),
            model=_typed(raw, "model", str),
            options=_options(_typed(raw, "options", dict)),
            rows=rows,
            media_type=_typed(raw, "media_type", str),
            deadline=float(_typed(raw, "deadline", (int, float))),
            submitted=float(_typed(raw, "submitted", (int, float))),
            reply_key=_typed(raw, "reply_key", (str, type(None))),
            body=_typed(raw, "body", (bytes, type(None))),
            body_key=_typed(raw, "body_key", (str, type(None))),
            submitter=_typed(raw, "submitter", (str, type(None))),
            **cls.route_parts(raw),
        )

    @property
    def message(self) -> str:
        """Name this message among those of its batch; it keeps the name when it comes again after a worker's death."""
        return self.reply_key or f"{self.batch_id}:{self.submitted!r}"

    def expired(self) -> bool:
        """Whether its caller has stopped waiting."""
        return time.time() > self.deadline


@dataclass(frozen=True)
class DeliveryJob(Route):
    """One part of a batch's rows to write; the rows lie under ``rows_key``. ``attempt`` counts from 0.

    ``submission``: tells all rows of this batch from other rows under the same batch id; empty in messages of 0.1.0.
    """

    batch_id: str
    rows_key: str
    part: int = 0
    parts: int = 1
    attempt: int = 0
    submitter: str | None = None
    submission: str = ""

    def to_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the task qscore.deliver."""
        return {
            "v": JOB_VERSION,
            "batch_id": self.batch_id,
            "rows_key": self.rows_key,
            "part": self.part,
            "parts": self.parts,
            "attempt": self.attempt,
            "submitter": self.submitter,
            **({"submission": self.submission} if self.submission else {}),
            **self.route_kwargs(),
        }

    @classmethod
    def from_kwargs(cls, raw: Mapping[str, Any]) -> DeliveryJob:
        """Raises MalformedBody naming the part that is wrong."""
        _check_version(raw)
        return cls(
            batch_id=_typed(raw, "batch_id", str),
            rows_key=_typed(raw, "rows_key", str),
            part=_typed(raw, "part", int),
            parts=_typed(raw, "parts", int),
            attempt=_typed(raw, "attempt", int),
            submitter=_typed(raw, "submitter", (str, type(None))),
            submission=_typed({"submission": ""} | dict(raw), "submission", str),
            **cls.route_parts(raw),
        )


@dataclass(frozen=True)
class Reply:
    """What a worker answers: ``body`` and ``headers``, or a problem."""

    body: bytes = b""
    headers: Mapping[str, str] | None = None
    problem: Problem | None = None

    def pack(self) -> bytes:
        if self.problem is not None:
            content: dict[str, Any] = {"ok": False, "problem": self.problem.to_dict()}
        else:
            content = {"ok": True, "headers": dict(self.headers or {}), "body": self.body}
        return bytes(msgpack.packb(content))

    @classmethod
    def unpack(cls, packed: bytes) -> Reply:
        """Raises NonsenseReply when the bytes are no reply."""
        try:
            raw = msgpack.unpackb(packed, max_bin_len=8 * MAX_BODY_BYTES)
        except ValueError:
            raw = None
        if not isinstance(raw, dict):
            raise NonsenseReply("a worker's reply cannot be read", "Run the same version of qscore everywhere.")
        if raw.get("ok") is not True:
            return cls(problem=Problem.from_dict(raw.get("problem")))
        headers, body = raw.get("headers"), raw.get("body")
        if not isinstance(headers, dict) or not isinstance(body, bytes):
            raise NonsenseReply("a worker's reply has no body", "Run the same version of qscore everywhere.")
        return cls(body=body, headers={str(name): str(value) for name, value in headers.items()})


def _check_version(raw: Mapping[str, Any]) -> None:
    if raw.get("v") != JOB_VERSION:
        raise MalformedBody(
            f"a job of version {str(raw.get('v'))[:20]!r} is on the queue", "Run the same version of qscore everywhere."
        )


def _options(raw: Mapping[Any, Any]) -> ScoreOptions:
    try:
        if all(isinstance(part, str) for pair in raw.items() for part in pair):
            return ScoreOptions.parse(raw)
        why = "they are not all text"
    except (BadInput, UnknownModel) as error:
        why = error.detail
    raise MalformedBody(f"a job's options are wrong: {why}", "Run the same version of qscore everywhere.")


def _typed(raw: Mapping[str, Any], key: str, kind: Any) -> Any:
    value = raw.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedBody(f"a job's {key} is {type(value).__name__}", "Run the same version of qscore everywhere.")
    return value
