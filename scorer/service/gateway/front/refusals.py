"""Problems of HTTP itself, each with its status; what the caller sees is application/problem+json as everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.wire.errors import BadInput, Problem, QScoreError
from scorer.wire.names import HEADER_RELEASE, MEDIA_PROBLEM
from scorer.wire.release import RELEASE

_RETRY_AFTER = {429: "2", 503: "5"}  # seconds


def refusal(status: int, detail: str, remedy: str) -> BadInput:
    """Make the error of a request that HTTP itself forbids, with the status that HTTP has for it."""
    error = BadInput(detail, remedy)
    error.status = status
    error.retryable = status == 408
    return error


@dataclass(frozen=True)
class Answer:
    """A response: its status, headers and whole body."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def problem_answer(error: QScoreError) -> Answer:
    """Shape an error as application/problem+json (RFC 9457), with the headers that its status asks for."""
    problem = Problem.of(error)
    headers = [("Content-Type", MEDIA_PROBLEM), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
    headers.append((HEADER_RELEASE, RELEASE))
    if problem.status in _RETRY_AFTER:
        headers.append(("Retry-After", retry_after(error, problem.status)))
    if problem.status == 401:
        headers.append(("WWW-Authenticate", 'Bearer realm="qscore"'))
    body = problem.to_json()
    return Answer(problem.status, [*headers, ("Content-Length", str(len(body)))], body)


def retry_after(error: QScoreError, status: int) -> str:
    """Say the seconds after which a caller may try again: those that the error names, or the status' own."""
    named = error.retry_after
    return _RETRY_AFTER[status] if named is None else str(max(1, math.ceil(named)))  # whole seconds, never too early
