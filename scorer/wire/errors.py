"""The one exception tree. Raised inside, translated once at each edge (HTTP, queue, search command, terminal).

    QScoreError
    +-- BadInput                 what the caller sent is wrong; sending it again will not help
    |   +-- BadOption            an option of a command or of a request
    |   +-- MalformedBody        a body that cannot be decoded
    |   +-- RowCountMismatch     declared and decoded rows differ
    |   +-- BodyTooLarge         more bytes or rows than one request may hold
    |   +-- UnsupportedMediaType
    |   +-- BadTrainingData      rows that a model cannot be trained on
    +-- Unauthorised             no key, or a key nobody knows
    +-- Forbidden                a known key without the scope
    +-- UnknownModel             no model, version or alias of that name
    +-- ArtifactRejected         signature, digest, shape or cap of a model file
    |   +-- ModelRevoked         signed by a key that was revoked
    +-- ConfigurationError       qscore.toml, QSCORE_* variables, files that they name
    +-- Unavailable              the same request may succeed later
        +-- QueueFull
        |   +-- OverLimit        the caller's own key has all that one key may have
        +-- Draining             a stack that takes no new batches, for it is to be stopped
        +-- Disabled             a model that its operators switched off
        +-- TooManyTokens        a key with as many living tokens as it may have
        +-- ScoringTimeout
        +-- Unreachable          no connection, refused, TLS failure
        |   +-- Untrusted        a certificate that was not accepted
        +-- NonsenseReply        an answer that is not the protocol's
        +-- DeliveryFailed       a sink that did not take what it was given

Every error carries what was wrong with which value (``detail``) and what to do about it (``remedy``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Dict, Optional, Type

_LONGEST_PAUSE = 86_400.0  # seconds; who asks for more makes no sense


class QScoreError(Exception):
    """Base of every error that qscore raises on purpose.

    ``code`` is stable and machine-readable; ``status`` is the HTTP status at the gateway; ``retryable`` says whether
    the same request may succeed later; ``retry_after``: seconds after which it probably does, None where nobody knows.
    """

    code = "internal"
    status = 500
    retryable = False
    retry_after: Optional[float] = None

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        return self.sentence()

    def sentence(self) -> str:
        """Say what was wrong and what to do, on one line."""
        text = " ".join(self.detail.split())
        remedy = " ".join(self.remedy.split())
        if not remedy:
            return text
        return text + ("" if text.endswith((".", "!", "?")) else ".") + " " + remedy


class BadInput(QScoreError):
    code = "bad_input"
    status = 400


class BadOption(BadInput):
    code = "bad_option"


class MalformedBody(BadInput):
    code = "malformed_body"


class RowCountMismatch(BadInput):
    code = "row_count_mismatch"
    status = 422


class BodyTooLarge(BadInput):
    code = "body_too_large"
    status = 413


class UnsupportedMediaType(BadInput):
    code = "unsupported_media_type"
    status = 415


class BadTrainingData(BadInput):
    code = "bad_training_data"


class Unauthorised(QScoreError):
    code = "unauthorised"
    status = 401


class Forbidden(QScoreError):
    code = "forbidden"
    status = 403


class UnknownModel(QScoreError):
    code = "unknown_model"
    status = 404


class ArtifactRejected(QScoreError):
    code = "artifact_rejected"
    status = 500


class ModelRevoked(ArtifactRejected):
    code = "model_revoked"
    status = 410


class ConfigurationError(QScoreError):
    code = "configuration"
    status = 500


class Unavailable(QScoreError):
    code = "unavailable"
    status = 503
    retryable = True


class QueueFull(Unavailable):
    code = "queue_full"
    status = 429


class OverLimit(QueueFull):
    code = "over_limit"


class Draining(Unavailable):
    code = "draining"


class Disabled(Unavailable):
    code = "disabled"


class TooManyTokens(Unavailable):
    code = "too_many_tokens"
    status = 429


class ScoringTimeout(Unavailable):
    code = "scoring_timeout"
    status = 504


class Unreachable(Unavailable):
    code = "unreachable"


class Untrusted(Unreachable):
    code = "untrusted"


class NonsenseReply(Unavailable):
    code = "nonsense_reply"
    status = 502


class DeliveryFailed(Unavailable):
    code = "delivery_failed"


def _tree(cls: Type[QScoreError]) -> Dict[str, Type[QScoreError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        found.update(_tree(sub))
    return found


def _text(value: Any) -> str:
    """Take text as it is, up to a length; anything else is none, however deep its lists may be."""
    return value[:2000] if isinstance(value, str) else ""


@dataclass(frozen=True)
class Problem:
    """RFC 9457 problem details: the form that an error takes on the wire. ``retry_after``: seconds, or None."""

    code: str
    detail: str
    remedy: str = ""
    status: int = 500
    retryable: bool = False
    retry_after: Optional[float] = None

    @classmethod
    def of(cls, error: QScoreError) -> Problem:
        return cls(error.code, error.detail, error.remedy, error.status, error.retryable, error.retry_after)

    @classmethod
    def from_dict(cls, raw: Any) -> Problem:
        """Read an untrusted decoded JSON or msgpack value; raises NonsenseReply when it is not a problem."""
        if not isinstance(raw, dict) or not isinstance(raw.get("code"), str):
            raise NonsenseReply("a problem without a code came back")
        status = raw.get("status", 500)
        return cls(
            code=raw["code"][:64],
            detail=_text(raw.get("detail")),
            remedy=_text(raw.get("remedy")),
            status=status if isinstance(status, int) and 400 <= status <= 599 else 500,
            retryable=raw.get("retryable") is True,
            retry_after=_pause(raw.get("retry_after")),
        )

    def to_dict(self) -> Dict[str, Any]:
        told = {"type": "about:blank", "title": self.code.replace("_", " "), **asdict(self)}
        if self.retry_after is None:
            del told["retry_after"]
        return told

    def to_json(self) -> bytes:
        return json.dumps(self.to_dict()).encode()

    def error(self) -> QScoreError:
        """Make the exception that this problem stands for; an unknown code becomes the base class."""
        error = _tree(QScoreError).get(self.code, QScoreError)(self.detail, self.remedy)
        error.status = self.status
        error.retryable = self.retryable
        error.retry_after = self.retry_after
        return error


def _pause(raw: Any) -> Optional[float]:
    """Read seconds that came from outside; None where they are none."""
    number = isinstance(raw, (int, float)) and not isinstance(raw, bool)
    return float(raw) if number and 0 <= raw <= _LONGEST_PAUSE else None
