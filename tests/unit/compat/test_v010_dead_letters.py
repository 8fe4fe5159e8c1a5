"""Dead letters of 0.1.0 are listed as they were, and go where they were to go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trustme

from demo.standins.hec_endpoint import HecEndpoint
from demo.standins.hec_rules import HecRules
from tests.v010 import Cluster, cluster, content, lines, make_home, qscore, secret_file, without

TOKEN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path / "home")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[HecEndpoint]:
    """The strict stand-in for Splunk's HTTP Event Collector."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    with HecEndpoint(HecRules(TOKEN), tmp_path / "server.pem") as running:
        yield running


@pytest.fixture
def elasticsearch() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


def worded(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events and documents with the words of their messages sorted: 0.1.0 keeps a letter's entities by their names and
    those of a row on the queue in the order in which people read them."""
    made = json.loads(json.dumps(found))
    for one in made:
        inner = one.get("_source") or one["event"]
        inner["message"] = sorted(inner["message"].split())
    return list(made)


def test_letters_are_listed_as_they_were(home: Path) -> None:
    listed = qscore(home, "dead", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert [json.loads(line) for line in listed.stdout.splitlines()] == lines("dead_letters.ndjson")
    assert "4 dead letters\n" in qscore(home, "dead", "list", "--sink", "elastic").stdout


def test_letters_of_both_sinks_are_replayed(
    home: Path, tmp_path: Path, collector: HecEndpoint, elasticsearch: Cluster
) -> None:
    variables = {
        "QSCORE_SINK": "hec",
        "QSCORE_HEC__URL": collector.url,
        "QSCORE_HEC__CA_FILE": str(tmp_path / "ca.pem"),
        "QSCORE_HEC__TOKEN_FILE": str(secret_file(tmp_path / "token", TOKEN)),
        "QSCORE_ELASTIC__URL": elasticsearch.url,
        "QSCORE_ELASTIC__API_KEY_FILE": str(secret_file(tmp_path / "key", "a2V5OnNlY3JldA==")),
    }
    done = qscore(home, "dead", "replay", **variables)
    assert done.returncode == 0, done.stderr
    assert "9 sent, 0 refused again, 0 left" in done.stdout
    assert worded(collector.events) == worded(content("queue/deliver_hec.json")["events"])
    documents = without(elasticsearch.documents, "event.ingested")
    expected = content("queue/deliver_elastic.json")["documents"]
    assert worded(documents) == worded(without(expected, "event.ingested"))
    assert "no dead letters" in qscore(home, "dead", "list").stdout


def test_letters_can_be_thrown_away(home: Path) -> None:
    assert "5 dead letters deleted" in qscore(home, "dead", "purge", "--sink", "hec", "--yes").stdout
