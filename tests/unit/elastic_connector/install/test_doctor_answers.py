"""`qscore elastic doctor` against servers whose answers are not Elasticsearch's: findings, and never a traceback."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import Elasticsearch

from elastic_connector.install.asset_files import Names
from elastic_connector.install.doctor.checks import Doctor
from elastic_connector.install.doctor.findings import failed
from scorer.elastic_client.settings import ElasticSettings, ElasticSource
from tests.unit.elastic_client.servers import Canned, scripted_server

VERSION = {"cluster_name": "c", "cluster_uuid": "u", "version": {"number": "8.19.0", "build_flavor": "default"}}
SOURCE = ElasticSource(name="flows", index="logs-a", model="lateral_flow", query="a: 1", copy_fields=("user.name",))
CHECKS = {"version", "licence", "clock", "privileges", "assets", "scores", "source flows"}


def answering(rest: Any) -> Any:
    """The version is told as Elasticsearch tells it; everything else is answered by ``rest``."""
    return lambda _method, path, _body: Canned(200, VERSION if path.partition("?")[0] == "/" else rest)


@pytest.mark.parametrize(
    "rest",
    [
        [], {}, "text", 5, None, [{}], {"nodes": []}, {"nodes": {"n": {"timestamp": "x"}}}, {"license": []},
        {"indices": ["a"], "fields": [], "count": "3"}, {"indices": ["a"], "fields": {"event.ingested": [1]}},
        {"data_streams": [{"name": 3}], "indices": [7]}, {"cluster": [], "index": {}}, {"_source": [], "count": 1},
        {"_source": {"owner": 3, "updated": [], "checkpoint": {"time": 5}}, "count": 1, "indices": ["a"], "fields": {}},
    ],
    ids=lambda rest: str(rest)[:40],
)  # fmt: skip
def test_an_answer_that_is_none_is_a_finding_of_its_check(rest: Any) -> None:
    with scripted_server(answering(rest)) as url, Elasticsearch(url, max_retries=0) as client:
        findings = Doctor(client, ElasticSettings(url=url, sources=(SOURCE,)), Names()).examine()
    assert failed(findings)
    assert {finding.check for finding in findings} >= CHECKS, "one check that breaks off ends no other"
    assert all(finding.remedy for finding in findings if finding.state == "fail"), findings
