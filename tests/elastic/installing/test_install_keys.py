"""The two API keys on a real Elasticsearch: made once, kept where they are, and enough for no harm."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from elastic_connector.install.cluster import Cluster
from elastic_connector.install.installer import install
from elastic_connector.install.keys import apply_keys, key_plan, key_requests, remove_keys
from scorer.wire.errors import ConfigurationError
from tests.elastic.conftest import Server
from tests.elastic.installing.conftest import JSON, put_score


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
