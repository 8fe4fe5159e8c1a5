"""Work on documents that are there already: what lacks a score, counted first and sent after; what does not belong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Event
from typing import Any

import pyarrow as pa
from elasticsearch import Elasticsearch

from elastic_connector.history.backfill import Backfill, HistoryScope, LiveLag, Progress
from elastic_connector.history.reconcile import (
    Reconciliation,
    WrittenScores,
    event_orphans,
    reconcile,
    window_key,
    window_orphans,
)
from elastic_connector.history.unscored import Tally, VersionScores, lacking
from elastic_connector.lead.batches import Queues
from elastic_connector.lead.lease import Lease, StreamState
from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.documents import EventShaper
from elastic_connector.read.events import event_reader
from elastic_connector.read.pages import RowPage
from elastic_connector.read.readers import ReaderPlan, read_settings
from elastic_connector.read.snapshot import Json, Snapshots
from elastic_connector.read.source_documents import ReadSettings, source_query
from elastic_connector.read.windows_reader import WindowSource, window_source
from scorer.elastic_client.clock import ServerClock
from scorer.elastic_client.failures import reached
from scorer.elastic_client.moments import Millis, between, later, millis, seconds
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.rows.recipe import Recipe
from scorer.wire.card import ModelCard
from scorer.wire.errors import BadOption, NonsenseReply

_READ = "index privileges read and view_index_metadata on the source and on the stream of scores"


@dataclass(frozen=True)
class History:
    """One source and one version of its model. Moments are of the documents' own time, not of their arrival."""

    client: Elasticsearch
    elastic: ElasticSettings
    source: ElasticSource
    card: ModelCard
    clock: ServerClock
    queues: Queues | None = None  # where rows are sent; none is needed to count
    ticks: Callable[[], float] = time.monotonic

    @property
    def scores(self) -> VersionScores:
        namespace = self.elastic.namespace_of(self.source)
        return VersionScores.of(self.client, namespace, self.source.name, self.card.name, self.card.version)

    @property
    def recipe(self) -> Recipe:
        return card_recipe(self.card.recipe, self.source.fields, self.card.required_fields)

    def scope(self, low: Millis, high: Millis) -> HistoryScope:
        """Return the range as it can be worked on: what arrived a moment ago, and windows that are open, are left to
        live scoring. Raises BadOption for a range that holds nothing.
        """
        settled = later(self.clock.millis(), -self.elastic.settle_seconds)
        high = min(high, settled)
        if self.card.grain == "window":
            span = millis(self.recipe.span)
            low, high = Millis(low // span * span), Millis(min(-(-high // span), settled // span) * span)
        if high <= low:
            raise BadOption("the range from --from to --to holds nothing that is settled", "Give an earlier --from.")
        namespace = self.elastic.namespace_of(self.source)
        return HistoryScope(self.source.name, self.card.name, self.card.version, namespace, low, high)

    def earliest(self, of_scores: bool) -> Millis | None:
        """Find the time of the first document of the source, or of the first score of the model in any version."""
        index = self.scores.stream if of_scores else self.source.index
        query: Json = {"match_all": {}}
        if of_scores:
            query = {"term": {"qscore.model.name": self.card.name}}
        return self._first(index, query, "@timestamp" if of_scores else self.recipe.time_names[0])

    def _first(self, index: str, query: Json, field: str) -> Millis | None:
        """Find the least value of a time field among the documents that match; None where none does."""
        with reached(f"find the first document of {index}", _READ):
            answer: Any = self.client.search(
                index=index, size=0, query=query, aggs={"first": {"min": {"field": field}}}, ignore_unavailable=True
            ).body
        try:
            found = answer["aggregations"]["first"]["value"] if "aggregations" in answer else None
            return None if found is None else Millis(int(found))
        except (KeyError, TypeError, ValueError):
            raise NonsenseReply("Elasticsearch's answer to an aggregation lacks first") from None

    def pages(self, scope: HistoryScope, start: Millis) -> Iterator[RowPage]:
        """Yield rows of the scope from ``start`` on, and at the end an empty page that stands at the scope's end."""
        arrival = self._settings
        settings = replace(arrival, time_field=self.recipe.time_names[0])
        snapshots = Snapshots(self.client, self.source.index)
        with reached(f"read {self.source.index}", _READ):
            if self.card.grain == "window":
                windows = window_source(snapshots, self.recipe, arrival)
                yield from windows.between(seconds(start), seconds(scope.high))
            else:
                shaper = EventShaper(self.recipe, self.source.copy_fields)
                reader = event_reader(snapshots, shaper, settings, lambda _keys: set(), self.clock.millis, Millis(0))
                yield from reader.round(start, scope.high)
        yield RowPage(pa.table({}), scope.high)

    def count(self, scope: HistoryScope, show: Callable[[Tally], None] = lambda _tally: None) -> Tally:
        """Count what a backfill of the scope would do."""
        tally = Tally()
        for page in self.pages(scope, scope.low):
            lacking(page, self.scores, tally)
            show(tally)
        return tally

    def backfill(self, scope: HistoryScope, show: Callable[[Progress], None], stopped: Event) -> Progress:
        """Send what the scope lacks. Raises ValueError for a history without queues, and what `Backfill.run` raises."""
        queues = self.queues
        if queues is None:
            raise ValueError("a history without queues can only count")
        elastic = self.elastic
        lease = Lease(
            self.client, elastic.state_index, self.source.name, scope.job, elastic.lease_seconds, elastic.poll_seconds
        )
        work = Backfill(
            scope=scope,
            pages=lambda start: self.pages(scope, start),
            scores=self.scores,
            lease=lease,
            make_sender=lambda route: queues.sender(self.card, route),
            server_now=self.clock.now,
            live=LiveLag(self.live_lag, self.ticks),
            limit=elastic.in_flight_rows,
            late_seconds=elastic.late_seconds,
            show=show,
            stopped=stopped,
        )
        done = work.run()
        if done.position >= scope.high:
            self._forget(scope)
        return done

    def reconcile(self, scope: HistoryScope, show: Callable[[Tally], None] = lambda _tally: None) -> Reconciliation:
        """Compare the source with its scores, both ways."""
        written = WrittenScores(self.client, self.scores)
        pages = self.pages(scope, scope.low)
        if self.card.grain != "window":
            return reconcile(pages, self.scores, lambda: event_orphans(written, scope.low, scope.high), show)
        recipe = self.recipe
        return reconcile(
            pages,
            self.scores,
            lambda: window_orphans(written, recipe, self._keys_between, scope.low, scope.high),
            show,
        )

    def live_lag(self) -> float | None:
        """Return the seconds by which live scoring of the source is behind; None where no connector leads it.

        Of windows, beyond the time that each takes to close; of events, the age of the oldest document that waits: the
        checkpoint stands still in a source where nothing happens, and that is no lag.
        """
        state = self._live_state()
        if state is None or not state.owner or state.checkpoint is None:
            return None
        settled = later(self.clock.millis(), -self.elastic.settle_seconds)
        if self.card.grain == "window":
            return max(0.0, between(state.checkpoint, settled) - self.recipe.span)
        oldest = self._oldest_waiting(state.checkpoint, settled)
        return 0.0 if oldest is None else max(0.0, between(oldest, settled))

    def _oldest_waiting(self, checkpoint: Millis, settled: Millis) -> Millis | None:
        settings, after = self._settings, Millis(checkpoint + 1)
        query = source_query(settings, after, max(settled, after))
        return self._first(self.source.index, query, settings.time_field)

    def _live_state(self) -> StreamState | None:
        with reached("read the state of live scoring", "index privilege read on the state index"):
            answer: Any = (
                self.client.options(ignore_status=404)
                .get(index=self.elastic.state_index, id=f"{self.source.name}:{self.card.name}")
                .body
            )
        return StreamState.from_response(answer) if answer.get("found") else None

    @cached_property
    def _settings(self) -> ReadSettings:
        """Find how live scoring reads the source; the server is asked once."""
        return read_settings(ReaderPlan(self.client, self.source, self.elastic, self.card, self.clock, Millis(0)))

    def _keys_between(self, low: int, high: int) -> set[tuple[Any, ...]]:
        windows: WindowSource = window_source(Snapshots(self.client, self.source.index), self.recipe, self._settings)
        return {window_key(row, self.recipe) for rows, _ in windows.reader.between(low, high) for row in rows}

    def _forget(self, scope: HistoryScope) -> None:
        """Remove the state document, for work that is done leaves none: the same range may be looked at again."""
        with reached("remove the state of a finished backfill", "index privilege write on the state index"):
            self.client.options(ignore_status=404).delete(
                index=self.elastic.state_index, id=f"{self.source.name}:{scope.job}"
            )
