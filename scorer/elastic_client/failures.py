"""Every way in which Elasticsearch fails, as one sentence with its remedy.

no answer, connection lost, timed out           Unreachable (what was sent may have been done all the same)
certificate, fingerprint, protocol              Unreachable
401                                             Unauthorised
403                                             Forbidden, naming the privilege
429, 502, 503, 504, flood-stage block           ElasticBusy, with the pause that was asked for
another 5xx                                     ElasticBusy
an answer of more than 64 MiB                   AnswerTooLarge (what was asked was done)
OpenSearch, or a client too new for its server  ConfigurationError
404                                             Missing
anything else                                   RefusedRequest
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from elastic_transport import (
    ApiResponseMeta,
    ConnectionTimeout,
    SerializationError,
    TlsError,
    TransportError,
)
from elasticsearch import ApiError, UnsupportedProductError

from scorer.elastic_client.bounded import ANSWER_BYTES, TooMuch
from scorer.printable import printable
from scorer.wire.errors import (
    ConfigurationError,
    Forbidden,
    NonsenseReply,
    QScoreError,
    Unauthorised,
    Unavailable,
    Unreachable,
)

MAX_RETRY_AFTER = 3600.0


class ElasticBusy(Unavailable):
    """The cluster may do the same later. ``certain``: it has done nothing of what was asked."""

    code = "elastic_busy"
    retry_after: float | None = None  # seconds that it asked for
    certain: bool = False


class AnswerTooLarge(NonsenseReply):
    """More than one answer may hold; what was asked may have been done. Asking for less may help."""

    code = "elastic_answer_too_large"


class Missing(QScoreError):
    """An index, a document or an API that is not there."""

    code = "elastic_missing"
    status = 404


class RefusedRequest(QScoreError):
    """A request that the cluster does not take, now or later. ``status``: what it answered."""

    code = "elastic_refused"
    status = 502


#: What a repetition may mend; name these where something idempotent is tried again.
RETRYABLE: tuple[type[QScoreError], ...] = (Unreachable, ElasticBusy, NonsenseReply)


@contextmanager
def reached(action: str, privilege: str = "") -> Iterator[None]:
    """Translate the client's errors: raises the error of ours that `translated` makes of each.

    ``action``: what was being done; ``privilege``: what it needs.
    """
    try:
        yield
    except (TransportError, ApiError, UnsupportedProductError, ssl.SSLError) as error:
        raise translated(error, action, privilege) from None


def translated(error: Exception, action: str, privilege: str = "") -> QScoreError:
    """Return the error of ours, with its sentence, for one of the client's errors."""
    if isinstance(error, UnsupportedProductError):
        return ConfigurationError(
            f"could not {action}: the server does not say that it is Elasticsearch; OpenSearch and servers before 7.14"
            " do not",
            "Set elastic.url to an Elasticsearch 8 or 9, or to a proxy that keeps the header X-Elastic-Product.",
        )
    if isinstance(error, ApiError):
        return _answered(error, action, privilege)
    if isinstance(error, (TlsError, ssl.SSLError)):
        return Unreachable(
            f"could not {action}: the connection is not trusted ({_first_line(error)})",
            "Set elastic.ca_file to the PEM file of the authority that signed the server's certificate, or"
            " elastic.ca_fingerprint to that authority's SHA-256, and use a name that the certificate holds.",
        )
    if isinstance(error, SerializationError):
        return NonsenseReply(
            f"could not {action}: the answer is not JSON", "Something between here and Elasticsearch answers for it."
        )
    if isinstance(error, ConnectionTimeout):
        return Unreachable(
            f"could not {action}: no answer in time", "Look at the cluster's load, or raise elastic.timeout."
        )
    if isinstance(error.__cause__, TooMuch):
        return AnswerTooLarge(
            f"could not {action}: the answer is larger than {ANSWER_BYTES // 1024**2} MiB",
            "Name fewer or shorter fields in `fields` and `copy` of the source, or a narrower `index`; where no source"
            " is read, something between here and Elasticsearch answers for it.",
        )
    return Unreachable(
        f"could not {action}: {_first_line(error)}", "Check elastic.url, the network, and that the cluster is up."
    )


def fault_type(error: ApiError) -> str:
    """Return Elasticsearch's name of the error, such as index_not_found_exception; empty where it gives none."""
    body = error.body
    inner = body.get("error") if isinstance(body, Mapping) else None
    kind = inner.get("type") if isinstance(inner, Mapping) else None
    return kind[:100] if isinstance(kind, str) else ""


def fault_reason(error: ApiError) -> str:
    """Return Elasticsearch's own words, shortened and printable."""
    body = error.body
    inner = body.get("error") if isinstance(body, Mapping) else body
    reason = inner.get("reason") if isinstance(inner, Mapping) else inner
    return printable(str(reason or error.message))


def retry_after(meta: ApiResponseMeta) -> float | None:
    """Return the seconds of a Retry-After header; dates and nonsense count as not given."""
    try:
        seconds = float(meta.headers.get("retry-after") or "")
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None


def _answered(error: ApiError, action: str, privilege: str) -> QScoreError:
    status, kind, reason = error.meta.status, fault_type(error), fault_reason(error)
    if kind == "media_type_header_exception" or "compatible-with=" in reason:
        return ConfigurationError(
            f"could not {action}: the client elasticsearch {version('elasticsearch')} is newer than its server",
            "Install the client of the server's major version, such as: pip install 'elasticsearch>=8.19,<9'",
        )
    if status == 429 or status >= 500 or kind == "cluster_block_exception":
        return _busy(error, action, kind, reason)
    if status == 401:
        return Unauthorised(
            f"could not {action}: the API key is not accepted ({reason})",
            "Put a valid key into elastic.api_key_file; `qscore elastic install --user NAME` makes one.",
        )
    if status == 403:
        needed = f" (it needs the {privilege})" if privilege else ""
        return Forbidden(f"could not {action}: {reason}", f"Give the API key what it lacks{needed}.")
    if status == 404:
        return Missing(f"could not {action}: {reason}", "Check the name; `qscore elastic doctor` says what is missing.")
    refused = RefusedRequest(
        f"could not {action}: {reason} (HTTP {status})", "Look at the cluster's log for the request."
    )
    refused.status = status
    return refused


def _busy(error: ApiError, action: str, kind: str, reason: str) -> ElasticBusy:
    if kind == "cluster_block_exception":
        remedy = "Free disk space on the cluster, or lift the block that it names; what was sent is kept."
    else:
        remedy = "What was sent is kept and sent again."
    busy = ElasticBusy(f"could not {action}: {reason} (HTTP {error.meta.status})", remedy)
    busy.retry_after = retry_after(error.meta)
    busy.certain = error.meta.status == 429 or kind == "cluster_block_exception"
    return busy


def _first_line(error: Any) -> str:
    return printable(str(getattr(error, "message", "") or error).partition("\n")[0])
