"""Documents: what a rule reads stands where it looks, and nothing is overwritten by what was copied."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.delivery.elastic.document import document_lines
from scorer.delivery.elastic.techniques import TECHNIQUES, threat
from scorer.delivery.rows import ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.elastic_client.copies import LEAVES, OBJECTS, OWN_ROOTS
from scorer.rows.defects import Defect
from scorer.rows.identity import row_identity, score_id
from scorer.rows.recipe import load_recipe
from tests.unit.delivery.builders import changed, documents_of, make_batches, make_card, make_rows, objects_of
from tests.unit.rows.statuses import defects_of

RECIPE = {"row": {"span": 600}}
FACTS = ScoringFacts(errors=True, sha256="ab" * 32, scored=1_700_000_000.5)


def rows(count: int = 1, status: str = "ok", **context: list[str]) -> ScoredRows:
    batch, scores = make_batches(count, **context)
    card = make_card(details={"mitre": ["T1021"], "recipe": RECIPE})
    return scored_rows(batch, replace(scores, defects=defects_of([status] * count)), card, FACTS).rows


def test_a_score_is_an_enrichment_with_an_integer_risk() -> None:
    (made,) = documents_of(rows(1, origin_id=["doc-7"], index=["logs-a"], port_class=["web"]), "lab")
    assert made["@timestamp"] == "2023-11-14T22:20:00.000Z"
    event = made["event"]
    assert (event["kind"], event["risk_score"], event["severity"], event["module"]) == ("enrichment", 80, 73, "qscore")
    assert isinstance(event["risk_score"], int)
    assert (event["start"], event["end"]) == ("2023-11-14T22:20:00.000Z", "2023-11-14T22:30:00.000Z")
    assert event["duration"] == 600 * 10**9
    assert event["created"] == "2023-11-14T22:13:20.500Z"
    assert "ingested" not in event  # not sent yet
    assert made["data_stream"] == {"type": "logs", "dataset": "qscore.scores", "namespace": "lab"}
    score = made["qscore"]
    assert (score["score"], score["decision"], score["prediction"], score["band"]) == (0.1, False, 0, "high")
    assert (score["threshold"], score["pvalue"], score["classical"], score["status"]) == (0.8, 0.01, 0.25, "ok")
    assert score["model"] == {
        "id": "lateral-1-starter",
        "name": "lateral",
        "version": "1-starter",
        "title": "Lateral movement by authentication",
        "serve": "quantum",
        "family": "svc",
        "sha256": "ab" * 32,
        "starter": True,
    }
    assert score["source"] == {"id": "doc-7", "index": "logs-a"}
    assert (score["job"], score["revision"], score["port_class"]) == ({"id": "batch-0001"}, 0, "web")
    assert made["threat"]["tactic"] == {"id": ["TA0008"], "name": ["Lateral Movement"]}


@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        (
            {"user": "eve", "src": "10.0.0.1", "dest": "srv1"},
            {
                "user": {"name": "eve"},
                "host": {"name": "srv1"},
                "source": {"address": "10.0.0.1", "ip": "10.0.0.1"},
                "destination": {"address": "srv1"},
                "related": {"ip": ["10.0.0.1"], "hosts": ["srv1"], "user": ["eve"]},
            },
        ),
        (
            {"src": "pc7", "dest": "fe80::1%eth0", "host": "gw"},
            {
                "host": {"name": "gw"},
                "source": {"address": "pc7"},
                "destination": {"address": "fe80::1%eth0", "ip": "fe80::1"},
                "related": {"ip": ["fe80::1"], "hosts": ["gw", "pc7"]},
            },
        ),
        ({"user": "unknown", "src": "unknown", "dest": "999.1.1.1"}, {
            "host": {"name": "999.1.1.1"},
            "destination": {"address": "999.1.1.1"},
            "related": {"hosts": ["999.1.1.1"]},
        }),
    ],
)  # fmt: skip
def test_entities_stand_where_ecs_has_them(entities: dict[str, str], expected: dict[str, Any]) -> None:
    (made,) = documents_of(changed(rows(), entities=entities))
    parts = ("user", "host", "source", "destination", "related")
    assert {name: made[name] for name in parts if name in made} == expected


def test_a_row_that_was_not_scored_is_an_error_and_never_a_score_of_zero() -> None:
    status = "missing_feature: events is empty; build the rows with the macro m"
    (made,) = documents_of(rows(1, status=status))
    assert made["event"]["kind"] == "pipeline_error"
    assert made["error"] == {"message": status, "code": "missing_feature"}
    assert made["qscore"]["status"] == status
    assert not {"score", "prediction", "prediction_probability", "decision", "pvalue"} & set(made["qscore"])
    assert not {"risk_score", "severity"} & set(made["event"])


def test_an_unscored_row_has_its_scores_id_and_a_time_of_now_where_it_has_none() -> None:
    batch, scores = make_batches(2, _time=["", "1700000400"], origin_id=["a", "b"])
    scores = replace(scores, defects=defects_of(["not_a_number: x is 'y'", "ok"]))
    found, skipped = scored_rows(batch, scores, make_card(), FACTS)
    identity = row_identity(batch.context, 0)
    assert identity is not None
    assert found.ids[0] == score_id("lateral", "1-starter", identity)
    objects = objects_of(found)
    assert (objects[0]["time"], skipped) == (1_700_000_000.5, ())
    assert [row.get("error", "") for row in objects] == ["not_a_number: x is 'y'", ""]


def test_a_revision_enters_the_id_and_flags_and_copies_travel() -> None:
    fields = {"host.os.name": "Linux", "process.name": ["a", "b"]}
    context = {
        "qscore_revision": ["", "2", "x"],
        "qscore_fields": [json.dumps(fields), "[1]", ""],
        "qscore_flags": ["cardinality_approximate,other", "", ""],
    }
    batch, scores = make_batches(3, **context)
    found, skipped = scored_rows(batch, scores, make_card(), FACTS)
    assert skipped == (2,)
    identity = row_identity(batch.context, 1)
    assert identity is not None
    assert found.ids[1] == score_id("lateral", "1-starter", identity, 2) != score_id("lateral", "1-starter", identity)
    made = documents_of(found)
    assert made[1]["qscore"]["row"]["id"] == score_id("lateral", "1-starter", identity)
    assert made[0]["qscore"]["flags"] == ["cardinality_approximate", "other"]
    assert (made[0]["host"]["os"], made[0]["process"]) == ({"name": "Linux"}, {"name": ["a", "b"]})
    assert (made[1]["qscore"]["revision"], made[1]["qscore"]["flags"]) == (2, ["fields_dropped"])


@pytest.mark.parametrize(
    "text", ["{", "[" * 5000, '{"a": 5}', '{"a": [1]}', json.dumps({"a": "x" * 9000}), '{"a": {"b": "c"}}', "7"]
)
def test_copies_that_cannot_be_read_are_left_out_and_said(text: str) -> None:
    found = rows(1, qscore_fields=[text])
    (row,) = objects_of(found)
    assert "fields" not in row
    assert row["flags"] == ["fields_dropped"] == documents_of(found)[0]["qscore"]["flags"]


@pytest.mark.parametrize(
    "name",
    [
        "qscore.score", "event.kind", "event.risk_score", "data_stream.namespace", "@timestamp", "_id", "signal.x",
        "kibana.alert.uuid", "host.risk.calculated_score", "user.risk.static_level", "error.code", "threat.framework",
        "", "a..b", ".".join("a" * 30),
    ],
)  # fmt: skip
def test_a_copy_never_takes_the_place_of_what_is_ours(name: str) -> None:
    (plain,) = documents_of(rows())
    (made,) = documents_of(changed(rows(), fields={name: "copied"}))
    assert made["qscore"].pop("flags") == ["copied_field_left_out"]
    assert made == plain


def test_a_copied_text_never_stands_where_the_template_has_an_object(repository: Path) -> None:
    """Elasticsearch would refuse the whole document: a score lost for the sake of a copy."""
    listed = tomllib.loads((repository / "elastic_connector" / "assets" / "fields.toml").read_text("utf-8"))
    parents = {name.rpartition(".")[0] for name in (*listed["constant"], *listed["fields"]) if "." in name}
    row = changed(rows(), entities={})
    (plain,) = documents_of(row)
    for name in {".".join(parent.split(".")[: at + 1]) for parent in parents for at in range(parent.count(".") + 1)}:
        (made,) = documents_of(changed(row, fields={name: "copied"}))
        assert made["qscore"].pop("flags") == ["copied_field_left_out"]
        assert made == plain, name


def test_the_listed_places_of_copies_are_those_of_the_template(repository: Path) -> None:
    listed = tomllib.loads((repository / "elastic_connector" / "assets" / "fields.toml").read_text("utf-8"))["fields"]
    foreign = {name: kind for name, (kind, *_) in listed.items() if name.partition(".")[0] not in OWN_ROOTS}
    assert {name for name, kind in foreign.items() if kind != "flattened"} == LEAVES
    assert {name for name, kind in foreign.items() if kind == "flattened"} <= OBJECTS


@pytest.mark.parametrize("name", ["user.name.first", "source.ip.v4", "process.parent.name.caseless.x", "tags.x"])
@pytest.mark.parametrize("entities", [{}, {"user": "eve", "src": "10.0.0.1"}])
def test_a_copy_below_a_single_value_is_left_out_and_flagged(name: str, entities: dict[str, str]) -> None:
    """Elasticsearch would refuse the whole document: an object stands where a keyword is mapped."""
    row = changed(rows(1, qscore_flags=["other"]), entities=entities)
    (plain,) = documents_of(row)
    (made,) = documents_of(changed(row, fields={name: "copied", "agent.id": "a7"}))
    assert made["qscore"].pop("flags") == ["other", "copied_field_left_out"]
    assert made.pop("agent") == {"id": "a7"}
    assert plain["qscore"].pop("flags") == ["other"]
    assert made == plain


def test_labels_take_what_stands_below_them_and_no_text() -> None:
    (made,) = documents_of(changed(rows(), fields={"labels": "text", "labels.env": "lab"}))
    assert made["labels"] == {"env": "lab"}


def test_a_window_may_count_more_documents_than_an_integer_holds(repository: Path) -> None:
    (made,) = documents_of(rows(1, qscore_revision=["3000000000"]))
    assert made["qscore"]["revision"] == 3_000_000_000
    listed = tomllib.loads((repository / "elastic_connector" / "assets" / "fields.toml").read_text("utf-8"))
    assert listed["fields"]["qscore.revision"][0] == "long"


def test_copies_stand_beside_what_is_there() -> None:
    copies = {"host.id": "h1", "event.code": "4624", "host.name": "x", "agent.name": "a"}
    made, other = documents_of(changed(rows(2), fields=copies))
    assert "flags" not in made["qscore"]
    assert made["host"] == {"name": "srv00", "id": "h1"}
    assert made["event"]["code"] == "4624"
    assert made["user"] == {"name": "user0"}
    assert made["agent"] == {"name": "a"}
    assert other["event"].get("code") is None  # the next row's document has nothing of it


def test_a_bare_document_says_that_its_copies_are_left_out() -> None:
    fields = {"host.id": "h1"}
    (plain,), (bare,) = documents_of(rows()), documents_of(changed(rows(), fields=fields), bare=True)
    assert bare["qscore"].pop("flags") == ["copied_field_left_out"]
    assert bare == plain


def test_rows_of_a_search_make_documents_too() -> None:
    (made,) = documents_of(make_rows(1))
    assert made["event"]["kind"] == "enrichment"
    assert "threshold" not in made["qscore"]


def written_as(status: str) -> str:
    return status if status == "ok" else str(Defect.read(status))


@given(
    st.lists(
        st.tuples(
            st.text(max_size=60),
            st.text(max_size=40),
            st.dictionaries(st.text(max_size=12), st.text(max_size=9) | st.lists(st.text(max_size=5), max_size=3)),
            st.sampled_from(["ok", "infinite: x", 'not_a_number: "', "odd"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_rows_hold_becomes_one_action_and_one_document_each(cells: list[Any]) -> None:
    users, srcs, copies, statuses = map(list, zip(*cells, strict=True))
    batch, scores = make_batches(
        len(cells), user=users, src=srcs, qscore_fields=list(map(json.dumps, copies)), qscore_flags=srcs
    )
    found, _ = scored_rows(batch, replace(scores, defects=defects_of(statuses)), make_card(), FACTS)
    *lines, end = document_lines(found, "default").body().split(b"\n")
    assert (end, len(lines)) == (b"", 2 * len(cells))
    assert [orjson.loads(line) for line in lines[::2]] == [{"create": {"_id": identity}} for identity in found.ids]
    assert [orjson.loads(line)["qscore"]["status"] for line in lines[1::2]] == [
        written_as(status) for status in statuses
    ]


def _leaves(made: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in made.items():
        found |= _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def test_every_field_of_a_document_is_mapped_by_the_template(repository: Path) -> None:
    listed = tomllib.loads((repository / "elastic_connector" / "assets" / "fields.toml").read_text("utf-8"))
    mapped = {*listed["constant"], *listed["fields"]}
    context = {name: [f"{name} of the row"] for name in ("host", "port_class", "origin_id", "index", "sourcetype")}
    context |= {"qscore_flags": ["x"], "qscore_revision": ["1"]}
    for status in ("ok", "infinite: x is infinite"):
        for dest in ("10.0.0.2", "srv"):
            (made,) = documents_of(rows(1, status=status, dest=[dest], **context))
            assert _leaves(made) <= mapped


@pytest.mark.parametrize("name", ["lateral", "lateral_flow"])
def test_every_technique_that_ships_has_its_tactic(name: str) -> None:
    techniques = load_recipe(name).mitre
    assert techniques
    for technique in techniques:
        assert technique in TECHNIQUES
        assert threat((technique,))["tactic"]["id"]


def test_an_unknown_technique_keeps_its_id() -> None:
    assert threat(("T9999", "T1021.002")) == {
        "framework": "MITRE ATT&CK",
        "technique": {"id": ["T9999", "T1021.002"], "name": ["Remote Services"]},
        "tactic": {"id": ["TA0008"], "name": ["Lateral Movement"]},
    }
