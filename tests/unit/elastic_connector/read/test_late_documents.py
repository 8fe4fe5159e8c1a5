"""Documents that become searchable late: each is handed out, none twice, and little is remembered for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elastic_connector.lead.rounds import Rounds
from elastic_connector.read.events import EventReader
from elastic_connector.read.memory import Key, Memory
from scorer.elastic_client.moments import Millis, later, seconds
from scorer.wire.errors import Unavailable
from tests.unit.elastic_connector.read.listed import Hit, Listed

BASE = Millis(1_772_352_900_000)
OVERLAP, SETTLE = 10.0, 4.0
LATEST = int(1000 * (OVERLAP + SETTLE))  # milliseconds after its arrival at which a document is searchable at last


class Names:
    """Rows that are their documents' ids."""

    def table(self, hits: Sequence[Hit]) -> pa.Table:
        return pa.table({"origin_id": [hit["_id"] for hit in hits]})


def document(number: int, at: Millis) -> Hit:
    return {"_index": "logs-a", "_id": f"d{number}", "_source": {"@timestamp": at}, "sort": [at, number]}


@dataclass
class Source:
    """A source that is read round after round, by one leader after another; notes what was handed out."""

    there: Listed
    given: list[str] = field(default_factory=list)
    position: Millis = BASE

    def __post_init__(self) -> None:
        self.memory, self.rounds = self._leader(resumes=False)

    def take_over(self) -> None:
        """Another leader goes on, which knows what has a score and nothing else."""
        self.memory, self.rounds = self._leader(resumes=True)

    def round(self) -> None:
        """One round, or what a fault leaves of it."""
        try:
            while (page := self.rounds.next_page()) is not None:
                self.given += page.table["origin_id"].to_pylist()
        except Unavailable:
            pass
        self.position = self.rounds.position

    def _scored(self, _keys: object) -> set[Key]:
        return {("logs-a", name) for name in self.given}

    def _leader(self, resumes: bool) -> tuple[Memory, Rounds]:
        memory, there = Memory(OVERLAP, SETTLE), self.there
        reader = EventReader(there, Names(), memory, self._scored, lambda: there.now, BASE, lambda: seconds(there.now))
        return memory, Rounds(reader, self.position, lambda: later(there.now, -SETTLE), resumes, 0.0)


#: Milliseconds after BASE at which a document arrived, and those until it was searchable.
ARRIVALS = st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, LATEST)), max_size=40)
STEPS = st.lists(st.integers(1, 4_000), max_size=30)


def opened(arrivals: list[tuple[int, int]]) -> Source:
    hits = [document(number, Millis(BASE + at)) for number, (at, _) in enumerate(arrivals)]
    visible = {f"d{number}": Millis(BASE + at + late) for number, (at, late) in enumerate(arrivals)}
    return Source(Listed(hits, visible, BASE))


@settings(max_examples=150, deadline=None)
@given(arrivals=ARRIVALS, steps=STEPS, faults=st.sets(st.integers(1, 80), max_size=12), takeover=st.integers(0, 60))
def test_every_document_is_handed_out_once(
    arrivals: list[tuple[int, int]], steps: list[int], faults: set[int], takeover: int
) -> None:
    source = opened(arrivals)
    source.there.faults = faults
    for number, step in enumerate([*steps, *[3_000] * 60]):
        source.there.now = Millis(source.there.now + step)
        source.round()
        if number == takeover:
            source.take_over()
    assert sorted(source.given) == sorted(hit["_id"] for hit in source.there.hits)


@pytest.mark.parametrize("fault", range(1, 16))
def test_a_fault_between_two_pages_of_late_documents_brings_none_of_them_again(fault: int) -> None:
    source = opened([(0, 0), *[(number, 8_000) for number in range(1, 8)], (3_000, 0)])
    source.there.faults = {fault}
    for _ in range(12):
        source.there.now = later(source.there.now, 4.0)
        source.round()
    assert sorted(source.given) == [f"d{number}" for number in range(9)]


def test_no_more_is_remembered_than_a_few_overlaps_hold() -> None:
    """Ten documents a second for five minutes, one of seven late."""
    source = opened([(100 * number, LATEST if number % 7 == 0 else 0) for number in range(3000)])
    held = []
    for _ in range(120):
        source.there.now = later(source.there.now, 3.0)
        source.round()
        held.append(len(source.memory))
    assert sorted(source.given) == sorted(hit["_id"] for hit in source.there.hits)
    assert max(held) <= 10 * (3 * OVERLAP + SETTLE)
    assert max(held[60:]) <= max(held[:60]), "it does not grow with the source"


def test_a_backlog_is_read_without_being_remembered() -> None:
    source = opened([(number, 0) for number in range(500)])
    source.there.now = later(BASE, 86_400.0)
    source.round()
    assert len(source.given) == 500
    assert len(source.memory) == 0, "a day later nothing of it can be late"
    for _ in range(3):
        source.there.now = later(source.there.now, OVERLAP)
        source.round()
    assert len(source.given) == 500, "the last millisecond is found again, and given once"
    assert source.there.asked == 0, "there is no reason to read any of it again"


def test_a_document_that_comes_within_the_last_millisecond_is_handed_out() -> None:
    source = opened([(1_000, 0), (1_000, 0), (1_000, 8_000)])
    for _ in range(4):
        source.there.now = later(source.there.now, 5.0)
        source.round()
    assert source.given == ["d0", "d1", "d2"]


def test_where_a_source_is_begun_nothing_before_it_is_late() -> None:
    source = opened([(-5_000, 9_000), (100, 0)])
    for _ in range(6):
        source.there.now = later(source.there.now, 5.0)
        source.round()
    assert source.given == ["d1"]


def test_without_an_overlap_nothing_is_read_twice() -> None:
    memory = Memory(0.0)
    memory.remember([(("logs-a", "d1"), BASE)], BASE)
    assert memory.look_back(BASE, 0.0) is None
    assert memory.look_back(Millis(BASE + 1), 1e6) is None
    assert memory.knows(("logs-a", "d1"), BASE)
    assert not memory.knows(("logs-a", "d2"), BASE)


@pytest.mark.parametrize(("after", "due"), [(4.9, False), (5.1, True)])
def test_late_documents_are_looked_for_every_half_overlap(after: float, due: bool) -> None:
    memory = Memory(OVERLAP, SETTLE)
    assert memory.look_back(BASE, 100.0) is None, "a source that is begun has nothing late yet"
    assert (memory.look_back(later(BASE, 5.0), 100.0 + after) is not None) is due
