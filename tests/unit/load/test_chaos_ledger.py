"""The ledger of `make chaos` sees every way in which rows may be lost, doubled or changed."""

from __future__ import annotations

import json
import random

import pytest

from tests.chaos.hands import TARGETS
from tests.chaos.ledger import Blow, Evidence, Recorded, Verdict, gather, judge, recorded
from tests.chaos.play import Plan

SENT = {"a", "b", "c"}


def events(*rows: tuple[str, str, str]) -> list[Recorded]:
    return [Recorded(100 * number, f"batch-{row[0]}", *row) for number, row in enumerate(rows, 1)]


def kill(target: str = "worker", at: float = 10.0, offset: int = 0, **more: object) -> Blow:
    told = {"in_flight": 1, "recovered": 1.0, "batches": frozenset({"batch-a"}), **more}
    return Blow("kill", target, at, offset, **told)  # type: ignore[arg-type]


def verdict(
    *rows: tuple[str, str, str], accepted: set[str] = SENT, dead: tuple[str, ...] = (), **parts: object
) -> Verdict:
    blows = parts.get("blows", [kill()])
    evidence = parts.get("evidence", Evidence([(11.0, "batch-a")], [(12.0, "batch-a")]))
    return judge(accepted, dead, gather(events(*rows), SENT), blows, evidence)  # type: ignore[arg-type]


WHOLE = (("a", "1", "0.1"), ("b", "2", "0.2"), ("c", "3", "0.3"))


def test_one_result_each_is_no_fault_nor_is_a_repetition_of_it() -> None:
    assert verdict(*WHOLE).faults == []
    again = verdict(*WHOLE, WHOLE[0])
    assert (again.faults, again.repeated, again.results) == ([], 1, 3)


def test_a_dead_letter_is_not_lost() -> None:
    assert verdict(*WHOLE[:2], dead=("c",)).faults == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (WHOLE[:2], "1 rows were accepted and have neither a result nor a dead letter"),
        ((*WHOLE, ("a", "9", "0.1")), "1 rows have two different results"),
        ((*WHOLE, ("a", "1", "0.9")), "1 rows have two different results"),
        ((*WHOLE, ("x", "1", "0.9")), "1 results are of no row that was sent"),
    ],
)
def test_rows_that_are_lost_changed_or_of_nobody(rows: tuple[tuple[str, str, str], ...], said: str) -> None:
    assert said in verdict(*rows).faults


def test_a_row_that_was_refused_may_be_there_or_not() -> None:
    assert verdict(*WHOLE[:2], accepted={"a"}).faults == []


@pytest.mark.parametrize(
    ("blow", "evidence", "said"),
    [
        (kill(), Evidence([], [(12.0, "batch-a")]), "no retry came of killing worker"),
        (kill(), Evidence([(11.0, "batch-a")], []), "no deduplication came of killing worker"),
        (kill(), Evidence([(9.0, "batch-a")], []), "no retry came of killing worker"),
        (kill(), Evidence([(11.0, "batch-b")], []), "no retry came of killing worker"),
        (
            kill(in_flight=0),
            Evidence([(11.0, "batch-a")], [(12.0, "batch-a")]),
            "1 kills of worker found nothing in flight",
        ),
        (
            kill(recovered=None),
            Evidence([(11.0, "batch-a")], [(12.0, "batch-a")]),
            "1 times no score succeeded any more",
        ),
        (
            kill(recovered=31.0),
            Evidence([(11.0, "batch-a")], [(12.0, "batch-a")]),
            "recovery took 31.0 s, more than 30",
        ),
    ],
)
def test_a_kill_without_work_or_recovery(blow: Blow, evidence: Evidence, said: str) -> None:
    assert said in verdict(*WHOLE, blows=[blow], evidence=evidence).faults


def test_nothing_accepted_is_no_success() -> None:
    assert "nothing was accepted" in verdict(*WHOLE, accepted=set()).faults


def test_work_belongs_to_the_blow_that_found_its_batch_under_way() -> None:
    blows = [kill("worker", 10.0, 0), kill("sink", 20.0, 350, batches=frozenset({"batch-b"}))]
    blows.append(Blow("stall", "gateway", 30.0, 450, 0, frozenset({"batch-a"}), 1.0))
    late = Evidence([(35.0, "batch-a"), (15.0, "batch-b")], [(36.0, "batch-c")])
    found = verdict(*WHOLE, WHOLE[1], WHOLE[0], blows=blows, evidence=late)
    assert (found.work["worker"].retries, found.work["worker"].deduplications) == (2, 1)
    assert (found.work["sink"].retries, found.work["sink"].deduplications) == (1, 1)
    assert "gateway" not in found.work


def test_a_record_whose_last_line_was_cut_is_read() -> None:
    fields = {"qscore_batch": "b", "user": "a", "qscore_id": "1", "qscore": "0.1"}
    line = json.dumps({"fields": fields}).encode() + b"\n"
    found = list(recorded([line, line[:30]]))
    assert found == [Recorded(len(line), "b", "a", "1", "0.1")]


def test_a_plan_kills_everything_and_depends_on_its_seed_alone() -> None:
    def plan(seed: int) -> Plan:
        return Plan.of(2, random.Random(seed))  # noqa: S311  # no secret

    assert plan(1) == plan(1) != plan(2)
    kills = [target for what, target, _ in plan(1).steps if what == "kill"]
    assert sorted(kills) == sorted([*TARGETS, *TARGETS])
    assert {what for what, _, _ in plan(1).steps} == {"kill", "stall", "full disk"}
