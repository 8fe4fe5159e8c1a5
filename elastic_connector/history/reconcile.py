"""Documents without a score, scores without a document, scores that stand twice: counted, and the first sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.history.unscored import Tally, VersionScores, lacking
from elastic_connector.read.pages import RowPage
from elastic_connector.read.snapshot import Json, Snapshots
from elastic_connector.read.windows import WindowRow
from scorer.elastic_client.failures import reached
from scorer.elastic_client.lookup import is_there
from scorer.elastic_client.moments import Millis, iso, millis, seconds
from scorer.rows.recipe import Recipe
from scorer.wire.errors import NonsenseReply

_PAGE = 1000
_READ = "index privileges read and view_index_metadata on the source and on the stream of scores"
#: Where a document carries what the recipe's keys were, and what tells that it is of no use for a comparison.
_KEY_FIELDS = {
    "user": ("user", "name"),
    "src": ("source", "address"),
    "dest": ("destination", "address"),
    "port_class": ("qscore", "port_class"),
}
EXAMPLES = 5

Hit = Mapping[str, Any]
Tell = Callable[[Tally], None]


@dataclass(frozen=True)
class Reconciliation:
    """What was found. ``tally``: rows of the source; ``scores``: scores in the same time; ``orphans``: those of them
    whose document is no longer there (deleted, or kept for a shorter time than its score)."""

    tally: Tally
    scores: int
    orphans: int
    examples: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Tell whether every row has exactly one score. A score may outlive its document."""
        return not (self.tally.lacking or self.tally.duplicates)


@dataclass(frozen=True)
class WrittenScores:
    """The scores of one version that lie in a time, read from the stream."""

    client: Elasticsearch
    scores: VersionScores

    def pages(self, low: Millis, high: Millis, fields: Sequence[str]) -> Iterator[list[Hit]]:
        """Yield hits with ``fields`` whose time lies from ``low`` to before ``high``."""
        with reached(f"read {self.scores.stream}", _READ), Snapshots(self.client, self.scores.stream).opened() as pit:
            after: list[Any] | None = None
            while True:
                hits = _hits(pit.search(self._body(low, high, fields, after)))
                if not hits:
                    return
                after = hits[-1].get("sort")
                yield hits

    def _body(self, low: Millis, high: Millis, fields: Sequence[str], after: list[Any] | None) -> Json:
        wanted = [
            {"term": {"qscore.model.name": self.scores.model}},
            {"term": {"qscore.model.version": self.scores.version}},
            {"range": {"@timestamp": {"gte": low, "lt": high, "format": "epoch_millis"}}},
        ]
        body: Json = {
            "size": _PAGE,
            "track_total_hits": False,
            "query": {"bool": {"filter": wanted, "must_not": [{"term": {"event.kind": "metric"}}]}},
            "sort": [{"@timestamp": {"order": "asc", "numeric_type": "date"}}, {"_shard_doc": "asc"}],
            "_source": list(fields),
        }
        return body if after is None else {**body, "search_after": after}


def reconcile(
    pages: Iterable[RowPage], scores: VersionScores, orphans: Callable[[], Iterator[tuple[int, list[str]]]], show: Tell
) -> Reconciliation:
    """Walk the source's rows, then the scores. ``orphans``: pages of (scores seen, those without a document)."""
    tally = Tally()
    for page in pages:
        lacking(page, scores, tally)
        show(tally)
    seen, lost, examples = 0, 0, list[str]()
    for count, without in orphans():
        seen, lost = seen + count, lost + len(without)
        examples += without[: EXAMPLES - len(examples)]
    return Reconciliation(tally, seen, lost, tuple(examples))


def event_orphans(written: WrittenScores, low: Millis, high: Millis) -> Iterator[tuple[int, list[str]]]:
    """Yield scores of documents that are gone."""
    for hits in written.pages(low, high, ("qscore.source.index", "qscore.source.id")):
        origins = {str(hit["_id"]): _origin(hit) for hit in hits}
        there = present_documents(written.client, [origin for origin in origins.values() if origin is not None])
        yield len(hits), [known for known, origin in origins.items() if origin not in there]


def window_orphans(
    written: WrittenScores,
    recipe: Recipe,
    keys_between: Callable[[int, int], set[tuple[Any, ...]]],
    low: Millis,
    high: Millis,
) -> Iterator[tuple[int, list[str]]]:
    """Yield scores of windows in which nothing is left of the row. ``keys_between``: `window_key` of all rows that are
    there between two times in seconds; asked for the hours that have scores, one at a time, so that few rows are held.
    """
    step = max(recipe.span, 3600 // recipe.span * recipe.span)
    fields = ("@timestamp", *(".".join(_KEY_FIELDS[key]) for key in recipe.keys if key in _KEY_FIELDS))
    hour, rows = -1, set[tuple[Any, ...]]()
    for hits in written.pages(low, high, fields):
        orphans = []
        for hit in hits:
            began = int(seconds(hit["sort"][0])) // step * step
            if began != hour:
                hour, rows = began, keys_between(began, began + step)
            if _scored_key(hit, recipe) not in rows:
                orphans.append(str(hit["_id"]))
        yield len(hits), orphans


def window_key(row: WindowRow, recipe: Recipe) -> tuple[Any, ...]:
    """Return what tells a window's row from others, as its score carries it."""
    return (iso(millis(row.start)), *(row.keys[key] for key in recipe.keys if key in _KEY_FIELDS))


def _scored_key(hit: Hit, recipe: Recipe) -> tuple[Any, ...]:
    """Return `window_key` as a score carries it; a key that was missing stands on no document."""
    source = hit.get("_source") or {}
    keys = (_at(source, _KEY_FIELDS[key]) or recipe.null_key for key in recipe.keys if key in _KEY_FIELDS)
    return (_at(source, ("@timestamp",)), *keys)


def _origin(hit: Hit) -> tuple[str, str] | None:
    source = hit.get("_source") or {}
    index, known = _at(source, ("qscore", "source", "index")), _at(source, ("qscore", "source", "id"))
    return (index, known) if index and known else None


def _at(source: Any, path: Sequence[str]) -> str:
    for part in path:
        source = source.get(part) if isinstance(source, Mapping) else None
    return source if isinstance(source, str) else ""


def present_documents(client: Elasticsearch, origins: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those (index, id) that are there; an index that is gone holds none. Raises NonsenseReply."""
    if not origins:
        return set()
    docs = [{"_index": index, "_id": known} for index, known in origins]
    with reached("look documents up", _READ):
        answer: Any = client.mget(docs=docs, source=False).body
    listed = answer.get("docs") if isinstance(answer, Mapping) else None
    if not isinstance(listed, list) or len(listed) != len(docs):
        raise NonsenseReply("Elasticsearch's answer to _mget has not one entry for each id")
    return {origin for origin, doc in zip(origins, listed, strict=True) if is_there(origin[1], doc, origin[0])}


def _hits(answer: Mapping[str, Any]) -> list[Hit]:
    outer = answer.get("hits")
    hits = outer.get("hits") if isinstance(outer, Mapping) else None
    if not isinstance(hits, list) or not all(_is_hit(hit) for hit in hits):
        raise NonsenseReply("Elasticsearch's answer to a search has no hits", "Run `qscore elastic doctor`.")
    return hits


def _is_hit(hit: Any) -> bool:
    sort = hit.get("sort") if isinstance(hit, Mapping) else None
    return isinstance(sort, list) and len(sort) == 2 and type(sort[0]) is int and "_id" in hit
