"""Which ids a data stream holds. A stream keeps ids apart within one backing index only, so each is asked.

By ``_mget``, which reads what was written a moment ago without a refresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from scorer.elastic_client.failures import ElasticBusy, Missing, reached
from scorer.elastic_client.moments import Millis, seconds
from scorer.printable import printable
from scorer.wire.errors import ConfigurationError, NonsenseReply

CHUNK_IDS = 1000
_READ = "index privileges read and view_index_metadata on the stream of scores"


@dataclass(frozen=True)
class BackingIndex:
    """One index of a stream. ``created``: seconds of the epoch by the cluster's clock."""

    name: str
    created: float


def backing_indices(client: Elasticsearch, stream: str) -> list[BackingIndex]:
    """List the stream's indices, oldest first; none where the stream does not exist yet.

    Raises ConfigurationError where ``stream`` names an index or an alias, and what ``reached`` and NonsenseReply are
    raised for.
    """
    try:
        with reached(f"list the backing indices of {stream}", _READ):
            body: Any = client.indices.get_settings(index=stream, name="index.creation_date", flat_settings=True).body
    except Missing:
        return []
    if not isinstance(body, Mapping):
        raise NonsenseReply(f"the indices of {stream} came as {type(body).__name__}")
    found = [_backing_index(str(name), raw, stream) for name, raw in body.items()]
    return sorted(found, key=lambda index: (index.created, index.name))


def _backing_index(name: str, raw: Any, stream: str) -> BackingIndex:
    # Snapshots that are searched and shrunken indices carry a prefix before the name that they had; what the upgrade to
    # Elasticsearch 9 reindexes is called .migrated-ds-...
    if f"ds-{stream}-" not in name:
        raise ConfigurationError(
            f"{stream} is not a data stream but stands for the index {name[:200]}",
            "Remove that index or alias; `qscore elastic install` sets up the stream.",
        )
    try:
        return BackingIndex(name, seconds(Millis(int(raw["settings"]["index.creation_date"]))))
    except (TypeError, KeyError, ValueError, OverflowError):
        raise NonsenseReply(f"the settings of {name[:200]} have no creation date") from None


def existing_ids(client: Elasticsearch, indices: Sequence[str], ids: Sequence[str]) -> dict[str, list[str]]:
    """Find those of ``ids`` that are in any of ``indices``, each with the indices that hold it (several: a duplicate).

    An index that was deleted holds nothing; one that is closed cannot be asked and raises ElasticBusy.
    """
    found: dict[str, list[str]] = {}
    for index in indices:
        for start in range(0, len(ids), CHUNK_IDS):
            for known in _present(client, index, ids[start : start + CHUNK_IDS]):
                found.setdefault(known, []).append(index)
    return found


def present_ids(client: Elasticsearch, stream: str, ids: Sequence[str]) -> set[str]:
    """Find those of ``ids`` that the stream holds, over all its backing indices."""
    names = [index.name for index in backing_indices(client, stream)]
    return set(existing_ids(client, names, ids))


def _present(client: Elasticsearch, index: str, ids: Sequence[str]) -> list[str]:
    if not ids:
        return []
    try:
        with reached(f"look ids up in {index}", _READ):
            body: Any = client.mget(index=index, ids=list(ids), source=False, realtime=True).body
    except Missing:
        return []
    docs = body.get("docs") if isinstance(body, Mapping) else None
    if not isinstance(docs, list) or len(docs) != len(ids):
        raise NonsenseReply(f"a look-up of {len(ids)} ids in {index} was not answered for each of them")
    return [known for known, answer in zip(ids, docs, strict=True) if is_there(known, answer, index)]


def is_there(known: str, answer: Any, index: str) -> bool:
    """Read one entry of an answer to _mget: whether the id is there. An entry that could not be answered (a shard that
    is starting, a closed index) says neither, and raises ElasticBusy; nonsense raises NonsenseReply.
    """
    if not isinstance(answer, Mapping) or answer.get("_id") != known:
        raise NonsenseReply(f"a look-up in {index} was answered for another id")
    error = answer.get("error")
    if error is None:
        if not isinstance(answer.get("found"), bool):
            raise NonsenseReply(f"a look-up in {index} says neither that an id is there nor that it is not")
        return bool(answer["found"])
    kind = error.get("type") if isinstance(error, Mapping) else None
    if kind in ("index_not_found_exception", "resource_not_found_exception"):
        return False
    reason = error.get("reason") if isinstance(error, Mapping) else error
    remedy = "Open the index again, or delete it." if kind == "index_closed_exception" else "It is asked again."
    raise ElasticBusy(f"could not look ids up in {index}: {printable(str(reason))} ({kind})", remedy)
