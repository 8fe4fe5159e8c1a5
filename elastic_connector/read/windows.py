"""Closed windows as rows: which windows new documents touched, and what is counted in each.

A window is counted once it is closed, and again whenever a document of it arrives later. Its revision is the number
of documents that its row was counted from: a row counted again from the same documents keeps its id (and is found to
be written already), one more document makes another id. Windows begin at whole seconds of the epoch, by which they are
named; arrivals are `Millis` like those of every document. Nothing needs to be remembered for that, so that it holds
across restarts, takeovers and clocks that are off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from elastic_connector.read.windows_query import PRECISION_THRESHOLD, Json, Span, WindowQuery, value, window_of
from scorer.elastic_client.failures import AnswerTooLarge
from scorer.elastic_client.moments import Millis, millis, seconds
from scorer.logs import get_log
from scorer.rows.recipe import Recipe
from scorer.wire.errors import NonsenseReply

#: What stands in qscore.flags where a distinct count lies above what Elasticsearch counts nearly exactly.
FLAG_APPROXIMATE = "cardinality_approximate"
#: Documents that one set of pages covers, unless a single window has more: each page reads all of them again.
DOCUMENTS_AT_ONCE = 20_000
#: Windows that are listed in one query as ranges.
_WINDOWS_AT_ONCE = 200
#: By how much smaller a page is asked for after one whose answer was larger than it may be.
_SHRINK = 4
#: A window that starts this many seconds from now would hold back the checkpoint until then; its clock is wrong.
FUTURE = 3600.0
_REMEMBERED = 20_000  # windows whose number of documents is kept, so that an overlap is not counted twice
_END = 253_402_300_800  # epoch seconds of the year 10000

Search = Callable[[Json], Mapping[str, Any]]
Snapshot = Callable[[], AbstractContextManager[Search]]


@dataclass(frozen=True)
class WindowRow:
    """One row: ``start`` in epoch seconds, ``keys`` by name, ``inputs`` by name (None: nothing was there to count).

    ``documents``: those of the row itself; ``revision``: these and those of its groups over fewer keys.
    """

    start: int
    keys: Mapping[str, str]
    inputs: Mapping[str, float | None]
    documents: int
    revision: int
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class WindowPage:
    """Rows, and the arrival from which to go on once they and all before them are settled."""

    rows: tuple[WindowRow, ...]
    position: Millis


@dataclass(frozen=True)
class _Group:
    """What one group over fewer keys came to."""

    values: Mapping[str, float | None]
    documents: int


@dataclass
class WindowReader:
    """Reads windows through ``snapshot``: a context that gives a search (request body -> response) over documents as
    they were when it was entered, and refuses partial results.

    ``ingested``: the field that orders arrival. ``settle``: seconds after its end at which a window is closed.
    """

    snapshot: Snapshot
    query: WindowQuery
    ingested: str = "event.ingested"
    settle: float = 30.0
    rows_at_once: int = 2_000
    _counted: OrderedDict[int, int] = field(default_factory=OrderedDict)

    @property
    def recipe(self) -> Recipe:
        return self.query.recipe

    def pages(self, since: Millis, until: Millis) -> Iterator[WindowPage]:
        """Yield rows of the closed windows that documents ingested from ``since`` to before ``until`` belong to.

        The last page, which may be empty, carries the new position: ``until``, or the first arrival in a window that
        is still open. Windows whose documents were all counted before by this reader are passed over.
        """
        with self.snapshot() as search:
            count = _Counting(search, self.query)
            touched = self._touched(count, since, until)
            still_open = [start for start in touched if self._is_open(start, seconds(until))]
            position = min(until, count.first_arrival(self._arrived(since, until), still_open, until))
            for span, totals in self._fresh(count, sorted(touched.keys() - set(still_open))):
                for rows in count.rows(span, self.rows_at_once):
                    yield WindowPage(rows, since)
                self._remember(totals)
        yield WindowPage((), position)

    def between(self, low: float, high: float) -> Iterator[tuple[tuple[WindowRow, ...], int | None]]:
        """Yield rows of all windows that start from ``low`` to before ``high``, whenever their documents arrived.

        With them the end of the last window (epoch seconds) where everything before it has been given, else None.
        """
        with self.snapshot() as search:
            count = _Counting(search, self.query)
            for covered in cut_windows(count.documents(low, high).items()):
                for rows in count.rows(covered, self.rows_at_once):
                    yield rows, None
                yield (), covered.starts[-1] + self.recipe.span

    def documents(self, low: float, high: float) -> dict[int, int]:
        """Count documents by window, of all windows that start from ``low`` to before ``high``."""
        with self.snapshot() as search:
            return _Counting(search, self.query).documents(low, high)

    def _is_open(self, start: int, until: float) -> bool:
        return until < start + self.recipe.span + self.settle and start < until + FUTURE

    def _arrived(self, since: Millis, until: Millis) -> Json:
        return {"range": {self.ingested: {"gte": since, "lt": until, "format": "epoch_millis"}}}

    def _touched(self, count: _Counting, since: Millis, until: Millis) -> dict[int, int]:
        arrived = self._arrived(since, until)
        found = count.totals(0, _END, (arrived,))
        ahead = [start for start in found if start >= seconds(until) + FUTURE]
        if ahead:
            get_log().warning("windows_in_the_future", windows=len(ahead), first=ahead[0], documents=found[ahead[0]])
        timeless = count.without_time(arrived)
        if timeless:
            get_log().warning("documents_without_a_time", documents=timeless, field=self.query.time)
        return found

    def _fresh(self, count: _Counting, starts: list[int]) -> Iterator[tuple[Span, dict[int, int]]]:
        """Yield the windows that hold documents not counted yet, cut so that one span's pages stay cheap."""
        for first in range(0, len(starts), _WINDOWS_AT_ONCE):
            some = starts[first : first + _WINDOWS_AT_ONCE]
            wanted = set(some)
            totals = count.documents(some[0], some[-1] + self.recipe.span)
            fresh = {s: n for s, n in totals.items() if s in wanted and self._counted.get(s) != n}
            for covered in cut_windows(fresh.items()):
                yield covered, {s: fresh[s] for s in covered.starts}

    def _remember(self, totals: Mapping[int, int]) -> None:
        for start, documents in totals.items():
            self._counted[start] = documents
            self._counted.move_to_end(start)
        while len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)


@dataclass(frozen=True)
class _Counting:
    """The aggregations of one snapshot."""

    search: Search
    query: WindowQuery

    @property
    def recipe(self) -> Recipe:
        return self.query.recipe

    def rows(self, span: Span, at_once: int) -> Iterator[tuple[WindowRow, ...]]:
        """Yield rows of the windows of ``span``, at most ``at_once`` together."""
        groups = {over: self._groups(over, span) for over in self.recipe.overs}
        for buckets in self._buckets(lambda after: self.query.rows(span, after)):
            rows = tuple(self._row(bucket, groups) for bucket in buckets)
            for first in range(0, len(rows), at_once):
                yield rows[first : first + at_once]

    def documents(self, low: float, high: float) -> dict[int, int]:
        span = self.recipe.span
        return self.totals(int(low // span) * span, int(-(-high // span)) * span)

    def totals(self, low: int, high: int, further: tuple[Json, ...] = ()) -> dict[int, int]:
        """Count by window the documents that match ``further``; windows in order, none without a document."""
        pages = self._buckets(lambda after: self.query.totals(low, high, after, further))
        return {_checked(window_of, bucket["key"]): bucket["doc_count"] for page in pages for bucket in page}

    def first_arrival(self, arrived: Json, starts: list[int], until: Millis) -> Millis:
        """Find the earliest arrival in the open windows ``starts``; ``until`` where none is open."""
        if not starts:
            return until
        ((ingested, _),) = arrived["range"].items()
        held = {"range": {self.query.time: {"gte": millis(min(starts)), "format": "epoch_millis"}}}
        found = self._metric({"min": {"field": ingested}}, arrived, held).get("value")
        return until if found is None else Millis(int(found))

    def without_time(self, arrived: Json) -> int:
        """Count documents that belong to no window, because they have no time."""
        return int(self._metric({"missing": {"field": self.query.time}}, arrived).get("doc_count", 0))

    def _metric(self, aggregation: Json, *further: Json) -> Mapping[str, Any]:
        query = {"bool": {"filter": [*self.query.filters, *further]}}
        body = {"size": 0, "track_total_hits": False, "query": query, "aggs": {"metric": aggregation}}
        return _part(self.search(body), "aggregations", "metric")

    def _groups(self, over: tuple[str, ...], span: Span) -> dict[tuple[Any, ...], _Group]:
        inputs = self.recipe.inputs_over(over)
        found: dict[tuple[Any, ...], _Group] = {}
        for buckets in self._buckets(lambda after: self.query.groups(over, span, after)):
            for bucket in buckets:
                values = {i.name: _checked(value, i, bucket) for i in inputs}
                found[_group_key(bucket["key"], over)] = _Group(values, bucket["doc_count"])
        return found

    def _row(self, bucket: Json, groups: Mapping[tuple[str, ...], Mapping[tuple[Any, ...], _Group]]) -> WindowRow:
        own = {i.name: _checked(value, i, bucket) for i in self.recipe.inputs_over(())}
        revision = bucket["doc_count"]
        for over, found in groups.items():
            group = found.get(_group_key(bucket["key"], over))
            if group is None:
                raise _nonsense(f"the group of a row over {', '.join(over)}")
            own |= group.values
            revision += group.documents
        rough = any(i.op == "dc" and (own[i.name] or 0.0) > PRECISION_THRESHOLD for i in self.recipe.inputs)
        return WindowRow(
            start=window_of(bucket["key"]),
            keys={key: str(bucket["key"][key]) for key in self.recipe.keys},
            inputs={i.name: own[i.name] for i in self.recipe.inputs},
            documents=bucket["doc_count"],
            revision=revision,
            flags=(FLAG_APPROXIMATE,) if rough else (),
        )

    def _page(self, body: Json) -> Mapping[str, Any]:
        """Read one page of buckets; fewer where keys of kilobytes would make the answer larger than it may be."""
        composite = body["aggs"]["rows"]["composite"]
        while True:
            try:
                return self.search(body)
            except AnswerTooLarge:
                if composite["size"] == 1:
                    raise
                composite["size"] = max(1, composite["size"] // _SHRINK)

    def _buckets(self, body: Callable[[Json | None], Json]) -> Iterator[list[Json]]:
        """Yield all pages of a composite aggregation."""
        after: Json | None = None
        while True:
            found = _part(self._page(body(after)), "aggregations", "rows")
            buckets, after = found.get("buckets"), found.get("after_key")
            if not isinstance(buckets, list) or not all(_is_bucket(b) for b in buckets):
                raise _nonsense("buckets")
            if buckets:
                yield buckets
            if not buckets or not isinstance(after, dict):
                return


def cut_windows(totals: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Join windows in order, together as long as their documents stay few."""
    starts: list[int] = []
    documents = 0
    for start, count in totals:
        if starts and (documents + count > DOCUMENTS_AT_ONCE or len(starts) >= _WINDOWS_AT_ONCE):
            yield Span(tuple(starts), documents)
            starts, documents = [], 0
        starts.append(start)
        documents += count
    if starts:
        yield Span(tuple(starts), documents)


def _group_key(key: Mapping[str, Any], over: tuple[str, ...]) -> tuple[Any, ...]:
    return (window_of(key), *(key.get(name) for name in over))


def _is_bucket(bucket: object) -> bool:
    return isinstance(bucket, dict) and isinstance(bucket.get("key"), dict) and type(bucket.get("doc_count")) is int


def _part(response: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = response
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise _nonsense(path[-1])
    return found


def _checked(read: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense(str(error)[:60]) from None


def _nonsense(what: str) -> NonsenseReply:
    return NonsenseReply(f"Elasticsearch's answer to an aggregation lacks {what}", "Run `qscore elastic doctor`.")
