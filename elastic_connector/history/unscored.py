"""Which rows have no score of a version yet: the ids that their scores would have, looked up over the whole stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from elasticsearch import Elasticsearch

from elastic_connector.read.pages import RowPage
from scorer.elastic_client.lookup import backing_indices, existing_ids
from scorer.elastic_client.names import SCORES_STREAM
from scorer.rows.columns import CONTEXT_COLUMNS, REVISION_COLUMN
from scorer.rows.identity import BatchIds, Writer, batch_ids


@dataclass(frozen=True)
class VersionScores:
    """The scores of one version of a model in one data stream."""

    client: Elasticsearch
    stream: str
    model: str
    version: str
    writer: Writer

    @classmethod
    def of(cls, client: Elasticsearch, namespace: str, source: str, model: str, version: str) -> VersionScores:
        """Take one version's scores of a source to look up. ``version`` must be a version, not an alias: it is part of
        every id, as the source's name is.
        """
        return cls(client, f"{SCORES_STREAM}-{namespace}", model, version, Writer.connector(namespace, source))

    def held(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """Find those of ``ids`` that are written, each with the backing indices that hold it (several: a duplicate)."""
        names = [index.name for index in backing_indices(self.client, self.stream)]
        return existing_ids(self.client, names, ids)


@dataclass
class Tally:
    """What a walk over rows came to. ``unidentified``: rows that no id can be made of; they are not sent."""

    rows: int = 0
    scored: int = 0
    lacking: int = 0
    duplicates: int = 0
    unidentified: int = 0
    examples: list[str] = field(default_factory=list)


def row_ids(table: Any, scores: VersionScores) -> BatchIds:
    """Return the id of each row's score (n), as the worker will make it and as 0.1.0 made it; None for a row without
    identity."""
    context = {name: _texts(table[name]) for name in CONTEXT_COLUMNS if name in table.column_names}
    revisions = _texts(table[REVISION_COLUMN]) if REVISION_COLUMN in table.column_names else [""] * table.num_rows
    counts = [int(revision or 0) for revision in revisions]
    return batch_ids(scores.model, scores.version, context, counts, scores.writer, old=True)


def lacking(page: RowPage, scores: VersionScores, tally: Tally) -> RowPage:
    """Return the page's rows that have no score; ``tally`` counts all of them. Its position stays."""
    made = row_ids(page.table, scores)
    pairs = [(new, old) for new, old in zip(made.ids, made.old or made.ids, strict=True)]
    held = scores.held(list(dict.fromkeys(known for pair in pairs for known in pair if known is not None)))
    times = [sum(len(held.get(known or "", ())) for known in pair) for pair in pairs]  # each row is written
    keep = [row for row, known in enumerate(made.ids) if known is not None and not times[row]]
    tally.rows += len(pairs)
    tally.unidentified += made.ids.count(None)
    tally.scored += sum(map(bool, times))
    tally.duplicates += sum(count - 1 for count in times if count)
    tally.lacking += len(keep)
    table = page.table.take(pa.array(keep, pa.int64())) if len(keep) < len(pairs) else page.table
    return RowPage(table, page.position, repeated=True, documents=len(keep), bytes=page.bytes)


def _texts(column: Any) -> list[str]:
    """Return a column as the codec decodes it: text, empty where there is nothing."""
    return [_text(value) for value in column.to_pylist()]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
