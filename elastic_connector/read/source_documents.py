"""The documents of a source, as Elasticsearch hands them out: by arrival through points in time, by id, counted.

No page of an answer is larger than may be: pages shrink after one that was too large and grow slowly after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from elastic_connector.read.documents import TOO_LARGE, Hit
from elastic_connector.read.memory import Key
from elastic_connector.read.snapshot import Json, PointInTime, SnapshotLost, Snapshots
from scorer.elastic_client.failures import AnswerTooLarge, reached
from scorer.elastic_client.lookup import is_there
from scorer.elastic_client.moments import Millis
from scorer.elastic_client.names import SCORES_STREAM
from scorer.logs import get_log
from scorer.wire.errors import NonsenseReply, Unavailable

#: Bytes of documents in one page, about: the next page is made smaller where one was larger.
PAGE_BYTES = 8 * 1024 * 1024
_IDS_AT_ONCE = 5_000
#: Points in time that may be lost one after the other before the round is given up, to be tried again after a pause.
_LOST_AT_ONCE = 3
#: By how much smaller a page is asked for after one that was too large.
_SHRINK = 4
#: What a document counts that is nested too deeply to be measured.
_NESTED_BYTES = 64 * 1024
_FIRST_PAGE = 200  # documents
_COLD = ["data_cold", "data_frozen"]


@dataclass(frozen=True)
class ReadSettings:
    """``time_field``: what documents are read by. ``query``: KQL, empty: all. ``page``: documents at most.

    ``overlap`` and ``settle``: seconds; see `elastic_connector.read.memory.Memory`.
    """

    time_field: str
    query: str
    page: int
    overlap: float
    settle: float


def source_query(settings: ReadSettings, low: Millis, high: Millis | None) -> Json:
    """Return the query for documents of a source whose time lies from ``low`` to before ``high``; never scores, never
    the cold tiers.
    """
    bounds: Json = {"gte": low, "format": "epoch_millis"}
    if high is not None:
        bounds["lt"] = high
    wanted: list[Json] = [{"range": {settings.time_field: bounds}}]
    if settings.query:
        wanted.append({"kql": {"query": settings.query}})
    unwanted = [{"terms": {"_tier": _COLD}}, {"prefix": {"_index": f".ds-{SCORES_STREAM}-"}}]
    return {"bool": {"filter": wanted, "must_not": unwanted}}


def key_of(hit: Hit) -> Key:
    """Return index and id of a hit."""
    return hit["_index"], hit["_id"]


def moment_of(hit: Hit) -> Millis:
    """Return when a document arrived, which is what hits are sorted by."""
    return Millis(hit["sort"][0])


def bare(hit: Hit, why: str) -> Hit:
    """Return a hit without its document, marked."""
    return {**hit, "_source": {}, why: True}


def bytes_of(hit: Hit) -> int:
    """Return the size of a document as JSON, about."""
    try:
        return len(orjson.dumps(hit["_source"]))
    except TypeError:  # nested too deeply to be written again
        return _NESTED_BYTES


@dataclass
class SourceDocuments:
    """Reads one source. ``includes``: the fields that are read of each document."""

    snapshots: Snapshots
    settings: ReadSettings
    includes: Sequence[str]
    #: Points in time that were lost and opened again.
    reopened: int = 0
    _size: int = field(default=_FIRST_PAGE)

    def between(self, low: Millis, high: Millis, whole: bool) -> Iterator[list[Hit]]:
        """Yield pages of hits from ``low`` to before ``high`` in the order of arrival, none twice; ``whole``: with
        documents.

        Raises SnapshotLost where points in time are lost again and again, and what `Snapshots` and searches raise.
        """
        if low >= high:
            return
        walk = _Walk(self.snapshots, low)
        try:
            while True:
                try:
                    hits = self._page(walk, high, whole)
                except SnapshotLost as error:
                    walk.begin_again(error)
                    self.reopened += 1
                    continue
                if not hits:
                    return
                if fresh := walk.advance(hits):
                    yield fresh
        finally:
            walk.close()

    def fetch(self, found: Sequence[Hit]) -> Iterator[list[Hit]]:
        """Yield pages of documents that are known by id. One that was deleted in the meantime is nobody's to score."""
        at = 0
        while at < len(found):
            some = found[at : at + self._size]
            try:
                hits = self._got(some)
            except AnswerTooLarge:
                if len(some) > 1:
                    self._shrink(len(some))
                    continue
                hits = [bare(some[0], TOO_LARGE)]
            at += len(some)
            if hits:
                yield hits

    def count(self, since: Millis) -> int:
        """Count documents that arrived at or after ``since``. Raises NonsenseReply."""
        with reached("count the documents that wait", "index privilege read on the source"):
            answer: Any = self.snapshots.client.count(
                index=self.snapshots.index, query=source_query(self.settings, since, None), ignore_unavailable=True
            ).body
        count = answer.get("count") if isinstance(answer, dict) else None
        if type(count) is not int:
            raise NonsenseReply("Elasticsearch's answer to a count has no number")
        return count

    def learn(self, documents: int, size: int) -> None:
        """Ask for the next page in a size that keeps to PAGE_BYTES, after one of ``documents`` in ``size`` bytes."""
        fitting = PAGE_BYTES * max(1, documents) // max(1, size)
        # Growing slowly: large documents come in runs.
        self._size = max(1, min(self.settings.page, fitting, 2 * self._size))

    def _shrink(self, size: int) -> None:
        self._size = max(1, size // _SHRINK)

    def _got(self, some: Sequence[Hit]) -> list[Hit]:
        docs = [_address(hit) for hit in some]
        with reached("read late documents", "index privilege read on the source"):
            answer = self.snapshots.client.mget(docs=docs, source_includes=self.includes).body
        listed = answer.get("docs") if isinstance(answer, dict) else None
        if not isinstance(listed, list) or len(listed) != len(docs):
            raise NonsenseReply("Elasticsearch's answer to _mget has not one entry for each id")
        return [
            {**hit, "_source": doc.get("_source") or {}}
            for hit, doc in zip(some, listed, strict=True)
            if is_there(hit["_id"], doc, hit["_index"])  # raises where that is not known: it is read again
        ]

    def _page(self, walk: _Walk, high: Millis, whole: bool) -> list[Hit]:
        """Read the next hits. Where documents are too large together for one answer, fewer; one that is too large alone
        comes without its fields, and says so.
        """
        if not whole:
            return walk.search(self._body(walk, high, _IDS_AT_ONCE, False))
        while True:
            size = min(self._size, self.settings.page)
            try:
                return _with_documents(walk.search(self._body(walk, high, size, True)))
            except AnswerTooLarge:
                if size == 1:
                    return [bare(hit, TOO_LARGE) for hit in walk.search(self._body(walk, high, 1, False))]
                self._shrink(size)
            except Unavailable as error:
                # A page that overtaxed the server, or even ended it, must not be asked for again as it was.
                if not isinstance(error, SnapshotLost):
                    self._shrink(size)
                raise

    def _body(self, walk: _Walk, high: Millis, size: int, whole: bool) -> Json:
        body = {
            "size": size,
            "track_total_hits": False,
            "query": source_query(self.settings, walk.low, high),
            # Milliseconds whatever the mapping is (date or date_nanos), so that indices of both sort together.
            "sort": [
                {self.settings.time_field: {"order": "asc", "numeric_type": "date", "unmapped_type": "date"}},
                {"_shard_doc": "asc"},
            ],
            "_source": list(self.includes) if whole else False,
        }
        return body if walk.after is None else {**body, "search_after": walk.after}


@dataclass
class _Walk:
    """One pass over a source, from ``low`` on. A point in time that is lost is opened again where the last page ended:
    documents of that very millisecond come twice then, and the second time they are left out."""

    snapshots: Snapshots
    low: Millis
    after: list[Any] | None = None
    _pit: PointInTime | None = None
    _given: set[Key] = field(default_factory=set)  # of the last millisecond
    _lost: int = 0

    def search(self, body: Json) -> list[Hit]:
        """Send one search in the point in time, which is opened where there is none."""
        self._pit = self._pit or self.snapshots.open()
        hits = _hits(self._pit.search(body))
        self._lost = 0
        return hits

    def advance(self, hits: list[Hit]) -> list[Hit]:
        """Note a page; returns those of its hits that were not given before."""
        again = self.after is None and self._given
        fresh = [hit for hit in hits if key_of(hit) not in self._given] if again else hits
        self.after = hits[-1]["sort"]
        last = moment_of(hits[-1])
        kept = self._given if last == self.low else set()
        self._given = {key_of(hit) for hit in hits if moment_of(hit) == last} | kept
        self.low = last
        return fresh

    def begin_again(self, error: SnapshotLost) -> None:
        """Give up a point in time that was lost. Raises ``error`` where too many were lost one after the other."""
        self._lost += 1
        if self._lost > _LOST_AT_ONCE:
            raise error
        get_log().info("snapshot_reopened", since=self.low)
        self.close()
        self._pit = self.after = None

    def close(self) -> None:
        """Give the point in time back."""
        if self._pit is not None:
            self._pit.close()


def _address(hit: Hit) -> Json:
    """Return the address of a document for _mget, which finds one that was written with a routing by that routing
    alone.
    """
    routing = hit.get("_routing")
    return {"_index": hit["_index"], "_id": hit["_id"]} | ({"routing": routing} if isinstance(routing, str) else {})


def _with_documents(hits: list[Hit]) -> list[Hit]:
    """Give hits without _source an empty one: such a document is one without fields."""
    return [hit if isinstance(hit.get("_source"), dict) else {**hit, "_source": {}} for hit in hits]


def _hits(answer: Any) -> list[Hit]:
    """Read and check the hits of an answer."""
    outer = answer.get("hits")
    hits = outer.get("hits") if isinstance(outer, dict) else None
    if not isinstance(hits, list):
        raise NonsenseReply("Elasticsearch's answer to a search has no hits", "Run `qscore elastic doctor`.")
    if not all(map(_is_hit, hits)):
        raise NonsenseReply("a hit of Elasticsearch lacks id, index or sort", "Run `qscore elastic doctor`.")
    return hits


def _is_hit(hit: Any) -> bool:
    if not isinstance(hit, dict) or not isinstance(hit.get("_id"), str) or not isinstance(hit.get("_index"), str):
        return False
    sort = hit.get("sort")
    return isinstance(sort, list) and len(sort) == 2 and all(type(part) is int for part in sort)
