"""What is found at the end: every accepted row has one result or is a dead letter, and each kill made work."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Seconds within which a score must succeed again after a blow.
RECOVERY_SECONDS = 30.0


@dataclass
class Blow:
    """One thing done to the stack. ``at``: epoch seconds. ``offset``: bytes that the sink had recorded by then.

    ``in_flight``: batches that were being scored, or deliveries under way. ``batches``: ids of all batches that were
    not answered or not written by then. ``recovered``: seconds until a score that was asked for after it succeeded;
    None: none did.
    """

    what: str
    target: str
    at: float
    offset: int
    in_flight: int
    batches: frozenset[str] = frozenset()
    recovered: float | None = None


@dataclass(frozen=True)
class Recorded:
    """One event in the sink's record: where its line ends, which row and batch it is of, and what it says."""

    end: int
    batch: str
    user: str
    qscore_id: str
    qscore: str


@dataclass(frozen=True)
class Evidence:
    """When (epoch seconds) and of which batch something was tried again, or a repetition was found to be one."""

    retries: Sequence[tuple[float, str]] = ()
    repetitions: Sequence[tuple[float, str]] = ()


@dataclass
class Work:
    """Kills of one component, and the retries and deduplications that came of them."""

    kills: int = 0
    idle: int = 0
    retries: int = 0
    deduplications: int = 0


@dataclass(frozen=True)
class Found:
    """The rows that the sink has. ``results``: user -> id and score of the first event. ``twice``: lines that repeat
    an earlier one, by their end and batch. ``changed``: rows with a second id or another score. ``strangers``: rows
    that nobody sent."""

    results: Mapping[str, tuple[str, str]]
    twice: Sequence[tuple[int, str]]
    changed: int
    strangers: int


@dataclass(frozen=True)
class Verdict:
    """What was found. ``lost``: accepted rows that are nowhere. ``faults``: sentences; none where all is as it must
    be."""

    accepted: int
    lost: int
    results: int
    dead: int
    repeated: int
    work: Mapping[str, Work]
    slowest: float
    faults: Sequence[str]


def recorded(lines: Iterable[bytes]) -> Iterator[Recorded]:
    """Read the sink's record; a line that a kill cut short is none."""
    end = 0
    for line in lines:
        end += len(line)
        try:
            fields = json.loads(line)["fields"]
        except ValueError:
            continue
        yield Recorded(end, fields["qscore_batch"], fields["user"], fields["qscore_id"], fields["qscore"])


def gather(events: Iterable[Recorded], sent: Collection[str]) -> Found:
    """Sort events by row."""
    results: dict[str, tuple[str, str]] = {}
    twice: list[tuple[int, str]] = []
    changed, strangers = set[str](), set[str]()
    for event in events:
        if event.user not in sent:
            strangers.add(event.user)
        said = event.qscore_id, event.qscore
        if event.user not in results:
            results[event.user] = said
        elif results[event.user] == said:
            twice.append((event.end, event.batch))
        else:
            changed.add(event.user)
    return Found(results, twice, len(changed), len(strangers))


def judge(
    accepted: Collection[str], dead: Collection[str], found: Found, blows: Sequence[Blow], evidence: Evidence
) -> Verdict:
    """Compare what callers were told with what the sink has."""
    work = _work(blows, found, evidence)
    lost = sum(user not in found.results and user not in dead for user in accepted)
    slowest = max((blow.recovered for blow in blows if blow.recovered is not None), default=0.0)
    faults = [
        *_said(lost, "rows were accepted and have neither a result nor a dead letter"),
        *_said(found.changed, "rows have two different results"),
        *_said(found.strangers, "results are of no row that was sent"),
        *_said(not accepted, "nothing was accepted"),
        *_said(sum(blow.recovered is None for blow in blows), "times no score succeeded any more"),
        *_said(slowest > RECOVERY_SECONDS, f"recovery took {slowest:.1f} s, more than {RECOVERY_SECONDS:g}"),
    ]
    for target, done in work.items():
        faults += _said(done.idle, f"kills of {target} found nothing in flight")
        faults += _said(not done.retries, f"no retry came of killing {target}")
        faults += _said(not done.deduplications, f"no deduplication came of killing {target}")
    return Verdict(len(accepted), lost, len(found.results), len(dead), len(found.twice), work, slowest, faults)


def _said(count: int, what: str) -> list[str]:
    """A fault's sentence; none where there is no fault."""
    if not count:
        return []
    return [what if isinstance(count, bool) else f"{count} {what}"]


def _work(blows: Sequence[Blow], found: Found, evidence: Evidence) -> dict[str, Work]:
    """Give each kill what came of the batches that it found under way."""
    work: dict[str, Work] = {}
    for blow in blows:
        if blow.what != "kill":
            continue
        # What is written a second time was tried again, and is dropped by its id.
        repeated = sum(end > blow.offset and batch in blow.batches for end, batch in found.twice)
        done = work.setdefault(blow.target, Work())
        done.kills += 1
        done.idle += blow.in_flight == 0
        done.retries += repeated + _after(blow, evidence.retries)
        done.deduplications += repeated + _after(blow, evidence.repetitions)
    return work


def _after(blow: Blow, moments: Sequence[tuple[float, str]]) -> int:
    """Count what happened to a blow's batches after it."""
    return sum(moment >= blow.at and batch in blow.batches for moment, batch in moments)
