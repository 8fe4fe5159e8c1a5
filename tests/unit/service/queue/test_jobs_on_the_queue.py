"""Jobs and replies: round trips, and that nothing on the queue raises outside the exception tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.rows.acknowledgement import Acknowledgement
from scorer.rows.identity import Writer
from scorer.service.queue.exchange import BatchOutcome
from scorer.service.queue.jobs import DeliveryJob, ScoreJob, WorkerReply
from scorer.wire.errors import MalformedBody, NonsenseReply, Problem, QScoreError, UnknownModel
from scorer.wire.options import ScoreOptions

JOB = ScoreJob(
    batch_id="batch-0001",
    model="lateral",
    options=ScoreOptions("3", 0.8, "all", True),
    rows=2,
    media_type="text/csv",
    deadline=2e9,
    submitted=1e9,
    reply_key="qscore:reply:1",
    body=b"\x00\xff",
    submitter="me",
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats()
    | st.text(max_size=9)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
#: What may be taken for an outcome.
NEARLY = st.fixed_dictionaries({"batch_id": ANYTHING}, optional={"written": ANYTHING, "problem": ANYTHING})


def test_a_job_says_who_sent_it_and_one_of_0_1_0_says_nothing() -> None:
    raw = replace(JOB, writer="soc", source="dc").to_kwargs()
    assert ScoreJob.from_kwargs(msgpack.unpackb(msgpack.packb(raw))).by == Writer("soc", "dc")
    assert not {"writer", "source"} & JOB.to_kwargs().keys()
    assert ScoreJob.from_kwargs(JOB.to_kwargs()).by is None
    assert ScoreJob.from_kwargs(JOB.to_kwargs() | {"source": "dc"}).by is None


def test_jobs_survive_the_queue() -> None:
    assert ScoreJob.from_kwargs(msgpack.unpackb(msgpack.packb(JOB.to_kwargs()))) == JOB
    delivery = DeliveryJob("batch-0001", "qscore:rows:1", 1, 3, 2, "me")
    assert DeliveryJob.from_kwargs(msgpack.unpackb(msgpack.packb(delivery.to_kwargs()))) == delivery


@given(name=st.sampled_from(sorted(JOB.to_kwargs())), value=ANYTHING)
def test_a_wrong_part_of_a_job_has_a_name(name: str, value: Any) -> None:
    raw = JOB.to_kwargs() | {name: value}
    try:
        job = ScoreJob.from_kwargs(raw)
    except QScoreError as error:
        assert error.sentence()  # noqa: PT017  # either outcome is right; anything else is not
    else:
        assert 0 <= job.rows <= 50_000


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("v", 2),
        ("rows", -1),
        ("rows", True),
        ("rows", 50_001),
        ("body", "text"),
        ("writer", "origin"),
        ("writer", "window"),
        ("writer", "a b"),
        ("writer", None),
        ("source", "a" * 201),
        ("options", {"version": 5}),
        ("options", {"write": None}),
        ("options", {"version": "../1"}),
        ("options", {"threshold": "2"}),
    ],
)
def test_wrong_jobs_are_refused(part: str, value: Any) -> None:
    with pytest.raises(MalformedBody):
        ScoreJob.from_kwargs(JOB.to_kwargs() | {part: value})


def test_replies_survive_the_queue() -> None:
    reply = WorkerReply(b"a,b\n\xff", {"X-QScore-Rows": "1"})
    assert WorkerReply.unpack(reply.pack()) == reply
    refusal = WorkerReply(problem=Problem.of(UnknownModel("there is no model x", "List them.")))
    assert WorkerReply.unpack(refusal.pack()) == refusal


@given(st.binary(max_size=60) | ANYTHING.map(msgpack.packb))
def test_what_is_no_reply_is_nonsense(packed: bytes) -> None:
    try:
        WorkerReply.unpack(packed)
    except NonsenseReply as error:
        assert error.sentence()  # noqa: PT017  # either outcome is right; anything else is not


def test_outcomes_survive_the_queue() -> None:
    ack = Acknowledgement("batch-0001", 5, 2, 1)
    assert BatchOutcome.unpack(BatchOutcome.of(ack).pack()) == BatchOutcome("batch-0001", ack)
    refused = BatchOutcome("batch-0001", problem=Problem.of(UnknownModel("there is no model x", "List them.")))
    assert BatchOutcome.unpack(refused.pack()) == refused
    with pytest.raises(ValueError, match="nothing is said of batch batch-0001"):
        BatchOutcome("batch-0001").pack()


@given(st.binary(max_size=60) | (ANYTHING | NEARLY).map(msgpack.packb))
def test_what_is_no_outcome_is_nonsense(packed: bytes) -> None:
    try:
        found = BatchOutcome.unpack(packed)
    except NonsenseReply as error:
        assert error.sentence()  # noqa: PT017  # either outcome is right; anything else is not
    else:
        assert isinstance(found.batch_id, str)
        assert (found.ack is None) != (found.problem is None)
        assert found.ack is None or isinstance(found.ack.written, int)


def test_a_refused_job_s_words_are_not_its_rows() -> None:
    for part in ("body", "batch_id", "rows", "options"):
        with pytest.raises(MalformedBody) as refused:
            ScoreJob.from_kwargs(JOB.to_kwargs() | {part: ["10.0.0.1 is mallory's"]})
        assert f"a job's {part} is list: " in refused.value.detail
        assert "mallory" not in refused.value.sentence()


def test_parts_that_a_later_version_adds_are_passed_over() -> None:
    assert ScoreJob.from_kwargs(JOB.to_kwargs() | {"later": 1}) == JOB


def test_a_job_expires_with_its_deadline() -> None:
    assert not JOB.expired()
    assert ScoreJob.from_kwargs(JOB.to_kwargs() | {"deadline": 1.0}).expired()
