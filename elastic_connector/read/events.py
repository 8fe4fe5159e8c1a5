"""Reads a source's documents in the order of their arrival: point in time and search_after, never twice, none left out.

What makes a document visible late (a slow refresh, a late bulk, a clock that is behind) is found by reading the last
minutes again, ids alone. What this process has handed out it remembers; what another handed out before, it looks up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from elastic_connector.read.documents import TOO_LARGE, UNREADABLE, EventShaper, Hit
from elastic_connector.read.pages import RowPage
from elastic_connector.read.snapshot import Json, PointInTime, SnapshotLost, Snapshots
from scorer.elastic_client.failures import AnswerTooLarge, reached
from scorer.elastic_client.lookup import is_there
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
_COLD = ["data_cold", "data_frozen"]

Key = tuple[str, str]  # index and id


@dataclass(frozen=True)
class ReadSettings:
    """``time_field``: what documents are read by. ``query``: KQL, empty: all. Times are milliseconds."""

    time_field: str
    query: str
    page: int
    overlap: int
    settle: int


@dataclass
class EventReader:
    """Rows of grain "event" of one source.

    ``scored``: which of some documents have a score already. ``now``: the server's clock, milliseconds.
    ``repeated_until``: documents that arrived before this may have been sent by an earlier leader.
    """

    snapshots: Snapshots
    shaper: EventShaper
    settings: ReadSettings
    scored: Callable[[Sequence[Key]], set[Key]]
    now: Callable[[], int]
    repeated_until: int
    clock: Callable[[], float] = time.monotonic
    #: Points in time that were lost and opened again.
    reopened: int = 0
    _size: int = 200
    #: Hash of a document's key -> its time; complete from ``_seen_from`` on.
    _seen: dict[int, int] = field(default_factory=dict)
    _seen_from: int = 0
    #: Documents handed out at the very last millisecond, which the next read finds again.
    _tail: set[Key] = field(default_factory=set)
    _tail_at: int = -1
    _looked_back: float | None = None
    _looked_back_from: int = 0

    def resume(self, checkpoint: int) -> Iterator[RowPage]:
        """Documents of the last overlaps up to ``checkpoint`` that have no score: an earlier leader may have died
        between finding a late document and having its score confirmed."""
        low = max(0, checkpoint - 2 * self.settings.overlap)
        self._seen_from = low
        for hits in self._pages(low, checkpoint + 1, with_source=False):
            keys = [_key(hit) for hit in hits]
            there = self.scored(keys)
            yield from self._fetched([hit for hit, key in zip(hits, keys, strict=True) if key not in there])
            self._remember(hits)

    def round(self, since: int, upper: int) -> Iterator[RowPage]:
        """See flow.RowReader; late documents come first."""
        yield from self._late(since)
        for hits in self._pages(since, upper, with_source=True):
            fresh = [hit for hit in hits if not self._known(hit)]
            page = self._page(fresh, hits[-1]["sort"][0])
            self._remember(hits)  # not before the page is made: what fails is read again
            yield page

    def waiting(self, since: int) -> int:
        """Documents that have not been read yet."""
        with reached("count the documents that wait", "index privilege read on the source"):
            answer: Any = self.snapshots.client.count(
                index=self.snapshots.index, query=source_query(self.settings, since + 1, None), ignore_unavailable=True
            ).body
        count = answer.get("count") if isinstance(answer, dict) else None
        if type(count) is not int:
            raise NonsenseReply("Elasticsearch's answer to a count has no number")
        return count

    def close(self) -> None:
        """Points in time are closed at the end of each round."""

    def _page(self, hits: Sequence[Hit], position: int | None) -> RowPage:
        first = hits[0]["sort"][0] if hits else 0
        size = self._learn(hits)
        repeated = position is None or first < self.repeated_until
        return RowPage(self._table(hits), position, repeated, len(hits), size)

    def _table(self, hits: Sequence[Hit]) -> Any:
        """Rows of a page. A document of which none can be made is written as an error, and holds up no other."""
        try:
            return self.shaper.table(hits)
        except Exception:  # whatever a document did to it
            get_log().exception("documents_unreadable", index=hits[0]["_index"], id=hits[0]["_id"], documents=len(hits))
            return self.shaper.table([hit if self._readable(hit) else bare(hit, UNREADABLE) for hit in hits])

    def _readable(self, hit: Hit) -> bool:
        try:
            self.shaper.table([hit])
        except Exception:
            return False
        return True

    def _learn(self, hits: Sequence[Hit]) -> int:
        """Bytes of a page; the next one is asked for in a size that keeps to PAGE_BYTES."""
        size = sum(map(_size, hits))
        fitting = PAGE_BYTES * max(1, len(hits)) // max(1, size)
        # Growing slowly: large documents come in runs.
        self._size = max(1, min(self.settings.page, fitting, 2 * self._size))
        return size

    def _late(self, since: int) -> Iterator[RowPage]:
        """Documents before ``since`` that were not there when their time was read."""
        now = self.clock()
        overlap = self.settings.overlap
        if self._looked_back is None:
            self._looked_back, self._looked_back_from = now, since
            self._seen_from = self._seen_from or since  # where a source is begun, nothing before it is late
            return
        if not overlap or now - self._looked_back < overlap / 2000:
            return
        low = max(self._looked_back_from - overlap, since - 2 * overlap, self._seen_from)
        for hits in self._pages(low, since, with_source=False):
            missed = [hit for hit in hits if not self._known(hit)]
            if missed:
                get_log().info("late_documents", documents=len(missed))
                yield from self._fetched(missed)
                self._remember(missed)
        self._looked_back, self._looked_back_from = now, since
        self._forget(low)

    def _fetched(self, found: Sequence[Hit]) -> Iterator[RowPage]:
        """Pages of documents that are known by id. One that was deleted in the meantime is nobody's to score."""
        at = 0
        while at < len(found):
            some = found[at : at + self._size]
            try:
                hits = self._got(some)
            except AnswerTooLarge:
                if len(some) > 1:
                    self._size = max(1, len(some) // _SHRINK)
                    continue
                hits = [bare(some[0], TOO_LARGE)]
            at += len(some)
            if hits:
                yield self._page(hits, None)

    def _got(self, some: Sequence[Hit]) -> list[Hit]:
        docs = [_address(hit) for hit in some]
        with reached("read late documents", "index privilege read on the source"):
            answer = self.snapshots.client.mget(docs=docs, source_includes=self.shaper.includes).body
        listed = answer.get("docs") if isinstance(answer, dict) else None
        if not isinstance(listed, list) or len(listed) != len(docs):
            raise NonsenseReply("Elasticsearch's answer to _mget has not one entry for each id")
        return [
            {**hit, "_source": doc.get("_source") or {}}
            for hit, doc in zip(some, listed, strict=True)
            if is_there(hit["_id"], doc, hit["_index"])  # raises where that is not known: it is read again
        ]

    def _pages(self, low: int, high: int, with_source: bool) -> Iterator[list[Hit]]:
        """Hits from ``low`` to before ``high`` in the order of time; none twice within one call."""
        if low >= high:
            return
        given: set[Key] = set()  # of the last millisecond, in case the point in time is lost
        pit: PointInTime | None = None
        after: list[Any] | None = None
        lost = 0
        try:
            while True:
                pit = pit or self.snapshots.open()
                try:
                    hits = self._search(pit, low, high, after, with_source)
                except SnapshotLost:
                    lost += 1
                    if lost > _LOST_AT_ONCE:
                        raise
                    self.reopened += 1
                    get_log().info("snapshot_reopened", since=low)
                    pit.close()
                    pit, after = None, None
                    continue
                lost = 0
                if not hits:
                    return
                fresh = [hit for hit in hits if _key(hit) not in given] if given and after is None else hits
                after = hits[-1]["sort"]
                last = int(after[0])
                given = {_key(h) for h in hits if h["sort"][0] == last} | (given if last == low else set())
                low = last
                if fresh:
                    yield fresh
        finally:
            if pit is not None:
                pit.close()

    def _search(self, pit: PointInTime, low: int, high: int, after: list[Any] | None, with_source: bool) -> list[Hit]:
        """One page. Where documents are too large together for one answer, fewer; one that is too large alone comes
        without its fields, and says so."""
        while True:
            size = min(self._size, self.settings.page) if with_source else _IDS_AT_ONCE
            try:
                return _hits(pit.search(self._body(low, high, after, size, with_source)), with_source)
            except AnswerTooLarge:
                if not with_source:
                    raise
                if size == 1:
                    found = _hits(pit.search(self._body(low, high, after, 1, False)), True)
                    return [bare(hit, TOO_LARGE) for hit in found]
                self._size = max(1, size // _SHRINK)
            except Unavailable as error:
                # A page that overtaxed the server, or even ended it, must not be asked for again as it was.
                if with_source and not isinstance(error, SnapshotLost):
                    self._size = max(1, size // _SHRINK)
                raise

    def _body(self, low: int, high: int, after: list[Any] | None, size: int, with_source: bool) -> Json:
        body = {
            "size": size,
            "track_total_hits": False,
            "query": source_query(self.settings, low, high),
            # Milliseconds whatever the mapping is (date or date_nanos), so that indices of both sort together.
            "sort": [
                {self.settings.time_field: {"order": "asc", "numeric_type": "date", "unmapped_type": "date"}},
                {"_shard_doc": "asc"},
            ],
            "_source": self.shaper.includes if with_source else False,
        }
        return body if after is None else {**body, "search_after": after}

    def _known(self, hit: Hit) -> bool:
        key = _key(hit)
        return key in self._tail if hit["sort"][0] == self._tail_at else hash(key) in self._seen

    def _remember(self, hits: Sequence[Hit]) -> None:
        """What was handed out. Documents that are older than anything late can be need not be remembered."""
        if not hits:
            return
        horizon = self.now() - self.settings.settle - 2 * self.settings.overlap
        last = hits[-1]["sort"][0]
        if last > self._tail_at:
            self._tail, self._tail_at = set(), last
        for hit in hits:
            at = hit["sort"][0]
            if at >= horizon:
                self._seen[hash(_key(hit))] = at
            else:
                self._seen_from = max(self._seen_from, at + 1)
            if at == self._tail_at:
                self._tail.add(_key(hit))

    def _forget(self, before: int) -> None:
        self._seen = {key: at for key, at in self._seen.items() if at >= before}
        self._seen_from = max(self._seen_from, before)


def source_query(settings: ReadSettings, low: int, high: int | None) -> Json:
    """Documents of a source whose time lies from ``low`` to before ``high``; never scores, never the cold tiers."""
    bounds: Json = {"gte": low, "format": "epoch_millis"}
    if high is not None:
        bounds["lt"] = high
    wanted: list[Json] = [{"range": {settings.time_field: bounds}}]
    if settings.query:
        wanted.append({"kql": {"query": settings.query}})
    unwanted = [{"terms": {"_tier": _COLD}}, {"prefix": {"_index": f".ds-{SCORES_STREAM}-"}}]
    return {"bool": {"filter": wanted, "must_not": unwanted}}


def _address(hit: Hit) -> Json:
    """Of a document for _mget, which finds one that was written with a routing by that routing alone."""
    routing = hit.get("_routing")
    return {"_index": hit["_index"], "_id": hit["_id"]} | ({"routing": routing} if isinstance(routing, str) else {})


def bare(hit: Hit, why: str) -> Hit:
    """A hit without its document, marked."""
    return {**hit, "_source": {}, why: True}


def _size(hit: Hit) -> int:
    try:
        return len(orjson.dumps(hit["_source"]))
    except TypeError:  # nested too deeply to be written again
        return _NESTED_BYTES


def _key(hit: Hit) -> Key:
    return hit["_index"], hit["_id"]


def _hits(answer: Any, with_source: bool) -> list[Hit]:
    """The hits of an answer, checked; a document without _source is one without fields."""
    outer = answer.get("hits")
    hits = outer.get("hits") if isinstance(outer, dict) else None
    if not isinstance(hits, list):
        raise NonsenseReply("Elasticsearch's answer to a search has no hits", "Run `qscore elastic doctor`.")
    for hit in hits:
        sort = hit.get("sort") if isinstance(hit, dict) else None
        usable = isinstance(sort, list) and len(sort) == 2 and all(type(part) is int for part in sort)
        if not usable or not isinstance(hit.get("_id"), str) or not isinstance(hit.get("_index"), str):
            raise NonsenseReply("a hit of Elasticsearch lacks id, index or sort", "Run `qscore elastic doctor`.")
        if with_source and not isinstance(hit.get("_source"), dict):
            hit["_source"] = {}
    return hits
