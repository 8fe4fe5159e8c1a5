"""What is installed and packaged: made from one folder, agreeing with the documents, asking for nothing paid."""

from __future__ import annotations

import importlib.util
import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from elastic_connector.install.asset_files import Capabilities, Names, cluster_assets
from elastic_connector.install.changes import json_diff
from elastic_connector.install.dashboard import dashboard, load_dashboard, saved_objects
from elastic_connector.install.doctor.checks import check_version
from elastic_connector.install.fleet_package import package_files
from elastic_connector.install.kibana_assets import kibana_files
from elastic_connector.install.privileges import INSTALLER, RUNTIME, runtime_role
from elastic_connector.install.rules import kql_fields, load_rules, ndjson, stopped_rule
from elastic_connector.install.score_fields import document_fields, field_types, leaves, mappings
from elastic_connector.lead.heartbeat import heartbeat
from elastic_connector.lead.status import SourceStatus
from scorer.elastic_client.client import ServerInfo
from scorer.elastic_client.moments import Millis
from tests.unit.delivery.builders import documents_of, make_rows, rows_from
from tests.unit.elastic_connector.install.read_back import rule_fields, used_fields

FULL_ROW: Mapping[str, Any] = {
    "id": "a" * 64, "time": 1.7e9, "batch_id": "b", "model": "lateral", "version": "3", "title": "Lateral movement",
    "starter": True, "serve": "twin", "grain": "window", "mitre": ["T1021", "T1021.002"],
    "origin": {"origin_id": "x", "index": "i", "sourcetype": "s"},
    "entities": {"user": "eve", "src": "10.0.0.1", "dest": "srv1", "host": "h", "port_class": "admin"},
    "probability": 0.9, "risk": 90, "band": "high", "alert": True, "pvalue": 0.001, "classical": 0.8,
    "reason": "share of failures is high", "revision": 3, "row_id": "d" * 64,
    "fields": {"process.name": "cmd.exe", "event.code": "4624"}, "flags": ["cardinality_approximate"],
    "threshold": 0.8, "sha256": "c" * 64, "family": "svc", "span": 600.0, "scored": 1.7e9,
}  # fmt: skip


def error_row() -> dict[str, Any]:
    return {**FULL_ROW, "error": "missing_feature: events is empty", "grain": "event"}


def document(row: Mapping[str, Any], namespace: str = "default") -> dict[str, Any]:
    """The document of one row that is written by hand."""
    return documents_of(rows_from(row), namespace)[0]


def beat() -> dict[str, Any]:
    status = SourceStatus(
        "s", "lateral", "default", "1", "degraded", "why", "host:1", 2, Millis(1_700_000_000_000), lag_documents=3
    )
    return heartbeat(status, Millis(1_700_000_000_000))


DOCUMENTS = {"score": document(FULL_ROW), "error": document(error_row()), "heartbeat": beat()}


def _paths(value: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _paths(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_field_that_a_document_may_hold_is_mapped(kind: str) -> None:
    assert set(_paths(DOCUMENTS[kind])) - set(field_types()) == set()


def test_all_counts_of_one_window_are_one_row_and_two_windows_are_not() -> None:
    def row_ids(**context: list[str]) -> list[str]:
        rows = make_rows(2, **({"qscore_revision": ["4", "9"], "_time": ["600", "600"]} | context))
        return [made["qscore"]["row"]["id"] for made in documents_of(rows)]

    first, second = row_ids(user=["eve", "eve"], dest=["srv", "srv"])
    assert first == second
    assert len(set(row_ids(user=["a", ""], src=["", "a"], dest=["", ""]))) == 2, "the same value of another entity"
    plain = make_rows(1)
    assert documents_of(plain)[0]["qscore"]["row"]["id"] == plain.ids[0]


def test_the_mapping_has_every_field_with_its_type() -> None:
    assert dict(leaves(mappings()["properties"])) == field_types()
    assert mappings()["dynamic"] == "false"


def test_a_server_without_constant_keyword_gets_keywords() -> None:
    without = dict(leaves(mappings(constant_keyword=False)["properties"]))
    constants = {field.name for field in document_fields() if field.constant}
    assert constants == {"data_stream.type", "data_stream.dataset", "data_stream.namespace"}
    assert {name: kind for name, kind in field_types().items() if name not in constants} == {
        name: kind for name, kind in without.items() if name not in constants
    }
    assert {without[name] for name in constants} == {"keyword"}


def test_nothing_is_mapped_that_entity_analytics_or_kibana_own() -> None:
    assert not [name for name in field_types() if name.startswith(("host.risk", "user.risk", "signal", "kibana"))]


def test_the_state_index_lies_outside_every_template() -> None:
    assets = cluster_assets(Capabilities())
    (template,) = [asset for asset in assets if asset.kind == "index_template"]
    (state,) = [asset for asset in assets if asset.kind == "index"]
    assert template.body["index_patterns"] == ["logs-qscore.scores-*"]
    assert not state.name.startswith("logs-")
    assert "template" not in template.body, "it would take precedence over the user's own component template"
    assert assets[0].body["template"]["lifecycle"]["data_retention"] == "90d"


def test_another_prefix_shares_no_name() -> None:
    ours = {asset.name for asset in cluster_assets(Capabilities())}
    others = {asset.name for asset in cluster_assets(Capabilities(), Names("e3x", "e3x-state"))}
    assert not ours & others


def test_the_mark_tells_whose_an_asset_is_and_what_it_held() -> None:
    assets = cluster_assets(Capabilities())
    assert {"index_template", "component_template", "ingest_pipeline", "index"} == {asset.kind for asset in assets}
    for asset in assets:
        body = asset.marked()
        mark = body["mappings"]["_meta"] if asset.kind == "index" else body["_meta"]
        assert mark["managed_by"] == "qscore"
        assert mark["sha256"] == asset.digest
        assert "_meta" not in json.dumps(asset.body)


@pytest.mark.parametrize("suppression", [False, True])
def test_every_field_that_a_rule_needs_is_mapped(suppression: bool) -> None:
    assert load_rules(suppression)
    for rule in load_rules(suppression):
        assert rule_fields(rule) - set(field_types()) == set(), rule.name


def test_rules_ship_disabled_documented_and_free() -> None:
    assert load_rules()
    for rule in load_rules():
        body = rule.body
        assert body["enabled"] is False
        assert "alert_suppression" not in body, "needs Platinum"
        assert body["type"] in ("query", "threshold", "new_terms"), "machine_learning and others need a licence"
        assert body["timestamp_override"] == "event.ingested"
        assert body["note"].startswith("## Triage")
        assert body["language"] == "kuery"
        assert body["index"] == ["logs-qscore.scores-*"]
        assert str(uuid.UUID(rule.id)) == rule.id
        scored = bool(body["risk_score_mapping"])
        assert scored == bool(body["severity_mapping"])
        if rule.key != "scoring-errors":
            assert body["threat"][0]["technique"][0]["id"] == "T1021"


def test_the_rules_of_the_second_file_are_others_and_suppress() -> None:
    plain, suppressed = load_rules(), load_rules(suppression=True)
    assert not {rule.id for rule in plain} & {rule.id for rule in suppressed}
    for rule in suppressed:
        given = rule.body["alert_suppression"]
        assert set(given) == (
            {"duration"} if rule.type == "threshold" else {"duration", "group_by", "missing_fields_strategy"}
        )
        assert len(given.get("group_by", [])) <= 3


def test_rules_are_one_json_object_a_line() -> None:
    lines = ndjson(load_rules()).decode().splitlines()
    assert [json.loads(line)["rule_id"] for line in lines] == [rule.id for rule in load_rules()]


def test_a_rule_has_the_id_that_it_always_had() -> None:
    """An id is what an upgrade finds a rule by, so these never change."""
    assert {rule.key: rule.id for rule in load_rules()} == {
        "high-score": "5dcb6e3d-db26-50a3-93af-246451f6b00e",
        "critical-score": "393320f7-b975-5bba-8ee0-ecebec081f2d",
        "many-hosts": "fdba3e25-462b-5570-8e8f-10e4ed529ce4",
        "new-pair": "d56fe5ad-d7ce-5be4-a455-018713becdbe",
        "scoring-errors": "b63ffc9d-77a0-5a99-8048-ce6e2dbcdae8",
    }


def test_kql_fields_are_found_and_values_are_not() -> None:
    query = 'event.kind:enrichment and (event.risk_score >= 50 or not qscore.band:"a:b c:d") and @timestamp > "x"'
    assert kql_fields(query) == {"event.kind", "event.risk_score", "qscore.band", "@timestamp"}


def test_the_rule_for_stopped_scoring_watches_heartbeats() -> None:
    rule = stopped_rule()
    assert kql_fields(rule.query) <= set(field_types())
    request = rule.request(["logs-qscore.scores-*"])
    assert request["rule_type_id"] == ".es-query"
    assert request["enabled"] is False
    assert json.loads(request["params"]["esQuery"]) == {"query": {"kql": {"query": rule.query}}}


def test_every_field_of_every_panel_is_mapped() -> None:
    used = used_fields(dashboard())
    assert set(used) == {panel.title for panel in load_dashboard().panels}
    for title, fields in used.items():
        assert fields - set(field_types()) == set(), title
    assert kql_fields(load_dashboard().query) <= set(field_types())


def test_a_panel_with_an_unknown_field_would_be_found() -> None:
    saved = dashboard()
    saved["attributes"]["panelsJSON"] = saved["attributes"]["panelsJSON"].replace("qscore.classical", "qscore.gone")
    assert any("qscore.gone" in fields for fields in used_fields(saved).values())


def test_panels_do_not_overlap_and_fit_the_grid() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in load_dashboard().panels:
        x, y, width, height = panel.place
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        assert x + width <= 48
        assert not taken & cells, panel.title
        taken |= cells
    assert taken


def test_every_reference_of_the_dashboard_is_among_what_is_imported() -> None:
    view, board = saved_objects()
    assert {reference["id"] for reference in board["references"]} == {view["id"]}
    for panel in json.loads(board["attributes"]["panelsJSON"]):
        layers = panel["embeddableConfig"]["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]
        names = {f"{panel['panelIndex']}:indexpattern-datasource-layer-{layer}" for layer in layers}
        assert names <= {reference["name"] for reference in board["references"]}
        for layer in layers.values():
            assert set(layer["columnOrder"]) == set(layer["columns"])
            ordered = [
                column["params"]["orderBy"]["columnId"]
                for column in layer["columns"].values()
                if "orderBy" in column["params"]
            ]
            assert set(ordered) <= set(layer["columns"])


def test_the_package_holds_the_same_fields_rules_and_panels(repository: Path) -> None:
    files = package_files("0.2.0", b"licence")
    text = b"".join(files[f"data_stream/scores/fields/{name}.yml"] for name in ("base-fields", "fields")).decode()
    named = [json.loads(line.removeprefix("- name: ")) for line in text.splitlines() if line.startswith("- name: ")]
    assert sorted(named) == sorted(field_types())
    rules = [json.loads(content) for name, content in files.items() if name.startswith("kibana/security_rule/")]
    assert {rule["id"] for rule in rules} == {rule.id for rule in load_rules()}
    assert all("enabled" not in rule["attributes"] for rule in rules)
    board = json.loads(files["kibana/dashboard/qscore-overview.json"])
    assert {reference["id"] for reference in board["references"]} == {"logs-*"}
    assert set(used_fields(board)) == {panel.title for panel in load_dashboard().panels}


def test_a_version_without_a_changelog_entry_is_no_package() -> None:
    with pytest.raises(ValueError, match=r"no entry for version 9\.9\.9"):
        package_files("9.9.9", b"licence")


@pytest.fixture
def builder(repository: Path) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("build_elastic", repository / "packaging" / "build_elastic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path


def test_the_package_is_the_same_bytes_each_time(builder: ModuleType, repository: Path, tmp_path: Path) -> None:
    first, second = (builder.build(repository, tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert set(kibana_files()) < {path.name for path in first}


def test_the_runtime_key_may_create_scores_and_nothing_more() -> None:
    assert RUNTIME["cluster"] == ["monitor"]
    by_name = {tuple(part["names"]): set(part["privileges"]) for part in RUNTIME["indices"]}
    assert by_name[("logs-qscore.scores-*",)] == {"create_doc", "auto_configure", "read", "view_index_metadata"}
    assert by_name[("logs-*",)] == {"read", "view_index_metadata"}
    everything = set(RUNTIME["cluster"]).union(*by_name.values())
    assert not everything & {"all", "manage", "delete", "delete_index", "manage_security", "write_all", "index"}
    assert not {"all", "manage", "manage_security", "manage_api_key"} & set(INSTALLER["cluster"])


def test_exclusions_are_no_grants() -> None:
    role = runtime_role(["logs-*,-logs-qscore.*", "winlogbeat-*"])
    assert role["indices"][0]["names"] == ["logs-*", "winlogbeat-*"]


def test_equal_contents_have_no_difference() -> None:
    assert json_diff({"a": [1], "b": {"c": 2}}, {"b": {"c": 2}, "a": [1]}) == ()
    assert "+  1," not in json_diff({"a": 1}, {"a": 2})
    assert any(line.startswith("+") and "2" in line for line in json_diff({"a": 1}, {"a": 2}))


@pytest.mark.parametrize(
    ("number", "flavor", "state"),
    [("8.19.8", "default", "ok"), ("8.15.3", "default", "fail"), ("7.17.0", "default", "fail"),
     ("9.1.0", "default", "ok"), ("unknown", "default", "fail"), ("0.0.0", "serverless", "ok")],
)  # fmt: skip
def test_which_servers_fit(number: str, flavor: str, state: str) -> None:
    finding = check_version(ServerInfo("c", "u", number, flavor))
    assert finding.state == state
    assert bool(finding.remedy) == (state == "fail")
