"""The ``[elastic]`` section: the cluster, the sink that writes to it, and what the connector reads from it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from scorer.elastic_client.names import NAMESPACE, SCORES_STREAM
from scorer.wire.errors import UnknownModel
from scorer.wire.names import check_model_name, check_version

_Namespace = Annotated[str, Field(pattern=NAMESPACE)]
_FieldName = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\s\x00-\x1f*]+$")]

_LONGEST_NAME = 255  # of an index, in Elasticsearch


def _as_names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_FieldNames = Annotated[tuple[_FieldName, ...], BeforeValidator(_as_names), Field(min_length=1, max_length=50)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ElasticSource(_Section):
    """One stream of documents to score with one model."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    index: str = Field(min_length=1, max_length=2000)  # index pattern, comma separated, exclusions by a leading "-"
    query: str = ""  # KQL
    model: str
    version: str = "live"
    namespace: _Namespace | None = None  # of the scores; default: the section's
    fields: dict[str, _FieldNames] = {}  # recipe field -> document fields, in place of the recipe's ECS names
    copy_fields: tuple[_FieldName, ...] = Field((), alias="copy", max_length=50)  # document fields put onto scores
    time_field: _FieldName = "event.ingested"  # what the connector reads by

    @field_validator("index")
    @classmethod
    def _not_our_own(cls, pattern: str) -> str:
        return check_source_pattern(pattern)

    @field_validator("model")
    @classmethod
    def _model(cls, name: str) -> str:
        return _checked(check_model_name, name)

    @field_validator("version")
    @classmethod
    def _version(cls, version: str) -> str:
        return _checked(check_version, version)


class ElasticSettings(_Section):
    """Elasticsearch, for the sink ``elastic`` and the connector. Times are seconds."""

    url: str = ""  # https://host:9200; several are separated by commas
    cloud_id: str = ""
    api_key_file: Path | None = None  # file with the encoded API key alone; mode 0600
    ca_file: Path | None = None  # PEM; default: the system's certificate authorities
    ca_fingerprint: str = Field("", pattern=r"^([0-9A-Fa-f]{2}:?){0,32}$")  # SHA-256 of the CA's certificate
    client_certificate: Path | None = None  # PEM, for a server that asks for one (mTLS)
    client_key: Path | None = None
    proxy: str = ""  # http://proxy:3128
    timeout: float = Field(30.0, gt=0, le=240)
    namespace: _Namespace = "default"
    bulk_documents: int = Field(1000, ge=1, le=10_000)
    bulk_bytes: int = Field(3 * 1024 * 1024, ge=64 * 1024, le=64 * 1024 * 1024)
    state_index: str = Field("qscore-state", pattern=r"^[a-z0-9][a-z0-9._-]{0,199}$")
    lease_seconds: float = Field(15.0, ge=1)
    poll_seconds: float = Field(5.0, gt=0)
    settle_seconds: float = Field(30.0, ge=0)
    overlap_seconds: float = Field(60.0, ge=0)
    page_documents: int = Field(2000, ge=1, le=10_000)
    in_flight_rows: int = Field(20_000, ge=1)
    late_seconds: float = Field(60.0, gt=0)
    health_host: str = "127.0.0.1"
    health_port: int = Field(0, ge=0, le=65535)
    gateway_url: str = ""
    gateway_key_file: Path | None = None
    gateway_ca: Path | None = None
    sources: tuple[ElasticSource, ...] = Field((), max_length=1000)

    @model_validator(mode="after")
    def _whole(self) -> ElasticSettings:
        names = [source.name for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sources are called {twice[0]}; give each a name of its own")
        if self.url and self.cloud_id:
            raise ValueError("url and cloud_id are both set; keep one of them")
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key belong together; set both or neither")
        return self

    @property
    def configured(self) -> bool:
        """Tell whether a cluster is named, so that batches for the sink ``elastic`` may come."""
        return bool(self.url or self.cloud_id)

    def namespace_of(self, source: ElasticSource) -> str:
        """Return the namespace that a source's scores are written to."""
        return source.namespace or self.namespace


def _checked(check: Any, text: str) -> str:
    try:
        return str(check(text))
    except UnknownModel as error:
        raise ValueError(error.sentence()) from None


def check_source_pattern(pattern: str) -> str:
    """Return ``pattern`` if it is of this cluster and cannot match the stream of scores.

    Raises ValueError, with the remedy, for any other.
    """
    if any(map(_is_out_of_place, pattern)) or max(map(len, pattern.split(","))) > _LONGEST_NAME:
        raise ValueError(f"{pattern[:80]!r} is no index pattern; give names with * and exclusions, without date math")
    if ":" in pattern:  # documents that came late are fetched by id, which Elasticsearch does within one cluster alone
        raise ValueError(
            f"{pattern[:80]!r} names another cluster, whose late documents could not be fetched; "
            "run a connector for that cluster, with its address in elastic.url"
        )
    risky = _with_scores(pattern.split(",")) if pattern.strip(",") else [pattern]
    if risky:
        raise _matches_scores(risky[0])
    return pattern


def _is_out_of_place(character: str) -> bool:
    return character.isspace() or character in '<>"|\\/?#\0'


def _with_scores(parts: Iterable[str]) -> list[str]:
    """Find those parts of a pattern that may match the stream of scores.

    Elasticsearch applies an exclusion to what stands before it, so that ``-logs-qscore.*,logs-*`` excludes nothing.
    """
    found: list[str] = []
    for part in parts:
        if part.startswith("-"):
            found = [other for other in found if not _covers(part[1:], other)]
        elif part == "_all" or _overlap(part, _scores(part) + "-*"):
            found.append(part)
    return found


def _matches_scores(part: str) -> ValueError:
    remedy = f"{part or 'logs-*'},-{_scores(part).removesuffix('scores')}*"
    return ValueError(
        f"{part!r} also matches the scores themselves ({SCORES_STREAM}-*), which would be scored again; "
        f"exclude them at the end, such as {remedy}"
    )


def _scores(pattern: str) -> str:
    """Return the scores' stream, or for a pattern of hidden names its backing indices."""
    return (".ds-" if pattern.startswith(".") else "") + SCORES_STREAM


def _covers(exclusion: str, part: str) -> bool:
    """Tell whether an exclusion takes out every stream of scores that ``part`` may match, whatever its namespace."""
    return _overlap(exclusion, _scores(part) + "-\0")  # only a * takes the character that no name has


@functools.cache
def _overlap(one: str, other: str) -> bool:
    """Tell whether some name matches both patterns, in which * stands for any characters."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(one, other[1:]) or _overlap(one[1:], other)
    return one[0] == other[0] and _overlap(one[1:], other[1:])
