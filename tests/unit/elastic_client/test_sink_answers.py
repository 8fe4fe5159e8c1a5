"""What the sink makes of answers that a healthy cluster does not give; a scripted server gives them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.deliver import deliver
from scorer.delivery.elastic.sink import ElasticSink
from scorer.delivery.sink import SinkBusy, SinkRefused
from scorer.elastic_client.client import connect
from scorer.elastic_client.settings import ElasticSettings
from tests.unit.delivery.builders import make_rows
from tests.unit.elastic_client.servers import Canned, scripted_server

MAPPING = {
    ".ds-logs-qscore.scores-t-1": {"mappings": {"qscore.model.version": {"mapping": {"version": {"type": "keyword"}}}}}
}
INDICES = {".ds-logs-qscore.scores-t-1": {"settings": {"index.creation_date": "1700000000000"}}}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text("a2V5OnNlY3JldA==")
    return path


#: What time it is by the cluster of these tests.
TIME = Canned(200, [{"epoch": "1790000000"}])


def cluster(
    bulk: Callable[[list[str]], Canned],
    tasks: Callable[[], Canned] = lambda: Canned(200, {"tasks": []}),
    time: Canned = TIME,
) -> Callable[[str, str, bytes], Canned]:
    """A cluster with one backing index, without documents, whose bulk answers are made from the ids asked for."""

    def answer(_method: str, path: str, body: bytes) -> Canned:
        if path.startswith("/_tasks"):
            return tasks()
        if path.startswith("/_cat/health"):
            return time
        if "_bulk" in path:
            return bulk([json.loads(line)["create"]["_id"] for line in body.splitlines()[::2]])
        if "_mget" in path:
            index = path.split("/")[1]
            return Canned(
                200, {"docs": [{"_index": index, "_id": one, "found": False} for one in json.loads(body)["ids"]]}
            )
        return Canned(200, MAPPING if "_mapping" in path else INDICES)

    return answer


def items(ids: list[str], *statuses: int, kind: str = "es_rejected_execution_exception") -> Canned:
    made = [
        {
            "create": {
                "_id": one,
                "status": status,
                **({} if status < 300 else {"error": {"type": kind, "reason": "why"}}),
            }
        }
        for one, status in zip(ids, statuses, strict=True)
    ]
    return Canned(200, {"errors": True, "items": made})


def sink_at(url: str, key: Path, **changes: Any) -> ElasticSink:
    return ElasticSink(connect(ElasticSettings(url=url, api_key_file=key, timeout=5)), "t", **changes)


def test_each_item_is_accounted_for(key: Path) -> None:
    with scripted_server(cluster(lambda ids: items(ids, 201, 409, 429, 503, 201))) as url:
        outcome = sink_at(url, key).send(make_rows(5))
    assert (outcome.taken, outcome.already_there, len(outcome.refused)) == (2, 1, 0)
    assert outcome.unsent.ids == make_rows(5).ids[2:4]
    assert isinstance(outcome.fault, SinkBusy)


@pytest.mark.parametrize(("time", "year"), [(TIME, "2026-09-21T"), (Canned(403, {"error": {"type": "x"}}), "20")])
def test_documents_carry_the_clusters_time_of_arrival(key: Path, time: Canned, year: str) -> None:
    """Rules look by it. Where the cluster does not tell, it is ours: a score without it would be seen by no rule."""
    seen: list[str] = []
    answers = cluster(lambda ids: items(ids, *[201] * len(ids)), time=time)

    def answer(method: str, path: str, body: bytes) -> Canned:
        if "_bulk" in path:
            seen.extend(json.loads(line)["event"]["ingested"] for line in body.splitlines()[1::2])
        return answers(method, path, body)

    with scripted_server(answer) as url:
        assert sink_at(url, key).send(make_rows(2)).taken == 2
    assert len(seen) == 2
    assert all(ingested.startswith(year) for ingested in seen)


def under_way(*numbers: int, tag: str = "qscore-logs-qscore.scores-t", seconds: float = 0.0, **more: Any) -> Canned:
    listed = [
        {"node": "n", "id": number, "headers": {"X-Opaque-Id": tag}, "running_time_in_nanos": int(seconds * 1e9)}
        for number in numbers
    ]
    return Canned(200, {"tasks": [*listed, {"node": "n", "id": 99, "headers": {}}], **more})


def test_requests_that_are_under_way_are_waited_for_and_later_ones_are_not(key: Path) -> None:
    """Of those that were there when it was first asked, the last is gone at the third time; others go on for ever."""
    answers = [under_way(1, 2), under_way(2, 3), under_way(3, 4), under_way(3, 4)]
    with scripted_server(cluster(lambda ids: items(ids, *[201] * len(ids)), lambda: answers.pop(0))) as url:
        assert sink_at(url, key).send(make_rows(2)).taken == 2
    assert len(answers) == 1


@pytest.mark.parametrize("tasks", [under_way(1), under_way(node_failures=[{"type": "failed_node_exception"}])])
def test_nothing_is_written_while_an_earlier_request_may_still_be_carried_out(key: Path, tasks: Canned) -> None:
    with scripted_server(cluster(lambda _ids: pytest.fail("written"), lambda: tasks)) as url:
        outcome = sink_at(url, key, under_way_seconds=0.2).send(make_rows(2))
    assert len(outcome.unsent) == 2
    assert isinstance(outcome.fault, SinkBusy)


@pytest.mark.parametrize(("seconds", "taken"), [(0.2, 2), (9.0, 0)])
def test_rows_of_an_earlier_leader_wait_for_requests_of_its_time_alone(key: Path, seconds: float, taken: int) -> None:
    """Younger ones are those of the other delivery processes, which write at the same time without end."""
    tasks = under_way(1, seconds=seconds)
    with scripted_server(cluster(lambda ids: items(ids, *[201] * len(ids)), lambda: tasks)) as url:
        assert sink_at(url, key, under_way_seconds=0.2).session(0.0, repeated=False).send(make_rows(2)).taken == taken


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_cluster_that_does_not_list_requests_is_written_to_all_the_same(key: Path, status: int) -> None:
    """A key without `monitor`, or Elasticsearch serverless, which has no such interface."""
    refusal = Canned(status, {"error": {"type": "security_exception", "reason": "no"}})
    with scripted_server(cluster(lambda ids: items(ids, *[201] * len(ids)), lambda: refusal)) as url:
        assert sink_at(url, key).send(make_rows(2)).taken == 2


def test_rows_that_are_sent_for_the_first_time_wait_for_nothing(key: Path) -> None:
    with scripted_server(cluster(lambda ids: items(ids, *[201] * len(ids)), lambda: pytest.fail("asked"))) as url:
        assert sink_at(url, key).session(2e9, repeated=False).send(make_rows(2)).taken == 2


@pytest.mark.parametrize("status", [400, 404, 413])
def test_a_document_that_is_at_fault_is_refused_with_its_own_reason(key: Path, status: int) -> None:
    with scripted_server(cluster(lambda ids: items(ids, 201, status, kind="document_parsing_exception"))) as url:
        outcome = sink_at(url, key).send(make_rows(2))
    assert (outcome.taken, len(outcome.unsent), outcome.fault) == (1, 0, None)
    assert outcome.refused[0].reason == f"why (document_parsing_exception, status {status})"


def test_what_a_document_holds_stays_out_of_the_log(key: Path, tmp_path: Path) -> None:
    """Elasticsearch quotes the value that it could not map; the dead letter may say so, a log line may not."""
    quoted = "failed to parse field [user.name] of type [ip]. Preview of field's value: 'alice'"

    def bulk(ids: list[str]) -> Canned:
        error = {"type": "document_parsing_exception", "reason": quoted}
        return Canned(200, {"errors": True, "items": [{"create": {"_id": ids[0], "status": 400, "error": error}}]})

    letters = DeadLetters(tmp_path / "dead.sqlite")
    with scripted_server(cluster(bulk)) as url:
        result = deliver(make_rows(1), sink_at(url, key).session(0.0, repeated=True), letters, final=False)
    assert result.ack.dead == 1
    assert "alice" in letters.list()[0].reason
    assert "alice" not in result.reason
    assert "document_parsing_exception" in result.reason


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        ("index_not_found_exception", 404, SinkRefused),
        ("security_exception", 403, SinkRefused),
        ("cluster_block_exception", 403, SinkBusy),
        ("index_closed_exception", 400, SinkBusy),
        ("unavailable_shards_exception", 503, SinkBusy),
    ],
)
def test_faults_of_the_stream_are_nobodys_document(key: Path, kind: str, status: int, expected: type) -> None:
    with scripted_server(cluster(lambda ids: items(ids, status, status, kind=kind))) as url:
        outcome = sink_at(url, key).send(make_rows(2))
    assert isinstance(outcome.fault, expected)
    assert (len(outcome.unsent), outcome.refused) == (2, ())


@pytest.mark.parametrize(("status", "pause"), [(429, "7"), (503, "2.5"), (502, ""), (500, "soon")])
def test_a_busy_cluster_names_its_pause(key: Path, status: int, pause: str) -> None:
    busy = Canned(status, {"error": {"type": "x", "reason": "too much"}, "status": status}, {"Retry-After": pause})
    with scripted_server(cluster(lambda _ids: busy)) as url:
        outcome = sink_at(url, key).send(make_rows(3))
    assert isinstance(outcome.fault, SinkBusy)
    assert outcome.fault.retry_after == {"7": 7.0, "2.5": 2.5}.get(pause)
    assert len(outcome.unsent) == 3


def test_after_an_unknown_outcome_the_ids_are_looked_up_before_they_are_sent_again(key: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    answers = [Canned(503, {}), None]

    def bulk(ids: list[str]) -> Canned:
        return answers.pop(0) or items(ids, *[201] * len(ids))

    inner = cluster(bulk)

    def answer(method: str, path: str, body: bytes) -> Canned:
        asked.append(path.partition("?")[0].rpartition("/")[2])
        return inner(method, path, body)

    with scripted_server(answer) as url:
        session = sink_at(url, key).session(2e9, repeated=False)
        result = deliver(make_rows(3), session, DeadLetters(tmp_path / "d.sqlite"), final=False)
    assert result.ack.written == 3
    assert [what for what in asked if what in ("_bulk", "_mget")] == ["_bulk", "_mget", "_bulk"]


def test_a_request_that_is_too_large_is_halved_down_to_one_document(key: Path) -> None:
    def bulk(ids: list[str]) -> Canned:
        small = len(ids) == 1 and ids[0] != make_rows(4).ids[2]
        return items(ids, 201) if small else Canned(413, b"too large")

    with scripted_server(cluster(bulk)) as url:
        outcome = sink_at(url, key).send(make_rows(4))
    assert (outcome.taken, len(outcome.refused), len(outcome.unsent)) == (3, 1, 0)
    assert "413" in outcome.refused[0].reason


def test_opensearch_is_named(key: Path) -> None:
    with scripted_server(lambda *_: Canned(200, {"version": {"distribution": "opensearch"}}, product=False)) as url:
        outcome = sink_at(url, key).send(make_rows(1))
    assert isinstance(outcome.fault, SinkRefused)
    assert "OpenSearch" in outcome.fault.sentence()


def test_a_server_that_is_not_there_is_busy(key: Path) -> None:
    outcome = sink_at("http://127.0.0.1:9", key).send(make_rows(2))
    assert isinstance(outcome.fault, SinkBusy)
    assert "elastic.url" in outcome.fault.sentence()
    assert len(outcome.unsent) == 2


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["items", "create", "_id", "status", "error", "type"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def test_whatever_is_answered_every_row_is_counted_once(key: Path) -> None:
    answered: list[Any] = []
    rows = make_rows(2)
    with scripted_server(lambda *_: Canned(200, answered[-1])) as url:
        sink = sink_at(url, key)

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(ANYTHING | st.lists(ANYTHING, min_size=2, max_size=2).map(lambda two: {"items": two}))
        def check(answer: Any) -> None:
            answered.append(answer)
            outcome = sink.send(rows)
            assert outcome.taken == 0
            assert outcome.already_there + len(outcome.refused) + len(outcome.unsent) == 2
            assert outcome.fault is not None or not outcome.unsent

        check()
