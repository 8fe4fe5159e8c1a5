"""install, diff and uninstall on a real Elasticsearch, each test with a prefix of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.install.asset_files import Names
from elastic_connector.install.changes import Change, differences, plan
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install, removal_plan, uninstall
from elastic_connector.install.privileges import installer_role
from scorer.wire.errors import ConfigurationError, QScoreError
from tests.elastic.conftest import Server
from tests.elastic.installing.conftest import JSON, put_score

LISTINGS = {
    "index templates": "/_index_template",
    "component templates": "/_component_template",
    "pipelines": "/_ingest/pipeline",
    "indices and streams": "/_resolve/index/*?expand_wildcards=all",
}


def listing(client: Elasticsearch) -> dict[str, Any]:
    """What the cluster itself says that it holds; its lists come in any order."""
    found = {name: client.perform_request("GET", path, headers=JSON).body for name, path in LISTINGS.items()}
    return {name: _sorted(body) for name, body in found.items()}


def _sorted(body: Any) -> Any:
    return {key: sorted(part, key=json.dumps) if isinstance(part, list) else part for key, part in body.items()}


def actions(changes: list[Change]) -> dict[str, str]:
    return {change.name: change.action for change in changes}


def deletes_streams(cluster: Cluster) -> bool:
    """Whether this server can delete a data stream at all; the reduced one from Maven cannot."""
    path = f"/_data_stream/{cluster.names.prefix}-is-not-there"
    return cluster.client.options(ignore_status=[404, 405]).perform_request("DELETE", path).meta.status == 404


def test_uninstall_leaves_the_cluster_as_it_was_found(cluster: Cluster) -> None:
    before = listing(cluster.client)
    assert set(actions(install(cluster)).values()) == {"create"}
    assert listing(cluster.client) != before
    assert differences(plan(cluster)) == []
    assert set(actions(install(cluster)).values()) == {"keep"}, "a second run changes nothing"
    assert set(actions(uninstall(cluster)).values()) == {"remove"}
    assert listing(cluster.client) == before


def test_the_installer_key_is_enough(elasticsearch: Server, names: Names) -> None:
    admin = elasticsearch.admin
    before = listing(admin)
    role = installer_role(names.state_index, f"{names.scores}-*")
    client = elasticsearch.client(elasticsearch.api_key(f"{names.prefix}-installer", role))
    cluster = Cluster(client, names)
    install(cluster)
    assert differences(plan(cluster)) == []
    uninstall(cluster)
    client.close()
    assert listing(admin) == before


def test_a_planned_change_changes_nothing(cluster: Cluster) -> None:
    before = listing(cluster.client)
    assert set(actions(plan(cluster)).values()) == {"create"}
    removal_plan(cluster, delete_data=True)
    assert listing(cluster.client) == before


def test_what_was_changed_by_hand_is_shown_and_mended(cluster: Cluster) -> None:
    install(cluster)
    name = cluster.names.source_pipeline
    live = cluster.ask("GET", f"/_ingest/pipeline/{name}")[name]
    cluster.ask("PUT", f"/_ingest/pipeline/{name}", {**live, "processors": []})
    (change,) = differences(plan(cluster))
    assert (change.action, change.name) == ("update", name)
    assert "by hand" in change.why
    assert any(line.startswith("+") and "event.ingested" in line for line in change.lines)
    install(cluster)
    assert differences(plan(cluster)) == []


def test_an_older_version_is_brought_up(cluster: Cluster) -> None:
    install(cluster)
    name = cluster.names.mappings_template
    live = cluster.ask("GET", f"/_component_template/{name}")["component_templates"][0]["component_template"]
    del live["template"]["mappings"]["properties"]["qscore"]["properties"]["flags"]
    live["_meta"] = {"managed_by": "qscore", "version": "0.0.9", "sha256": "0" * 64}
    cluster.ask("PUT", f"/_component_template/{name}", live)
    stream = put_score(cluster)
    changes = {change.name: change for change in differences(plan(cluster))}
    assert "0.0.9" in changes[name].why
    assert changes[stream].lines == ("+ qscore.flags: keyword",)
    install(cluster)
    assert differences(plan(cluster)) == []


def test_a_field_of_another_type_makes_the_stream_roll_over(cluster: Cluster) -> None:
    install(cluster)
    custom = {"template": {"mappings": {"properties": {"qscore": {"properties": {"band": {"type": "text"}}}}}}}
    cluster.ask("PUT", f"/_component_template/{cluster.names.custom_template}", custom)
    stream = put_score(cluster, qscore={"band": "high"})
    assert differences(plan(cluster)) == [], "the user's own template has the last word"
    cluster.ask("PUT", f"/_component_template/{cluster.names.custom_template}", {"template": {}})
    (change,) = differences(plan(cluster))
    assert (change.action, change.lines) == ("roll over", ("- qscore.band: text -> keyword",))
    install(cluster)
    assert len(cluster.backing_indices()[stream]) == 2
    assert differences(plan(cluster)) == []


def test_a_field_of_the_users_own_template_comes_to_streams_that_are_there(cluster: Cluster) -> None:
    install(cluster)
    stream = put_score(cluster)
    mapped = {"process": {"properties": {"command_line": {"type": "keyword", "ignore_above": 99}}}}
    body = {"template": {"mappings": {"properties": mapped}}}
    cluster.ask("PUT", f"/_component_template/{cluster.names.custom_template}", body)
    (change,) = differences(plan(cluster))
    assert (change.action, change.lines) == ("update", ("+ process.command_line: keyword",))
    install(cluster)
    assert differences(plan(cluster)) == []
    live = cluster.mapping(cluster.backing_indices()[stream][-1])
    assert live["properties"]["process"]["properties"]["command_line"]["ignore_above"] == 99
    cluster.ask("PUT", f"/_component_template/{cluster.names.custom_template}", {"template": {}})


def test_settings_of_the_state_index_are_put_back(cluster: Cluster) -> None:
    install(cluster)
    state = cluster.names.state_index
    cluster.client.indices.put_settings(index=state, settings={"index": {"hidden": False}})
    (change,) = differences(plan(cluster))
    assert (change.action, change.name) == ("update", state)
    install(cluster)
    assert differences(plan(cluster)) == []


def test_the_users_own_template_is_never_touched(cluster: Cluster) -> None:
    custom = cluster.names.custom_template
    body = {"template": {"settings": {"index": {"number_of_replicas": "0"}}}}
    cluster.ask("PUT", f"/_component_template/{custom}", body)
    before = listing(cluster.client)
    install(cluster)
    uninstall(cluster)
    assert listing(cluster.client) == before
    cluster.ask("DELETE", f"/_component_template/{custom}")


@pytest.mark.parametrize(("owner", "said"), [("fleet", "not both"), (None, "belongs to somebody else")])
def test_a_name_that_is_taken_is_refused_before_anything_changes(
    cluster: Cluster, owner: str | None, said: str
) -> None:
    scores = cluster.names.scores
    body = {"index_patterns": [f"{scores}-*"], "priority": 250, "data_stream": {}}
    cluster.ask("PUT", f"/_index_template/{scores}", body | ({"_meta": {"managed_by": owner}} if owner else {}))
    before = listing(cluster.client)
    with pytest.raises(ConfigurationError, match=said):
        install(cluster)
    assert actions(uninstall(cluster)) == {scores: "foreign"}
    assert listing(cluster.client) == before
    cluster.ask("DELETE", f"/_index_template/{scores}")


def test_an_index_of_the_states_name_that_is_not_ours_is_refused(cluster: Cluster) -> None:
    cluster.client.indices.create(index=cluster.names.state_index)
    with pytest.raises(ConfigurationError, match=r"set elastic\.state_index"):
        install(cluster)
    assert actions(uninstall(cluster)) == {cluster.names.state_index: "foreign"}
    cluster.client.indices.delete(index=cluster.names.state_index)


def test_scores_are_data_and_stay_with_what_they_need(cluster: Cluster) -> None:
    install(cluster)
    stream = put_score(cluster)
    changes = {change.name: change for change in uninstall(cluster)}
    for name in (cluster.names.scores, cluster.names.mappings_template, cluster.names.settings_template):
        assert changes[name].action == "keep"
        assert stream in changes[name].why
        assert "--delete-data" in changes[name].why
    assert changes[cluster.names.source_pipeline].action == "remove"
    assert cluster.client.count(index=stream)["count"] == 1
    planned = {change.name: change for change in removal_plan(cluster, delete_data=True)}
    assert planned[stream].action == "remove"
    assert "1 documents" in planned[stream].why


def test_deleting_data_deletes_it_or_says_that_this_server_cannot(cluster: Cluster) -> None:
    before = listing(cluster.client)
    install(cluster)
    stream = put_score(cluster)
    if deletes_streams(cluster):
        uninstall(cluster, delete_data=True)
        assert listing(cluster.client) == before
        return
    with pytest.raises(QScoreError, match="cannot delete data streams") as refused:
        uninstall(cluster, delete_data=True)
    assert stream in refused.value.detail
    assert cluster.client.count(index=stream)["count"] == 1


def test_checkpoints_are_data(cluster: Cluster) -> None:
    install(cluster)
    state = cluster.names.state_index
    cluster.client.index(index=state, id="s:lateral", document={"owner": "x", "epoch": 1}, refresh=True)
    assert actions(uninstall(cluster))[state] == "keep"
    assert cluster.client.count(index=state)["count"] == 1
    assert actions(uninstall(cluster, delete_data=True))[state] == "remove"
    assert not cluster.client.indices.exists(index=state)


def test_a_pipeline_that_a_source_uses_stays(cluster: Cluster) -> None:
    install(cluster)
    pipeline, source = cluster.names.source_pipeline, f"{cluster.names.prefix}-source"
    cluster.client.indices.create(index=source, settings={"index": {"final_pipeline": pipeline}})
    change = next(change for change in removal_plan(cluster, False) if change.name == pipeline)
    assert change.action == "keep"
    assert source in change.why
    cluster.client.index(index=source, id="1", document={"a": 1}, refresh=True)
    assert "ingested" in cluster.client.get(index=source, id="1")["_source"]["event"]
    cluster.client.index(index=source, id="2", document={"event": {"ingested": "2026-01-01"}}, refresh=True)
    assert cluster.client.get(index=source, id="2")["_source"]["event"]["ingested"] == "2026-01-01"
    cluster.client.indices.delete(index=source)


def test_retention_and_pipeline_of_the_users_own_template_win(cluster: Cluster) -> None:
    install(cluster)
    pipeline, custom = f"{cluster.names.prefix}-mine", cluster.names.custom_template
    cluster.ask("PUT", f"/_ingest/pipeline/{pipeline}", {"processors": [{"set": {"field": "tags", "value": "mine"}}]})
    settings = {"index.default_pipeline": pipeline, "index.refresh_interval": "17s"}
    mine = {"template": {"settings": settings, "lifecycle": {"data_retention": "7d"}}}
    cluster.ask("PUT", f"/_component_template/{custom}", mine)
    simulated = cluster.ask("POST", f"/_index_template/_simulate/{cluster.names.scores}")["template"]
    assert simulated["lifecycle"]["data_retention"] == "7d", "the user's own template has the last word"
    assert simulated["settings"]["index"]["refresh_interval"] == "17s"
    stream = put_score(cluster, "a")
    assert cluster.client.search(index=stream, query={"term": {"tags": "mine"}})["hits"]["total"]["value"] == 1
    assert differences(plan(cluster)) == []
    cluster.client.indices.put_settings(index=stream, settings={"index.default_pipeline": None})
    cluster.ask("DELETE", f"/_component_template/{custom}")
    cluster.ask("DELETE", f"/_ingest/pipeline/{pipeline}")
