"""A stack is backed up while it works and restored to a clean folder: its scores there are the same bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.broker import redis_client
from scorer.service.queue.exchange import WaitingRows
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.options import ScoreOptions
from tests.integration.stack_tools import body, eventually, qscore, settings_of

ROWS = 2000


@contextmanager
def up(home: Path, environment: dict[str, str]) -> Iterator[StackState]:
    """A stack whose scoring process has its engine: until that is loaded, NumPy scores, and rounds otherwise."""
    had = engines(home)
    with running_stack(home, "--port", "0", "--workers", "1", environment=environment) as state:
        assert eventually(lambda: engines(home) > had, 60)
        yield state


def engines(home: Path) -> int:
    """How many scoring processes of this home have ever said which engine they have; a backup holds logs too."""
    log = home / "logs" / "workers.log"
    return log.read_text().count('"event": "engine"') if log.exists() else 0


def scored(state: StackState, key: str, rows: int, options: ScoreOptions) -> bytes:
    with GatewayClient(state.url, key, state.ca_file, timeout=30.0) as client:
        return client.score("lateral", body(rows), rows, options).body


def waiting_rows(home: Path) -> list[str]:
    """The ids of rows that wait on the queue of the stack in ``home`` for a sink that is away."""
    with redis_client(settings_of(home), connections=1) as client:
        return sorted(repr(WaitingRows.unpack(client.get(key)).rows) for key in client.scan_iter("qscore:rows:*"))


def test_a_restored_stack_scores_as_before_and_remembers_what_it_had_to_write(
    tmp_path: Path, publish_tiny: Callable[[Path], None]
) -> None:
    old, new, archive = tmp_path / "old", tmp_path / "new", tmp_path / "monday.tar.zst"
    token = tmp_path / "token"
    token.write_text("of-a-collector-that-is-away")
    token.chmod(0o600)
    away = {"QSCORE_SINK": "hec", "QSCORE_HEC__URL": "https://localhost:1", "QSCORE_HEC__TOKEN_FILE": str(token)}
    publish_tiny(old)
    key = KeyFile(settings_of(old).api_keys).add(("read", "score", "write"))[1]
    with up(old, away) as state:
        before = scored(state, key, ROWS, ScoreOptions(explain="all"))
        scored(state, key, 7, ScoreOptions(write=True))
        assert eventually(lambda: len(waiting_rows(old)) == 1)
        owed = waiting_rows(old)
        saved = qscore(old, "backup", str(archive), **away)
        assert saved.returncode == 0, saved.stderr
    assert "private/signing_key.pem" in saved.stderr
    assert f"lies outside the home: {token}" in saved.stderr
    digest = saved.stdout.split()[-1]
    restored = qscore(tmp_path / "none", "restore", str(archive), "--home", str(new), "--sha256", digest)
    assert restored.returncode == 0, restored.stderr
    assert "model lateral: 1 version(s), live = 1-starter" in restored.stdout
    told = qscore(new, "audit").stdout
    assert "backed_up" not in told  # an archive cannot hold the entry that it was made
    assert "restored" in told
    with up(new, away) as state:
        assert waiting_rows(new) == owed
        assert scored(state, key, ROWS, ScoreOptions(explain="all")) == before
