"""What is found at the end: every document must have exactly one score, over all backing indices."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch, helpers

from demo.elastic_setup import SCORES_QUERY
from scorer.rows.identity import Writer, score_id
from tests.elastic.chaos.feeder import GONE, SOURCE, SOURCE_NAME, Feeder
from tests.elastic.chaos.theatre import MODEL, VERSION, Theatre


@dataclass(frozen=True)
class Verdict:
    """What was found at the end. ``work``: retries and deduplications, by kind."""

    documents: int
    scores: int
    missing: int
    duplicates: int
    strangers: int
    work: dict[str, int]
    lost: tuple[tuple[str, str, float], ...] = ()  # index, id, event.ingested (epoch seconds) of those without a score
    slowest: float = 0.0  # longest time from event.ingested to the server's word that it has the document

    @property
    def good(self) -> bool:
        return (
            not (self.missing or self.duplicates or self.strangers) and self.documents > 0 and any(self.work.values())
        )


def expected_scores(admin: Elasticsearch, writer: Writer) -> dict[str, tuple[str, str, float]]:
    """Id of the one score of every document of the source -> its index, id and time of arrival."""
    query = {"query": {"match_all": {}}, "docvalue_fields": [{"field": "event.ingested", "format": "epoch_millis"}]}
    expected = {}
    for hit in helpers.scan(admin, index=SOURCE, query=query, _source=False, size=5000):
        arrived = float(hit["fields"]["event.ingested"][0]) / 1000.0
        known = score_id(MODEL, VERSION, ("origin", hit["_index"], hit["_id"]), writer=writer)
        expected[known] = hit["_index"], hit["_id"], arrived
    return expected


def score_counts(admin: Elasticsearch, stream: str) -> Counter[str]:
    """Id -> in how many backing indices it stands; heartbeats are no scores."""
    found = helpers.scan(admin, index=stream, query={"query": SCORES_QUERY}, _source=False, size=5000)
    return Counter(hit["_id"] for hit in found)


def judge(play: Theatre, feeder: Feeder, seconds: float) -> Verdict:
    """Waits until every document has its score, as long as they still become more."""
    expected, found = dict[str, tuple[str, str, float]](), Counter[str]()
    deadline, most = time.monotonic() + seconds, -1
    while time.monotonic() < deadline:
        play.tend()
        with contextlib.suppress(*GONE, helpers.ScanError):
            play.admin.indices.refresh(index=f"{SOURCE},{play.scores}")
            writer = Writer.connector(play.namespace, SOURCE_NAME)
            expected, found = expected_scores(play.admin, writer), score_counts(play.admin, play.scores)
            if not expected.keys() - found.keys():
                break
            if len(found) > most:
                most, deadline = len(found), time.monotonic() + seconds
        time.sleep(1.0)
    return Verdict(
        documents=len(expected),
        scores=sum(found.values()),
        missing=len(expected.keys() - found.keys()),
        duplicates=sum(count - 1 for count in found.values()),
        strangers=len(found.keys() - expected.keys()),
        work=work_done(play),
        lost=tuple(sorted((expected[known] for known in expected.keys() - found.keys()), key=lambda one: one[2])),
        slowest=max((feeder.taken[name] - at for _, name, at in expected.values() if name in feeder.taken), default=0),
    )


def log_records(play: Theatre) -> Iterator[dict[str, Any]]:
    """Every structured record that connectors and workers wrote."""
    for path in [*play.folder.glob("connector-*.log"), *(play.home / "logs").glob("*.log*")]:
        for line in path.read_text("utf-8", "replace").splitlines():
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    if isinstance(record, dict):
                        yield record


def work_done(play: Theatre) -> dict[str, int]:
    """What was repeated and what was found to be there already, from the logs."""
    work: Counter[str] = Counter()
    for record in log_records(play):
        name = str(record.get("event", ""))
        if name == "delivered":
            work["scores found to be there already"] += int(record.get("already") or 0)
        elif name == "batch_sent_again":
            work["batches sent again"] += 1
        elif name == "delivery_delayed":
            work["deliveries tried again"] += 1
        elif name == "leading":
            work["times a connector became the leader"] += 1
    return dict(work)


def tell(play: Theatre, feeder: Feeder, verdict: Verdict, seed: int) -> None:
    """The ledger."""
    say = play.say
    say(f"\nseed {seed}: {len(play.kills)} kills while {verdict.documents} documents arrived")
    for target, count in sorted(Counter(k.target for k in play.kills).items()):
        say(f"  {count:3d} x {target}")
    say(f"  with documents in flight at {sum((k.in_flight or 0) > 0 for k in play.kills)} of them")
    for stream, count in sorted(play.rollovers.items()):
        say(f"  {count:3d} rollovers of {stream}")
    say(f"  {feeder.failures:3d} writes of documents repeated by who sends them")
    for name, count in sorted(play.restarts.items()):
        say(f"  {count:3d} starts again of {name}")
    say("retries and deduplications:")
    for kind, count in sorted(verdict.work.items()):
        say(f"  {count:5d} {kind}")
    say(f"scores: {verdict.scores} for {verdict.documents} documents")
    say(f"longest time from event.ingested to the answer that a document is taken: {verdict.slowest:.1f} s")
    for index, name, arrived in verdict.lost[:20]:
        late = feeder.taken.get(name, 0) - arrived
        say(f"  without a score: {index} {name}, arrived {arrived:.3f}, taken {late:.1f} s later")
    say(f"missing: {verdict.missing}, duplicates: {verdict.duplicates}, of no document: {verdict.strangers}")
