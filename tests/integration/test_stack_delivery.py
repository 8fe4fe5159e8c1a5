"""Write-back through the real queue: rows in the sink, acknowledgements, repetition, rows that cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demo.running_stack import running_stack
from scorer.delivery.dead_letters import DeadLetters
from scorer.rows.acknowledgement import Acknowledgement
from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.exchange import BatchOutcome
from scorer.service.stack.up import StackState, exchange_of
from scorer.wire.client import GatewayClient
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import body, client_of, eventually, qscore, settings_of

WRITE = ScoreOptions(write=True)


class Writing(NamedTuple):
    home: Path
    state: StackState
    file: Path

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, publish_tiny: Callable[[Path], None]) -> Iterator[Writing]:
    folder = tmp_path_factory.mktemp("writing")
    home, file = folder / "home", folder / "events.ndjson"
    publish_tiny(home)
    sink = {"QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(file)}
    with running_stack(home, "--port", "0", "--workers", "1", environment=sink) as state:
        yield Writing(home, state, file)


def acknowledged(stack: Writing, name: str) -> Acknowledgement | None:
    """What the local key's acknowledgement list of this name says next."""
    with client_of(stack.home, stack.state) as client:
        return told(stack, f"{client.key_id}:{name}")


def told(stack: Writing, submitter: str) -> Acknowledgement | None:
    outcome = exchange_of(settings_of(stack.home), longest_wait=30.0).wait_outcome(submitter, 30.0)
    return None if outcome is None else outcome.ack


def test_a_batch_larger_than_one_delivery_is_written_whole_and_acknowledged_once(stack: Writing) -> None:
    before = len(stack.events())
    with client_of(stack.home, stack.state) as client:
        assert (
            client.score("lateral", body(5000), 5000, WRITE, "batch-5000", submitter=f"{client.key_id}:big").scored
            == 5000
        )
    assert acknowledged(stack, "big") == Acknowledgement("batch-5000", 5000)
    events = stack.events()[before:]
    assert len({event["fields"]["qscore_id"] for event in events}) == 5000
    assert {event["fields"]["qscore_model"] for event in events} == {"lateral"}


def test_the_same_rows_again_carry_the_same_ids(stack: Writing) -> None:
    ids = []
    with client_of(stack.home, stack.state) as client:
        for number in range(2):
            before = len(stack.events())
            client.score("lateral", body(3), 3, WRITE, f"batch-again-{number}", submitter=f"{client.key_id}:again")
            assert acknowledged(stack, "again") == Acknowledgement(f"batch-again-{number}", 3)
            ids.append([event["fields"]["qscore_id"] for event in stack.events()[before:]])
    assert ids[0] == ids[1]


def written_with(stack: Writing, namespace: str | None, batch: str) -> list[str]:
    """Ids of the same three rows, written with a new key."""
    settings, before = settings_of(stack.home), len(stack.events())
    secret = KeyFile(settings.api_keys).add(("score", "write"), namespace=namespace)[1]
    with GatewayClient(stack.state.url, secret, stack.state.ca_file, timeout=30.0) as client:
        own = f"{client.key_id}:keys"
        client.score("lateral", body(3), 3, WRITE, batch, submitter=own)
    assert told(stack, own) == Acknowledgement(batch, 3)
    return [event["fields"]["qscore_id"] for event in stack.events()[before:]]


def test_another_write_key_cannot_make_the_id_of_a_score(stack: Writing) -> None:
    """Whoever sends the same rows first, or with other values, stands beside the score, never in its place."""
    site, forged = written_with(stack, "site", "batch-keys-1"), written_with(stack, None, "batch-keys-2")
    assert not set(site) & set(forged)
    assert not set(forged) & set(written_with(stack, None, "batch-keys-3"))
    assert written_with(stack, "site", "batch-keys-4") == site


def test_rows_without_time_or_identity_are_scored_and_not_written(stack: Writing) -> None:
    content = body(3).replace(b"1700000600,", b"never,")
    with client_of(stack.home, stack.state) as client:
        reply = client.score("lateral", content, 3, WRITE, "batch-context", submitter=f"{client.key_id}:context")
    assert (reply.scored, reply.problems) == (3, {"bad_context": 1})
    bad = reply.body.decode().splitlines()[2]
    assert bad.split(",")[0] != ""
    assert "bad_context: scored but not written" in bad
    assert acknowledged(stack, "context") == Acknowledgement("batch-context", 2)


def test_nothing_to_write_is_acknowledged_too(stack: Writing) -> None:
    with client_of(stack.home, stack.state) as client:
        client.score("lateral", b"_time\n1\n", 1, WRITE, "batch-nothing", submitter=f"{client.key_id}:nothing")
    assert acknowledged(stack, "nothing") == Acknowledgement("batch-nothing", 0)


def test_the_score_command_waits_for_what_it_wrote(stack: Writing, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(body(4))
    before = len(stack.events())
    sink = {"QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(stack.file)}
    done = qscore(stack.home, "score", str(rows), "--write", "--out", str(tmp_path / "out.csv"), **sink)
    assert done.returncode == 0, done.stderr
    assert "4 scores written to file, 0 in the dead letters" in done.stderr
    assert len(stack.events()) == before + 4


def test_a_sink_that_cannot_work_ends_in_the_dead_letters(tmp_path: Path, publish_tiny: Callable[[Path], None]) -> None:
    home = tmp_path / "home"
    publish_tiny(home)
    wrong = {"QSCORE_SINK": "hec", "QSCORE_HEC__URL": "https://localhost:1"}  # and no token
    with running_stack(home, "--port", "0", "--workers", "1", environment=wrong) as state:
        with client_of(home, state) as client:
            own = f"{client.key_id}:dead"
            assert client.score("lateral", body(2), 2, WRITE, "batch-dead", submitter=own).scored == 2
        letters = DeadLetters(settings_of(home).dead_letters)
        assert eventually(lambda: len(letters.list()) == 2, 60)
        assert "hec.token_file is not set" in letters.list()[0].reason
        outcome = exchange_of(settings_of(home), 30.0).wait_outcome(own, 10.0)
        assert outcome == BatchOutcome.of(Acknowledgement("batch-dead", 0, 0, 2))
