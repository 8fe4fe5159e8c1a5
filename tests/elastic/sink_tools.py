"""What the tests of the sink stand on: rows, a sink, and what a stream holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from elasticsearch import Elasticsearch

from scorer.delivery.elastic.sink import ElasticSink
from scorer.delivery.rows import ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.elastic_client.client import connect
from scorer.elastic_client.settings import ElasticSettings
from scorer.rows.identity import Writer
from tests.unit.delivery.builders import make_batches, make_card

Result = TypeVar("Result")
FACTS = ScoringFacts(errors=True, sha256="ab" * 32, scored=1_700_000_000.0)


def rows_of(count: int, writer: Writer | None = None, old_ids: bool = False, **context: list[str]) -> ScoredRows:
    """Rows as a worker makes them for documents; without a writer, as 0.1.0 did."""
    batch, scores = make_batches(count, **context)
    return scored_rows(batch, scores, make_card(), replace(FACTS, old_ids=old_ids), writer).rows


def make_elastic_sink(url: str, key: Path, namespace: str, **changes: Any) -> ElasticSink:
    settings = ElasticSettings(url=url, api_key_file=key, namespace=namespace, **changes)
    return ElasticSink(connect(settings), namespace, settings.bulk_documents, settings.bulk_bytes)


def stream_ids(admin: Elasticsearch, stream: str) -> Counter[str]:
    """How often each id is in the stream, over all backing indices."""
    admin.indices.refresh(index=stream)
    found: Counter[str] = Counter()
    after: Sequence[Any] | None = None
    while True:
        page = admin.search(
            index=stream, size=5000, sort=[{"event.id": "asc"}, {"_doc": "asc"}], search_after=after, source=False
        )["hits"]["hits"]
        if not page:
            return found
        found.update(hit["_id"] for hit in page)
        after = page[-1]["sort"]


def sources(admin: Elasticsearch, stream: str) -> dict[str, Mapping[str, Any]]:
    """Document by id."""
    admin.indices.refresh(index=stream)
    hits = admin.search(index=stream, size=1000)["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def under_flood_stage(admin: Elasticsearch, index: str, act: Callable[[int], Result]) -> Result:
    """What ``act`` returns while the index is blocked as on a full disk. The server's disk monitor lifts such a block
    within half a minute where the disk has room, maybe while we act: then it is done again (argument: which try)."""
    block = "index.blocks.read_only_allow_delete"
    for attempt in range(5):
        admin.indices.put_settings(index=index, settings={block: True})
        result = act(attempt)
        held = admin.indices.get_settings(index=index, name=block).body  # by backing index; empty where it is not set
        admin.indices.put_settings(index=index, settings={block: None})
        if held and all(one["settings"] for one in held.values()):
            return result
    raise AssertionError(f"{index} did not stay blocked in any of five tries")
