"""A point in time of a source: searches over documents as they were when it was opened; refuses partial results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from scorer.elastic_client.failures import reached
from scorer.wire.errors import NonsenseReply, Unavailable

#: How long the server keeps a point in time between two searches.
KEEP_ALIVE = "2m"
_READ = "index privileges read and view_index_metadata on the source"
_LOST = ("search_context_missing_exception", "index_not_found_exception", "no_shard_available_action_exception")
Json = dict[str, Any]


class SnapshotLost(Unavailable):
    """The server no longer has the point in time: it expired, its node left, or an index of it was deleted."""

    code = "snapshot_lost"


@dataclass
class PointInTime:
    """An open point in time. Each answer may carry a new id, which takes the place of the one before."""

    client: Elasticsearch
    id: str
    #: Shards; 0 where no index matches, and then nothing is asked of the server.
    shards: int

    def search(self, body: Json) -> Mapping[str, Any]:
        """Send one search; raises SnapshotLost, NonsenseReply, and what scorer.elastic_client.failures names."""
        if not self.shards:
            return {"hits": {"hits": []}}
        whole = {**body, "pit": {"id": self.id, "keep_alive": KEEP_ALIVE}}
        with reached("read the source", _READ), _noticed():
            # Low level, so that the body goes as it is; what an answer would leave out must be an error.
            answer = self.client.perform_request(
                "POST",
                "/_search",
                params={"allow_partial_search_results": "false"},
                headers={"accept": "application/json", "content-type": "application/json"},
                body=whole,
            ).body
        if not isinstance(answer, Mapping) or answer.get("timed_out") is True:
            raise NonsenseReply("Elasticsearch did not answer a search in full", "Look at the cluster's health.")
        found = answer.get("pit_id")
        if isinstance(found, str):
            self.id = found
        return answer

    def close(self) -> None:
        """Give it back; one that is gone, or cannot be given back now, ends by itself."""
        with contextlib.suppress(ApiError, TransportError):
            self.client.close_point_in_time(id=self.id)


@dataclass(frozen=True)
class Snapshots:
    """Opens points in time of one source. ``index``: its pattern, comma separated."""

    client: Elasticsearch
    index: str

    def open(self) -> PointInTime:
        """Open a point in time. Indices that are missing or closed are left out; `closed_indices` names the closed.

        Raises NonsenseReply, and what scorer.elastic_client.failures names.
        """
        with reached(f"read the source {self.index}", _READ):
            answer = self.client.open_point_in_time(index=self.index, keep_alive=KEEP_ALIVE, ignore_unavailable=True)
        try:
            return PointInTime(self.client, str(answer["id"]), _shards(answer.body))
        except (KeyError, TypeError, ValueError):
            raise NonsenseReply("Elasticsearch opened a point in time without an id") from None

    @contextlib.contextmanager
    def opened(self) -> Iterator[PointInTime]:
        """Open a point in time for the body of a ``with``."""
        pit = self.open()
        try:
            yield pit
        finally:
            pit.close()


def _shards(answer: Any) -> int:
    shards = answer.get("_shards")
    # Servers before 8.17 do not say; then a search does.
    return int(shards["total"]) if isinstance(shards, Mapping) else 1


@contextlib.contextmanager
def _noticed() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if _is_lost(error):
            raise SnapshotLost("the point in time of the source is gone", "It is opened again.") from error
        raise


def _is_lost(error: ApiError) -> bool:
    """Tell whether the reason, or that of each failed shard, is that the point in time is gone."""
    body = error.body if isinstance(error.body, Mapping) else {}
    reason = body.get("error")
    if not isinstance(reason, Mapping):
        return False
    causes = [reason, *(c for c in reason.get("root_cause") or () if isinstance(c, Mapping))]
    return any(str(cause.get("type")) in _LOST for cause in causes)
