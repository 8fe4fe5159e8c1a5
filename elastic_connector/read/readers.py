"""Which reader a model needs: rows are events or windows; and what a source is read by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from elastic_connector.read.card_recipe import card_recipe
from elastic_connector.read.documents import EventShaper
from elastic_connector.read.events import event_reader
from elastic_connector.read.memory import Key
from elastic_connector.read.pages import RowReader
from elastic_connector.read.snapshot import Snapshots
from elastic_connector.read.source_documents import ReadSettings
from elastic_connector.read.windows_reader import window_source
from scorer.elastic_client.clock import Clock
from scorer.elastic_client.copies import no_place
from scorer.elastic_client.failures import reached
from scorer.elastic_client.lookup import present_ids
from scorer.elastic_client.moments import Millis
from scorer.elastic_client.names import SCORES_STREAM
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from scorer.logs import get_log
from scorer.rows.identity import Writer, batch_ids
from scorer.rows.recipe import Recipe
from scorer.wire.card import ModelCard
from scorer.wire.errors import ConfigurationError, Forbidden

FALLBACK_FIELD = "@timestamp"
#: How much longer the overlap is where documents do not say when they arrived.
FALLBACK_OVERLAP = 10
_DATES = {"date", "date_nanos"}


@dataclass(frozen=True)
class ReaderPlan:
    """What a reader is made of. ``began``: by the server's clock; what arrived before may have been sent
    before."""

    client: Elasticsearch
    source: ElasticSource
    elastic: ElasticSettings
    card: ModelCard
    clock: Clock
    began: Millis

    @property
    def stream(self) -> str:
        """Return the data stream of the source's scores."""
        return f"{SCORES_STREAM}-{self.elastic.namespace_of(self.source)}"

    @property
    def writer(self) -> Writer:
        """Return who writes the source's scores, as it enters their ids."""
        return Writer.connector(self.elastic.namespace_of(self.source), self.source.name)


def build_reader(plan: ReaderPlan) -> RowReader:
    """Build the reader for the model's grain. Raises ConfigurationError where there is none for it."""
    make = _READERS.get(plan.card.grain)
    if make is None:
        raise ConfigurationError(
            f"model {plan.card.name} scores rows of grain {plan.card.grain!r}", f"Known are {', '.join(_READERS)}."
        )
    _check_privileges(plan)
    snapshots = Snapshots(plan.client, plan.source.index)
    _warn_of_copies(plan.source)
    recipe = card_recipe(plan.card.recipe, plan.source.fields, plan.card.required_fields)
    return make(plan, snapshots, recipe, read_settings(plan))


def _warn_of_copies(source: ElasticSource) -> None:
    """Warn of copies that have no place on scores: they are left out there, for the score matters more."""
    for name in source.copy_fields:
        if why := no_place(name):
            get_log().warning("copy_left_out", source=source.name, field=name, reason=why, remedy="take it out of copy")


def _check_privileges(plan: ReaderPlan) -> None:
    """Ask what the key may read, because what it may not looks empty, as missing indices do. Raises Forbidden."""
    names = [part for part in plan.source.index.split(",") if part and not part.startswith("-")]
    asked = [{"names": names, "privileges": ["read", "view_index_metadata"]}]
    with reached("ask what the API key may do"):
        answer: Any = plan.client.security.has_privileges(index=asked).body
    if not isinstance(answer, Mapping) or answer.get("has_all_requested") is not True:
        raise Forbidden(
            f"the API key may not read all of {', '.join(names)}, the source {plan.source.name}",
            "Give it read and view_index_metadata there: `qscore elastic install` makes a key for the sources.",
        )


def read_settings(plan: ReaderPlan) -> ReadSettings:
    """Find how the source is read; by @timestamp, and further back, where documents do not say when they arrived."""
    source, elastic = plan.source, plan.elastic
    time_field, overlap = source.time_field, elastic.overlap_seconds
    if not _says_when_ingested(plan, time_field):
        time_field, overlap = FALLBACK_FIELD, FALLBACK_OVERLAP * overlap
        get_log().warning(
            "time_field_missing",
            source=source.name,
            field=source.time_field,
            instead=time_field,
            overlap_seconds=overlap,
            remedy="documents later than the overlap are missed; add the field by an ingest pipeline",
        )
    return ReadSettings(time_field, source.query, elastic.page_documents, overlap, elastic.settle_seconds)


def _says_when_ingested(plan: ReaderPlan, time_field: str) -> bool:
    """Tell whether the time field is mapped anywhere in the source; a source without indices is given the benefit."""
    with reached(f"read the mappings of {plan.source.index}", "index privilege view_index_metadata on the source"):
        answer: Any = plan.client.field_caps(
            index=plan.source.index, fields=[time_field], ignore_unavailable=True, include_unmapped=True
        ).body
    found = answer.get("fields", {}).get(time_field, {}) if isinstance(answer, Mapping) else {}
    kinds = {str(kind) for kind in found}
    odd = kinds - _DATES - {"unmapped"}
    if odd:
        raise ConfigurationError(
            f"{time_field} is mapped as {', '.join(sorted(odd))} in {plan.source.index}", "It must be a date."
        )
    if "unmapped" in kinds and kinds & _DATES:
        indices = found["unmapped"].get("indices") or ()
        get_log().warning(
            "indices_without_time_field", source=plan.source.name, field=time_field, indices=list(indices)[:20]
        )
    nothing_there = isinstance(answer, Mapping) and not answer.get("indices")
    return bool(kinds & _DATES) or nothing_there or time_field == FALLBACK_FIELD


def scored_documents(plan: ReaderPlan) -> Callable[[Sequence[Key]], set[Key]]:
    """Make the look-up of those documents that have a score of the plan's model and version, in the whole stream.

    Scores that 0.1.0 wrote count, under the ids that it gave them.
    """

    def scored(keys: Sequence[Key]) -> set[Key]:
        if not keys:
            return set()
        context = {"index": [index for index, _ in keys], "origin_id": [document for _, document in keys]}
        made = batch_ids(plan.card.name, plan.card.version, context, [0] * len(keys), plan.writer, old=True)
        pairs = zip((*made.ids, *(made.old or ())), (*keys, *keys), strict=True)
        ids = {known: key for known, key in pairs if known is not None}
        return {ids[known] for known in present_ids(plan.client, plan.stream, list(ids))}

    return scored


def _events(plan: ReaderPlan, snapshots: Snapshots, recipe: Recipe, settings: ReadSettings) -> RowReader:
    shaper = EventShaper(recipe, plan.source.copy_fields)
    return event_reader(snapshots, shaper, settings, scored_documents(plan), plan.clock.millis, plan.began)


def _windows(_plan: ReaderPlan, snapshots: Snapshots, recipe: Recipe, settings: ReadSettings) -> RowReader:
    return window_source(snapshots, recipe, settings)


_READERS: dict[str, Callable[[ReaderPlan, Snapshots, Recipe, ReadSettings], RowReader]] = {
    "event": _events,
    "window": _windows,
}
