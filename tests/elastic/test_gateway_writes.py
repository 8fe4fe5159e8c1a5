"""A search or a file that is scored through the gateway with write=true, where documents are what is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elastic_connector.install.score_fields import field_types
from scorer.service.access.api_keys import KeyFile
from scorer.service.settings import load_settings
from scorer.service.stack.up import exchange_of, read_state
from scorer.wire.client import GatewayClient
from scorer.wire.options import ScoreOptions
from tests.elastic.conftest import Server
from tests.elastic.stage import MODEL, VERSION, open_stage


@pytest.fixture
def scored(elasticsearch: Server, tmp_path: Path, namespace: str) -> list[dict[str, Any]]:
    """What is written of twenty rows, scored twice under two batch ids, with a rollover between: once each."""
    with open_stage(tmp_path, elasticsearch, namespace, grain="window") as stage:
        settings = load_settings(home=stage.home)
        key = KeyFile(settings.api_keys).add(("score", "read", "write"))[1]
        state, exchange = read_state(settings), exchange_of(settings, 30.0)
        assert state is not None
        with GatewayClient(state.url, key, state.ca_file, timeout=30.0) as client:
            names = client.card(MODEL).required_fields
            rows = [["1700000400", f"user{k}", "10.0.0.1", *[str(k + 1)] * len(names)] for k in range(20)]
            body = "\n".join(",".join(line) for line in [["_time", "user", "src", *names], *rows]) + "\n"
            options = ScoreOptions(write=True, threshold=0.25)
            for batch, counts in (("search-one", (20, 0)), ("search-two", (0, 20))):
                client.score(MODEL, body.encode(), 20, options, batch, submitter=f"{client.key_id}:searcher")
                outcome = exchange.wait_outcome(f"{client.key_id}:searcher", 30.0)
                assert outcome is not None
                assert outcome.ack is not None
                assert (outcome.ack.written, outcome.ack.already_there) == counts
                stage.admin.indices.rollover(alias=stage.scores)
        exchange.client.close()
        return stage.written()


def test_a_searchs_documents_are_whole_and_written_once(scored: list[dict[str, Any]]) -> None:
    assert len({hit["_id"] for hit in scored}) == len(scored) == 20
    for hit in scored:
        source = hit["_source"]
        assert source["qscore"]["threshold"] == 0.25
        assert len(source["qscore"]["model"]["sha256"]) == 64
        assert source["qscore"]["model"]["version"] == VERSION
        assert 0 <= source["qscore"]["job"]["latency_ms"] < 60_000
        assert source["event"]["start"] < source["event"]["end"] < source["event"]["created"]
        assert source["event"]["ingested"]
        assert set(leaves(source)) <= set(field_types())


def leaves(made: dict[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, value in made.items():
        found += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found
