"""What the connector shows and sends: health, metrics, heartbeats, Arrow bodies."""

from __future__ import annotations

import urllib.error
import urllib.request

import orjson
import pyarrow as pa
import pytest

from demo.elasticsearch_server import free_port
from elastic_connector.install.score_fields import document_fields
from elastic_connector.lead.batches import halves, in_place_of, new_batch
from elastic_connector.lead.health import health_server
from elastic_connector.lead.heartbeat import heartbeat
from elastic_connector.lead.ledger import Ledger, Totals
from elastic_connector.lead.status import DEGRADED, LEADING, STANDBY, SourceStatus, StatusBoard
from elastic_connector.read.pages import RowPage
from scorer.elastic_client.moments import Millis
from scorer.models.trained import TrainedModel
from scorer.rows.columns import DEFECT_COLUMN
from scorer.rows.defects import Defect
from scorer.scoring.decode import decode
from scorer.wire.errors import (
    ConfigurationError,
    MalformedBody,
    Problem,
    QueueFull,
    ScoringTimeout,
)
from scorer.wire.names import MEDIA_ARROW

NOW = Millis(1_772_352_900_250)


def board(state: str = LEADING, reason: str = "") -> StatusBoard:
    totals = Totals(batches=3, rows=30, written=20, already_there=7, dead=1, retries=2)
    status = SourceStatus(
        "flows", "lateral_flow", "soc", "4", state, reason, "host:1:ab", 5, NOW, Millis(NOW + 50), 12.5, 400, 20,
        documents=30, busy=6, totals=totals,
    )  # fmt: skip
    return StatusBoard([status, SourceStatus("auth", "lateral", "soc", state=STANDBY)])


def fetch(port: int, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_health_endpoint_says_what_each_source_does() -> None:
    shown = board()
    port = free_port()
    with health_server(shown, "127.0.0.1", port) as bound:
        assert bound == port
        assert fetch(port, "/healthz") == (200, b'{"status":"up"}')
        status, body = fetch(port, "/readyz")
        assert (status, orjson.loads(body)["sources"][0]["checkpoint"]) == (200, "2026-03-01T08:15:00.250Z")
        shown.update("flows", state=DEGRADED, reason="the key is gone. Make another.")
        status, body = fetch(port, "/readyz")
        assert (status, orjson.loads(body)["sources"][0]["reason"]) == (503, "the key is gone. Make another.")
        assert fetch(port, "/other")[0] == 404
        assert fetch(port, "/healthz?from=a-probe")[0] == 200
        with pytest.raises(ConfigurationError, match="cannot listen"), health_server(shown, "127.0.0.1", port):
            pass


def test_metrics_hold_every_count_by_source() -> None:
    port = free_port()
    with health_server(board(), "127.0.0.1", port):
        text = fetch(port, "/metrics")[1].decode()
    wanted = {
        "written_total": 20, "conflicts_total": 7, "dead_letters_total": 1, "retries_total": 2, "busy_total": 6,
        "documents_total": 30, "lag_seconds": 12.5, "lag_documents": 400, "in_flight_rows": 20, "epoch": 5,
    }  # fmt: skip
    for name, value in wanted.items():
        assert f'qscore_elastic_{name}{{model="lateral_flow",source="flows"}} {float(value)}\n' in text
    assert 'lag_documents{model="lateral",source="auth"}' not in text, "what is not known is not 0"


def test_every_field_of_a_heartbeat_is_mapped() -> None:
    document = heartbeat(board(DEGRADED, "why")["flows"], NOW)

    def names(node: dict[str, object], before: str = "") -> list[str]:
        found: list[str] = []
        for name, value in node.items():
            found += names(value, f"{before}{name}.") if isinstance(value, dict) else [before + name]
        return found

    assert set(names(document)) <= {field.name for field in document_fields()}
    assert document["event"]["kind"] == "metric", "a heartbeat may not be counted as a score"
    assert document["error"]["message"] == "why"


def table(rows: int) -> pa.Table:
    return pa.table({"events": pa.array([1.0] * rows), "origin_id": [f"d{k}" for k in range(rows)]})


def test_a_page_becomes_a_body_that_workers_read(tiny_model: TrainedModel) -> None:
    batch = new_batch(RowPage(table(3), Millis(77)), server_now=5.0)
    assert (batch.rows, batch.position, batch.first_submitted) == (3, 77, 5.0)
    assert new_batch(RowPage(table(3), None, repeated=True), 5.0).first_submitted == 0.0
    made = decode(batch.body, MEDIA_ARROW, 3, tiny_model, model_name="lateral", batch_id=batch.batch_id, write=True)
    assert list(made.context["origin_id"]) == ["d0", "d1", "d2"]


def test_a_status_of_the_edge_reaches_the_worker_as_a_defect(tiny_model: TrainedModel) -> None:
    marked = table(3).append_column(
        DEFECT_COLUMN, pa.array([None, "multivalue: user.name holds 2 values", "odd\nthing"])
    )
    body = new_batch(RowPage(marked, Millis(1)), 1.0).body
    made = decode(body, MEDIA_ARROW, 3, tiny_model, model_name="lateral", batch_id="b", write=True)
    said, unknown = Defect("multivalue", "user.name holds 2 values"), Defect("not_scored", "odd thing")
    assert made.defects == {1: said, 2: unknown}, "only codes that everybody knows"
    assert DEFECT_COLUMN not in made.context
    plain = decode(body, MEDIA_ARROW, 3, tiny_model, model_name="lateral", batch_id="b", write=False)
    assert plain.defects == {}, "and only where rows are written"


def test_a_batch_that_no_worker_scores_is_cut_down_to_the_row_at_fault() -> None:
    batch = new_batch(RowPage(table(5), Millis(90)), 1.0)
    ledger = Ledger(60.0)
    ledger.add(batch)
    parts = halves(batch, "the worker failed")
    assert [part.rows for part in parts] == [2, 3]
    assert [part.position for part in parts] == [None, 90], "only the end of the batch is its position"
    ledger.split(batch.batch_id, parts)
    assert [b.batch_id for b in ledger.unsent()] == [part.batch_id for part in parts]
    assert ledger.rows_in_flight == 5
    one = halves(halves(parts[0], "why")[0], "the worker failed")
    assert len(one) == 1
    statuses = pa.ipc.open_stream(one[0].body).read_all().column(DEFECT_COLUMN).to_pylist()
    assert statuses == ["not_scored: the worker failed"]
    mixed = new_batch(RowPage(table(2).append_column(DEFECT_COLUMN, pa.array([None, "multivalue: x"])), Millis(1)), 1.0)
    first = halves(halves(mixed, "why")[0], "the worker failed")[0]
    assert pa.ipc.open_stream(first.body).read_all().column(DEFECT_COLUMN).to_pylist() == statuses
    with pytest.raises(MalformedBody, match="refused even as an error"):
        halves(one[0], "again")


def test_a_batch_that_takes_too_long_is_cut_but_a_row_is_not_blamed_for_it() -> None:
    late = Problem.of(ScoringTimeout("batch b of 5 rows took longer than a task may", "Send smaller batches."))
    batch = new_batch(RowPage(table(5), Millis(90)), 1.0)
    assert [(part.rows, part.position) for part in in_place_of(batch, late)] == [(2, None), (3, 90)]
    assert in_place_of(new_batch(RowPage(table(1), Millis(90)), 1.0), late) == (), "it comes again as it is"
    busy = Problem.of(QueueFull("100 batches wait", "Wait."))
    assert in_place_of(batch, busy) == ()
    at_fault = Problem.of(MalformedBody("the body is no Arrow", "Look."))
    assert [part.rows for part in in_place_of(batch, at_fault)] == [2, 3]
