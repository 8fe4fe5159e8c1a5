"""The sink on a real Elasticsearch with the runtime key: every row ends up there once, or is accounted for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.elastic.sink import ElasticSink
from scorer.delivery.replay import replay
from scorer.delivery.rows import joined
from scorer.delivery.sink import Refused, SendOutcome, SinkBusy, SinkRefused
from scorer.elastic_client.lookup import backing_indices, existing_ids, present_ids
from scorer.elastic_client.settings import ElasticSettings
from scorer.rows.identity import Writer
from scorer.service.settings import Settings
from scorer.service.worker.sinks import make_sink
from tests.elastic.conftest import Server
from tests.elastic.sink_tools import make_elastic_sink, rows_of, sources, stream_ids, under_flood_stage
from tests.unit.delivery.builders import changed
from tests.unit.elastic_client.servers import CuttingProxy

MakeKey = Callable[[str], Path]


@pytest.fixture
def key(installed: Server, key_file: MakeKey) -> Path:
    return key_file(installed.runtime_key())


@pytest.fixture
def sink(installed: Server, key: Path, namespace: str) -> ElasticSink:
    return make_elastic_sink(installed.url, key, namespace)


def counts(outcome: SendOutcome) -> tuple[int, int, int, int]:
    return outcome.taken, outcome.already_there, len(outcome.refused), len(outcome.unsent)


def once(ids: list[str]) -> dict[str, int]:
    return dict.fromkeys(ids, 1)


def test_a_first_send_makes_the_stream_and_a_second_finds_everything_there(
    sink: ElasticSink, installed: Server
) -> None:
    rows = rows_of(25)
    assert counts(sink.session(2e9, repeated=False).send(rows)) == (25, 0, 0, 0)
    # Not looked up, but created: 409 is what says that they are there.
    assert counts(sink.session(2e9, repeated=False).send(rows)) == (0, 25, 0, 0)
    assert counts(sink.send(rows)) == (0, 25, 0, 0)
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)


def test_the_document_is_what_kibana_and_its_rules_read(sink: ElasticSink, installed: Server) -> None:
    rows = rows_of(1, origin_id=["doc-1"], index=[".ds-logs-x-000001"])
    assert sink.send(rows).taken == 1
    found = sources(installed.admin, sink.stream)[rows.ids[0]]
    assert found["event"]["kind"] == "enrichment"
    assert found["event"]["ingested"]  # by the pipeline
    assert found["data_stream"]["namespace"] == sink.namespace
    hits = installed.admin.search(
        index=sink.stream, query={"query_string": {"query": "event.risk_score:80 AND qscore.source.id:doc-1"}}
    )
    assert hits["hits"]["total"]["value"] == 1


@pytest.mark.parametrize("known_since", [True, False])
def test_a_rollover_of_the_scores_between_two_sends_gives_no_duplicate(
    sink: ElasticSink, installed: Server, known_since: bool
) -> None:
    rows = rows_of(40)
    since = installed.now() if known_since else 0.0
    assert sink.session(since, repeated=False).send(rows[:30]).taken == 30
    installed.admin.indices.rollover(alias=sink.stream)
    assert counts(sink.session(since, repeated=False).send(rows)) == (10, 30, 0, 0)
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)
    names = [index.name for index in backing_indices(sink.client, sink.stream)]
    assert len(names) == 2
    assert existing_ids(sink.client, names, [rows.ids[0], rows.ids[39], "none"]) == {
        rows.ids[0]: [names[0]],
        rows.ids[39]: [names[1]],
    }


def test_without_the_look_up_a_rollover_would_give_duplicates(sink: ElasticSink, installed: Server) -> None:
    """What the look-up is for: rows that are said to be new, and are not, are in two backing indices."""
    rows = rows_of(5)
    sink.send(rows)
    installed.admin.indices.rollover(alias=sink.stream)
    assert sink.session(installed.now() + 3600, repeated=False).send(rows).taken == 5
    assert set(stream_ids(installed.admin, sink.stream).values()) == {2}


def test_an_uncertain_write_and_a_rollover_give_no_duplicate(installed: Server, key: Path, namespace: str) -> None:
    rows = rows_of(30)
    with CuttingProxy(installed.url) as proxy:
        sink = make_elastic_sink(proxy.url, key, namespace, bulk_documents=10)
        assert sink.send(rows[:1]).taken == 1
        session = sink.session(installed.now() + 3600, repeated=False)
        proxy.cuts = 1
        first = session.send(rows[1:])
        assert isinstance(first.fault, SinkBusy)
        assert counts(first) == (0, 0, 0, 29)
        assert stream_ids(installed.admin, sink.stream) == once(rows.ids[:11])  # ten were written all the same
        installed.admin.indices.rollover(alias=sink.stream)
        assert counts(session.send(first.unsent)) == (19, 10, 0, 0)
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)


def test_a_lost_request_that_the_cluster_carries_out_later_gives_no_duplicate(
    installed: Server, key: Path, sink: ElasticSink, namespace: str
) -> None:
    """The connection is lost while the request waits for a shard; the stream rolls over; only then it is carried out,
    into the older index. Without waiting for it, the rows would stand in both."""
    admin, rows = installed.admin, rows_of(6)
    assert sink.send(rows[:1]).taken == 1
    (first,) = [index.name for index in backing_indices(admin, sink.stream)]
    held = {"index.auto_expand_replicas": False, "index.number_of_replicas": 1}
    admin.indices.put_settings(index=first, settings={**held, "index.write.wait_for_active_shards": "all"})
    impatient = make_elastic_sink(installed.url, key, namespace, timeout=0.5)
    impatient.check_stream()
    session = impatient.session(2e9, repeated=False)
    assert counts(session.send(rows)) == (0, 0, 0, 6)
    assert session.uncertain
    admin.indices.rollover(alias=sink.stream)
    later = sink.session(2e9, repeated=True)  # another process, which knows of the first run alone
    waiting = later.send(rows)
    assert counts(waiting) == (0, 0, 0, 6)
    assert isinstance(waiting.fault, SinkBusy)
    assert "still under way" in waiting.fault.detail
    admin.indices.put_settings(index=first, settings={"index.number_of_replicas": 0})
    assert counts(later.send(rows)) == (0, 6, 0, 0)
    assert stream_ids(admin, sink.stream) == once(rows.ids)


def test_a_copy_that_a_mapping_of_the_users_has_no_place_for_costs_no_score(
    sink: ElasticSink, installed: Server
) -> None:
    assert sink.send(rows_of(1)).taken == 1
    mine = {"winlog": {"properties": {"event_data": {"type": "keyword"}}}}
    installed.admin.indices.put_mapping(index=sink.stream, properties=mine)
    fields = ['{"winlog.event_data.x": "copied"}', '{"user.name.first": "copied"}', '{"user.id": "copied"}']
    rows = changed(rows_of(4, qscore_fields=["", *fields])[1:], 1, entities={})
    assert counts(sink.send(rows)) == (3, 0, 0, 0)
    found = sources(installed.admin, sink.stream)
    flags = [found[identity]["qscore"].get("flags") for identity in rows.ids]
    assert flags == [["copied_field_left_out"], ["copied_field_left_out"], None]
    assert found[rows.ids[2]]["user"]["id"] == "copied"


def test_a_mapping_conflict_refuses_its_own_document_alone(
    sink: ElasticSink, installed: Server, namespace: str
) -> None:
    """A pipeline of the user's that makes nonsense of one document."""
    admin, rows, pipeline = installed.admin, rows_of(6), f"e2-{namespace}"
    nonsense = {"if": "ctx.user?.name == 'user2'", "field": "user.name", "value": {"first": "x"}}
    admin.ingest.put_pipeline(id=pipeline, processors=[{"set": nonsense}])
    assert sink.send(rows[:1]).taken == 1
    admin.indices.put_settings(index=sink.stream, settings={"index.final_pipeline": pipeline})
    rows = changed(rows, 2, fields={"host.id": "h2"})  # which are not to blame
    outcome = sink.send(rows)
    admin.indices.put_settings(index=sink.stream, settings={"index.final_pipeline": "_none"})
    admin.ingest.delete_pipeline(id=pipeline)
    assert counts(outcome) == (4, 1, 1, 0)
    assert outcome.refused[0].rows.ids == rows.ids[2:3]
    assert "user.name" in outcome.refused[0].reason
    assert rows.ids[2] not in stream_ids(installed.admin, sink.stream)


def test_a_flood_stage_block_is_busy_and_nothing_is_lost(sink: ElasticSink, installed: Server) -> None:
    rows = rows_of(16)
    sink.send(rows[:1])
    outcome = under_flood_stage(
        installed.admin, sink.stream, lambda attempt: sink.send(joined([rows[:1], rows[1 + 3 * attempt :][:3]]))
    )
    assert isinstance(outcome.fault, SinkBusy)
    assert "flood-stage" in outcome.fault.sentence()
    assert counts(outcome) == (0, 1, 0, 3)
    assert counts(sink.send(outcome.unsent)) == (3, 0, 0, 0)


def test_a_revoked_key_is_refused_with_what_to_do(installed: Server, key_file: MakeKey, namespace: str) -> None:
    encoded = installed.runtime_key()
    sink = make_elastic_sink(installed.url, key_file(encoded), namespace)
    rows = rows_of(3)
    assert sink.send(rows[:1]).taken == 1
    installed.revoke(encoded)
    outcome = sink.send(rows)
    assert isinstance(outcome.fault, SinkRefused)
    assert "elastic.api_key_file" in outcome.fault.sentence()
    assert outcome.unsent.ids == rows.ids


def test_a_key_without_the_privilege_is_told_which(installed: Server, key_file: MakeKey, namespace: str) -> None:
    role = {
        "cluster": ["monitor"],
        "indices": [{"names": ["logs-qscore.scores-*"], "privileges": ["read", "view_index_metadata"]}],
    }
    sink = make_elastic_sink(installed.url, key_file(installed.api_key("reader", role)), namespace)
    outcome = sink.send(rows_of(2))
    assert isinstance(outcome.fault, SinkRefused)
    assert "create_doc" in outcome.fault.sentence()
    assert len(outcome.unsent) == 2


def test_large_documents_travel_alone_and_within_the_limits(installed: Server, key: Path, namespace: str) -> None:
    sink = make_elastic_sink(installed.url, key, namespace, bulk_bytes=64 * 1024)
    rows = changed(rows_of(7), 3, reason="x" * 5_000_000)
    assert counts(sink.send(rows)) == (7, 0, 0, 0)
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)


def test_sends_of_the_same_rows_at_once_write_each_once(installed: Server, key: Path, namespace: str) -> None:
    rows = rows_of(300)
    sink = make_elastic_sink(installed.url, key, namespace, bulk_documents=50)
    outcomes: list[SendOutcome] = []

    def send() -> None:
        left = rows
        for _ in range(50):  # a shard that is starting is busy, and is asked again
            outcomes.append(sink.send(left))
            left = outcomes[-1].unsent
            if not left:
                return

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(outcome.taken for outcome in outcomes) == 300
    assert sum(outcome.already_there for outcome in outcomes) == 900
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)


def test_a_closed_backing_index_is_busy_until_it_is_opened(sink: ElasticSink, installed: Server) -> None:
    rows = rows_of(4)
    sink.send(rows[:2])
    old = backing_indices(sink.client, sink.stream)[0].name
    installed.admin.indices.rollover(alias=sink.stream)
    installed.admin.indices.close(index=old)
    outcome = sink.send(rows)
    assert isinstance(outcome.fault, SinkBusy)
    assert "closed" in outcome.fault.sentence()
    assert counts(outcome) == (0, 0, 0, 4)
    installed.admin.indices.open(index=old)
    installed.admin.cluster.health(index=old, wait_for_status="yellow", timeout="20s")
    assert counts(sink.send(rows)) == (2, 2, 0, 0)


def test_a_deleted_backing_index_holds_nothing(sink: ElasticSink, installed: Server) -> None:
    rows = rows_of(3)
    sink.send(rows)
    old = backing_indices(sink.client, sink.stream)[0].name
    installed.admin.indices.rollover(alias=sink.stream)
    installed.admin.indices.delete(index=old)
    assert existing_ids(sink.client, [old], rows.ids[:1]) == {}
    assert present_ids(sink.client, sink.stream, rows.ids) == set()
    assert sink.send(rows).taken == 3


def test_a_stream_without_our_template_is_refused(installed: Server, key_file: MakeKey, namespace: str) -> None:
    role = {"indices": [{"names": ["logs-plain.*"], "privileges": ["all"]}], "cluster": ["monitor"]}
    sink = make_elastic_sink(installed.url, key_file(installed.api_key("plain", role)), namespace)
    outcome = _Elsewhere(sink.client, namespace).send(rows_of(2))
    assert isinstance(outcome.fault, SinkRefused)
    assert "qscore elastic install" in outcome.fault.sentence()
    assert len(outcome.unsent) == 2


class _Elsewhere(ElasticSink):
    """Writes where no template of ours matches."""

    @property
    def stream(self) -> str:
        return f"logs-plain.{self.namespace}"


def test_an_index_in_the_place_of_the_stream_is_refused(installed: Server, key_file: MakeKey, namespace: str) -> None:
    role = {"indices": [{"names": ["logs-plain.*"], "privileges": ["all"]}], "cluster": ["monitor"]}
    installed.admin.indices.create(index=f"logs-plain.{namespace}")
    sink = make_elastic_sink(installed.url, key_file(installed.api_key("plain", role)), namespace)
    outcome = _Elsewhere(sink.client, namespace).send(rows_of(2))
    installed.admin.indices.delete(index=f"logs-plain.{namespace}")
    assert isinstance(outcome.fault, SinkRefused)
    assert "not a data stream" in outcome.fault.sentence()


def test_dead_letters_replay_into_their_own_stream_once(
    sink: ElasticSink, installed: Server, key: Path, tmp_path: Path
) -> None:
    rows, store = rows_of(12), DeadLetters(tmp_path / "dead.sqlite")
    store.add(sink.name, [Refused(rows, "was down")])
    sink.send(rows[:5])  # some were written before their run broke off
    installed.admin.indices.rollover(alias=sink.stream)
    settings = Settings(elastic=ElasticSettings(url=installed.url, api_key_file=key))
    result = replay(store, make_sink(settings, sink.name))
    assert (result.sent, result.refused, result.left) == (12, 0, 0)
    assert store.counts() == {}
    assert stream_ids(installed.admin, sink.stream) == once(rows.ids)


def test_error_rows_are_documents_of_their_own_kind(sink: ElasticSink, installed: Server) -> None:
    row = changed(rows_of(1), error="missing_feature: events is empty; build the rows with the macro")
    assert sink.send(row).taken == 1
    found = sources(installed.admin, sink.stream)[row.ids[0]]
    assert found["event"]["kind"] == "pipeline_error"
    assert found["error"]["code"] == "missing_feature"
    assert "score" not in found["qscore"]
    assert "risk_score" not in found["event"]


def test_what_0_1_0_wrote_is_not_written_again_under_its_new_id(sink: ElasticSink, installed: Server) -> None:
    before, now = rows_of(30)[:20], rows_of(30, Writer.connector("default", "dc"), old_ids=True)
    assert sink.send(before).taken == 20
    installed.admin.indices.rollover(alias=sink.stream)
    assert counts(sink.send(now)) == (10, 20, 0, 0)
    assert stream_ids(installed.admin, sink.stream) == once([*before.ids, *now.ids[20:]])


@pytest.mark.parametrize("looked_up", [True, False])
def test_a_second_value_under_one_id_is_told_and_the_first_stays(sink: ElasticSink, looked_up: bool) -> None:
    """By the look-up and by 409: what somebody sends in a score's place cannot take it, and is seen."""
    rows = rows_of(4)
    forged = changed(changed(rows, 1, probability=0.99), 2, alert=True)
    assert sink.send(rows).taken == 4
    with structlog.testing.capture_logs() as logs:
        assert counts(sink.session(0.0 if looked_up else 2e9, repeated=False).send(forged)) == (0, 4, 0, 0)
    told = {one["qscore_id"]: one for one in logs if one["event"] == "score_conflict"}
    assert set(told) == {rows.ids[1], rows.ids[2]}
    assert (told[rows.ids[1]]["kept"], told[rows.ids[1]]["refused"]) == (0.11, 0.99)
    assert (told[rows.ids[2]]["kept_alert"], told[rows.ids[2]]["refused_alert"]) == (False, True)


def test_the_same_value_again_is_no_conflict(sink: ElasticSink) -> None:
    rows = rows_of(4)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            sink.send(rows)
        sink.session(2e9, repeated=False, compared=False).send(changed(rows, 1, probability=0.99))
    assert not [one for one in logs if "conflict" in one["event"]]
