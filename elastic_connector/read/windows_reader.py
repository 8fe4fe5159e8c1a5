"""Windows for the runner: pages of rows like those of events, made of counts instead of documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from elastic_connector.read.pages import RowPage
from elastic_connector.read.snapshot import Snapshots
from elastic_connector.read.source_documents import ReadSettings, source_query
from elastic_connector.read.windows import Search, WindowReader, WindowRow
from elastic_connector.read.windows_query import WindowQuery
from scorer.elastic_client.failures import reached
from scorer.elastic_client.moments import Millis, later, millis
from scorer.rows.columns import ENTITY_COLUMNS, FLAGS_COLUMN, REVISION_COLUMN, TIME_COLUMN
from scorer.rows.recipe import Recipe

#: The answer about a source that no index matches yet.
_NOTHING: Mapping[str, Any] = {"aggregations": {"rows": {"buckets": []}, "metric": {"doc_count": 0, "value": None}}}


def window_source(snapshots: Snapshots, recipe: Recipe, settings: ReadSettings) -> WindowSource:
    """Make the reader of a source for a model whose rows are windows."""

    @contextmanager
    def snapshot() -> Iterator[Search]:
        with reached(f"count windows of {snapshots.index}", "index privilege read"), snapshots.opened() as pit:
            yield pit.search if pit.shards else lambda _body: _NOTHING

    query = WindowQuery(recipe, recipe.time_names[0], (source_query(settings, Millis(0), None),))
    reader = WindowReader(snapshot, query, settings.time_field, settings.settle)
    return WindowSource(reader, settings.overlap)


def window_table(recipe: Recipe, rows: Sequence[WindowRow]) -> Any:
    """Make one line per row: ``_time`` (the window's start), the keys, the inputs as float64, revision and flags."""
    columns = {TIME_COLUMN: pa.array([float(r.start) for r in rows], pa.float64())}
    for key in recipe.keys:
        if key in ENTITY_COLUMNS:
            columns[key] = pa.array([r.keys[key] for r in rows], pa.string())
    for one in recipe.inputs:
        columns[one.name] = pa.array([r.inputs[one.name] for r in rows], pa.float64())
    columns[REVISION_COLUMN] = pa.array([str(r.revision) for r in rows], pa.string())
    columns[FLAGS_COLUMN] = pa.array([",".join(r.flags) for r in rows], pa.string())
    return pa.table(columns)


@dataclass(frozen=True)
class WindowSource:
    """A `RowReader` over closed windows; positions are the arrival of documents.

    Every round looks ``overlap`` seconds back, because a document may become searchable after its neighbours did: its
    window is counted again if it holds more documents than before. Any row may have been sent by an earlier leader.
    """

    reader: WindowReader
    overlap: float = 60.0

    @property
    def reopened(self) -> int:
        """Return 0: a point in time that is lost ends the round, which is begun again."""
        return 0

    def resume(self, checkpoint: Millis) -> Iterator[RowPage]:
        """Yield nothing: each round looks back by itself."""
        del checkpoint
        return iter(())

    def round(self, since: Millis, upper: Millis) -> Iterator[RowPage]:
        """Yield windows that documents arriving from ``since`` to before ``upper`` belong to, once they are closed."""
        waiting: RowPage | None = None
        for page in self.reader.pages(later(since, -self.overlap), upper):
            if page.rows:
                yield self._page(page.rows)
            else:
                waiting = RowPage(window_table(self.reader.recipe, ()), page.position)
        if waiting is not None:
            yield waiting

    def waiting(self, position: Millis) -> None:
        """Return None: how many windows the documents make is known once they are read."""
        del position

    def close(self) -> None:
        """Do nothing: nothing is held between rounds."""

    def between(self, low: float, high: float) -> Iterator[RowPage]:
        """Yield rows of the windows that start from ``low`` to before ``high`` (seconds of the epoch, as windows are
        named), for backfills; positions are the windows' own time here, not their documents' arrival.
        """
        for rows, end in self.reader.between(low, high):
            page = self._page(rows)
            yield replace(page, position=None if end is None else millis(end))

    def _page(self, rows: Sequence[WindowRow]) -> RowPage:
        table = window_table(self.reader.recipe, rows)
        return RowPage(table, None, repeated=True, documents=sum(r.documents for r in rows), bytes=table.nbytes)
