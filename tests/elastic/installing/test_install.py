"""install, diff and uninstall on a real Elasticsearch, each test with a prefix of its own."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from elasticsearch import Elasticsearch
from typer.testing import CliRunner

from demo.standins.kibana_endpoint import KibanaEndpoint
from elastic_connector.install.asset_files import Names
from elastic_connector.install.changes import Change, differences, plan
from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install, removal_plan, uninstall
from elastic_connector.install.keys import apply_keys, key_plan, key_requests, remove_keys
from elastic_connector.install.privileges import installer_role
from scorer.cli.main import build
from scorer.wire.errors import ConfigurationError, QScoreError
from tests.elastic.conftest import Server

LISTINGS = {
    "index templates": "/_index_template",
    "component templates": "/_component_template",
    "pipelines": "/_ingest/pipeline",
    "indices and streams": "/_resolve/index/*?expand_wildcards=all",
}
JSON = {"accept": "application/json", "content-type": "application/json"}


def listing(client: Elasticsearch) -> dict[str, Any]:
    """What the cluster itself says that it holds; its lists come in any order."""
    found = {name: client.perform_request("GET", path, headers=JSON).body for name, path in LISTINGS.items()}
    return {name: _sorted(body) for name, body in found.items()}


def _sorted(body: Any) -> Any:
    return {key: sorted(part, key=json.dumps) if isinstance(part, list) else part for key, part in body.items()}


def actions(changes: list[Change]) -> dict[str, str]:
    return {change.name: change.action for change in changes}


@pytest.fixture
def names() -> Names:
    prefix = "e3" + uuid.uuid4().hex[:10]
    return Names(prefix, f"{prefix}-state")


@pytest.fixture
def cluster(elasticsearch: Server, names: Names) -> Iterator[Cluster]:
    """As the superuser; what the test leaves behind is removed, as far as this server can."""
    made = Cluster(elasticsearch.admin, names)
    yield made
    for change in removal_plan(made, delete_data=False):
        if change.action == "remove":
            made.remove(change.kind, change.name)  # type: ignore[arg-type]


def put_score(cluster: Cluster, identity: str = "1", **fields: Any) -> str:
    stream = f"{cluster.names.scores}-default"
    document = {"@timestamp": "2026-01-01T00:00:00Z", "event": {"id": identity}, **fields}
    cluster.client.create(index=stream, id=identity, document=document, refresh=True)
    return stream


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


def test_keys_are_made_once_and_follow_the_sources(cluster: Cluster, tmp_path: Path) -> None:
    requests = key_requests(cluster.names, ["logs-a-*"])
    made = apply_keys(cluster, requests, tmp_path / "keys")
    assert [change.action for change in made] == ["create", "create"]
    files = sorted((tmp_path / "keys").iterdir())
    assert [path.name for path in files] == ["elastic_installer_key", "elastic_runtime_key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert [change.action for change in apply_keys(cluster, requests, tmp_path / "keys")] == ["keep", "keep"]
    wider = key_requests(cluster.names, ["logs-a-*", "logs-b-*"])
    (changed,) = [change for change in key_plan(cluster, wider) if change.action != "keep"]
    assert any("logs-b-*" in line for line in changed.lines)
    apply_keys(cluster, wider, tmp_path / "keys")
    assert [change.action for change in key_plan(cluster, wider)] == ["keep", "keep"]
    assert len(remove_keys(cluster, requests)) == 2
    assert remove_keys(cluster, requests) == []


def test_a_key_file_that_is_there_is_not_overwritten(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "elastic_installer_key"
    path.write_text("of another cluster")
    with pytest.raises(ConfigurationError, match="is there already"):
        apply_keys(cluster, key_requests(cluster.names, []), tmp_path)
    assert path.read_text() == "of another cluster"
    assert remove_keys(cluster, key_requests(cluster.names, [])) == []


def test_no_key_is_made_whose_secret_cannot_be_kept(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        apply_keys(cluster, key_requests(cluster.names, []), tmp_path / "file" / "keys")
    assert remove_keys(cluster, key_requests(cluster.names, [])) == []


def test_a_kept_key_whose_secret_lies_elsewhere_is_said(cluster: Cluster, tmp_path: Path) -> None:
    requests = key_requests(cluster.names, [])
    apply_keys(cluster, requests, tmp_path / "one")
    assert [change.lost for change in apply_keys(cluster, requests, tmp_path / "one")] == ["", ""]
    lost = [change.lost for change in apply_keys(cluster, requests, tmp_path / "other")]
    assert [str(tmp_path / "other") in text and "invalidate" in text for text in lost] == [True, True]
    assert len(remove_keys(cluster, requests)) == 2


def test_the_runtime_key_can_write_scores_and_do_no_harm(
    cluster: Cluster, tmp_path: Path, elasticsearch: Server
) -> None:
    install(cluster)
    requests = key_requests(cluster.names, [f"{cluster.names.prefix}-source-*"])
    apply_keys(cluster, requests, tmp_path)
    client = elasticsearch.client((tmp_path / "elastic_runtime_key").read_text())
    runtime = Cluster(client, cluster.names)
    stream = put_score(Cluster(client.options(request_timeout=30), cluster.names))
    client.index(index=cluster.names.state_index, id="s", document={"epoch": 1})
    cluster.client.index(index=f"{cluster.names.prefix}-other", document={"a": 1}, refresh=True)
    forbidden = [
        ("DELETE", f"/{runtime.backing_indices()[stream][0]}/_doc/1"),
        ("DELETE", f"/_index_template/{cluster.names.scores}"),
        ("POST", f"/{stream}/_rollover"),
        ("GET", f"/{cluster.names.prefix}-other/_search"),
        ("GET", "/_security/user"),
    ]
    for method, path in forbidden:
        answer = client.options(ignore_status=403).perform_request(method, path, headers=JSON)
        assert answer.meta.status == 403, path
    client.close()
    remove_keys(cluster, requests)
    cluster.client.indices.delete(index=f"{cluster.names.prefix}-other")


@pytest.fixture
def home(elasticsearch: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A qscore home whose settings name the server; the password lies in the file `password`."""
    monkeypatch.setenv("QSCORE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "qscore.toml").write_text(f'[elastic]\nurl = "{elasticsearch.url}"\n')
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text(elasticsearch.dev.password)
    return tmp_path


def test_the_commands_install_and_see_no_difference(installed: Server, home: Path) -> None:
    run, app = CliRunner(), build()
    login = ["--user", installed.dev.user, "--password-file", str(home / "password")]
    dry = run.invoke(app, ["elastic", "install", *login, "--no-keys", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert not (home / "kibana").exists()
    done = run.invoke(app, ["elastic", "install", *login, "--no-keys"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in (home / "kibana").iterdir()} >= {"qscore_rules.ndjson", "qscore_saved_objects.ndjson"}
    same = run.invoke(app, ["elastic", "diff", *login])
    assert same.exit_code == 0, same.output
    assert "no difference" in same.output
    gone = run.invoke(app, ["elastic", "uninstall", *login, "--dry-run"])
    assert gone.exit_code == 0, gone.output
    assert "qscore@mappings" in gone.output
    assert run.invoke(app, ["elastic", "diff", *login]).exit_code == 0, "a dry run removes nothing"


def test_nothing_is_removed_before_the_question_is_answered(installed: Server, home: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(home / "server.pem"))
    login = ["--user", installed.dev.user, "--password-file", str(home / "password")]
    with KibanaEndpoint(installed.dev.user, installed.dev.password, home / "server.pem") as kibana:
        there = ["--kibana-url", kibana.url, "--kibana-ca", str(home / "ca.pem")]
        made = CliRunner().invoke(build(), ["elastic", "install", *login, "--no-keys", *there])
        assert made.exit_code == 0, made.output
        before = dict(kibana.objects), dict(kibana.rules)
        asked = CliRunner().invoke(build(), ["elastic", "uninstall", *login, *there, "--delete-data"], input="n\n")
        assert asked.exit_code == 1, asked.output
        assert "for good?" in asked.output
        assert (dict(kibana.objects), dict(kibana.rules)) == before
    assert CliRunner().invoke(build(), ["elastic", "diff", *login]).exit_code == 0


def test_a_difference_is_exit_code_1(elasticsearch: Server, home: Path) -> None:
    (home / "qscore.toml").write_text(
        f'[elastic]\nurl = "{elasticsearch.url}"\nstate_index = "e3-{uuid.uuid4().hex[:8]}"\n'
    )
    login = ["--user", elasticsearch.dev.user, "--password-file", str(home / "password")]
    result = CliRunner().invoke(build(), ["elastic", "diff", *login])
    assert result.exit_code == 1
    assert "create" in result.output


def test_printed_keys_are_requests_for_the_console(home: Path) -> None:
    result = CliRunner().invoke(build(), ["elastic", "install", "--print-keys"])
    assert result.exit_code == 0, result.output
    requests = [json.loads(part) for part in result.stdout.split("POST /_security/api_key\n")[1:]]
    assert [request["name"] for request in requests] == ["qscore-installer", "qscore-runtime"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--user", "elastic", "--key-file", "x"], "with one of them"),
        (["--password-file", "x"], "Add --user"),
        ([], "no login"),
        (["--user", "elastic", "--password-file", "/nowhere"], "cannot be read"),
    ],
)
def test_logins_that_cannot_be_are_one_sentence(home: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(build(), ["elastic", "diff", *options])
    assert isinstance(result.exception, QScoreError)
    assert said in result.exception.sentence()
