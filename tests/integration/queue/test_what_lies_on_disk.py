"""What docs/security.md says of the disk, held by planted markers: feature values, entities, columns nobody asked for
and keys, looked for in every file under the home, as they are and in base64."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demo.running_stack import running_stack
from scorer.service.access.api_keys import KeyFile
from scorer.service.queue.broker import FAST, redis_client
from scorer.service.queue.jobs import INLINE_BYTES
from scorer.service.stack.up import StackState
from scorer.wire.client import GatewayClient
from scorer.wire.options import ScoreOptions
from tests.integration.queue.strangers import Caller, core_limits, opened_by_nobody, process_texts
from tests.integration.stack_tools import body, eventually, settings_of

FEATURE, USER, UNUSED = "7351.28125", "marked-user-of-a-test", "marked-column-nobody-asked-for"
MADE_UP = "marked-words-that-a-caller-made-up"
SMALL, LARGE = 3, 400  # rows of a body inside its message, and of one that lies apart


def marked(rows: int) -> bytes:
    """A body in whose first row the markers stand: a feature, an entity, and a column that no model asks for."""
    header, first, *rest = body(rows).decode().split("\n")
    cells = first.split(",")
    cells[1], cells[4] = USER, FEATURE
    lines = [header + ",unused", ",".join(cells) + "," + UNUSED, *(line and line + ",x" for line in rest)]
    return "\n".join(lines).encode()


def spellings(marker: str) -> list[bytes]:
    """The marker itself, and what is the same in base64 wherever it stands."""
    found = [marker.encode()]
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + marker.encode()).decode()
        found.append(encoded[4:-4].encode())
    return found


class Stack(NamedTuple):
    home: Path
    state: StackState
    secret: str

    def client(self) -> GatewayClient:
        return GatewayClient(self.state.url, self.secret, self.state.ca_file, timeout=30.0)

    def holding(self, marker: str) -> set[str]:
        """Folders or files of the home in which a marker stands."""
        return {
            path.relative_to(self.home).parts[0]
            for path in self.home.rglob("*")
            if path.is_file() and any(word in path.read_bytes() for word in spellings(marker))
        }

    def unsettled(self) -> bool:
        with redis_client(settings_of(self.home)) as client:
            return bool(client.keys("qscore:rows:*"))


@contextlib.contextmanager
def started(home: Path, file: Path) -> Iterator[Stack]:
    secret = KeyFile(settings_of(home).api_keys).add(["read", "score", "write"])[1]
    sink = {"QSCORE_SINK": "file", "QSCORE_SINK_FILE": str(file)}
    with running_stack(home, "--port", "0", "--workers", "1", environment=sink) as state:
        yield Stack(home, state, secret)


@pytest.fixture
def home(publish_tiny: Callable[[Path], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # not the test's own, into which nobody else may look
        Path(folder).chmod(0o755)
        publish_tiny(Path(folder) / "home")
        yield Path(folder) / "home"


def test_markers_are_where_the_security_page_says(home: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with started(home, tmp_path / "events.ndjson") as stack, stack.client() as client:
            _markers_of_each_way(stack, client)
            _nobody_else_reads(home)
            _no_process_shows_a_secret(stack)
            _the_server_of_searches_writes_nothing(home)
            _nothing_that_a_caller_made_up_is_kept(stack)
    finally:
        os.umask(before)
    # At a stop the file is written anew; nothing of what is done is left anywhere.
    for marker in (FEATURE, USER, UNUSED, stack.secret):
        assert stack.holding(marker) == set(), marker


def _markers_of_each_way(stack: Stack, client: GatewayClient) -> None:
    assert len(marked(SMALL)) < INLINE_BYTES < len(marked(LARGE))
    for rows in (SMALL, LARGE):
        client.score("lateral", marked(rows), rows, ScoreOptions(explain="all"))
    for marker in (FEATURE, USER, UNUSED, stack.secret):
        assert stack.holding(marker) == set(), marker
    # A search that writes: its rows with their entities, and no feature, go to the durable server.
    client.score("lateral", marked(LARGE), LARGE, ScoreOptions(write=True))
    assert eventually(lambda: not stack.unsettled())
    assert eventually(lambda: stack.holding(USER) == {"queue"})
    for marker in (FEATURE, UNUSED, stack.secret):
        assert stack.holding(marker) == set(), marker
    # A file: its whole body.
    for rows in (SMALL, LARGE):
        client.score("lateral", marked(rows), rows, bulk=True)
    assert eventually(lambda: stack.holding(FEATURE) == {"queue"})
    assert eventually(lambda: stack.holding(UNUSED) == {"queue"})
    assert stack.holding(stack.secret) == set()


def _nobody_else_reads(home: Path) -> None:
    for folder in (home, home / "run", home / "queue", home / "logs", home / "queue" / "appendonlydir"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    for path in (*(home / "logs").iterdir(), *(home / "queue" / "appendonlydir").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    if os.geteuid() == 0:  # only root can become somebody else
        assert opened_by_nobody(home) == set()
        home.chmod(0o755)  # as an administrator does who wants to see the logs
        opened = opened_by_nobody(home)
        home.chmod(0o700)
        # Models and public keys alone: no rows, scores, logs, keys, and no way to the queue.
        assert {Path(path).parts[:1] for path in opened} == {(), ("registry",), ("trusted_keys",)}


def _no_process_shows_a_secret(stack: Stack) -> None:
    settings = settings_of(stack.home)
    private = (settings.signing_key, settings.tls_dir / "ca_key.pem", settings.local_key)
    secrets = [stack.secret.encode(), *(path.read_bytes().strip() for path in private)]
    seen = dict(process_texts(stack.home))
    assert len(seen) >= 6
    for pid, text in seen.items():
        assert not [secret for secret in secrets if secret in text], pid
    assert set(core_limits(stack.home).values()) == {"0"}


def _nothing_that_a_caller_made_up_is_kept(stack: Stack) -> None:
    """Neither what was wrong with a request nor what stood beside it."""
    statuses = Caller(stack.state, stack.secret).says_everywhere(MADE_UP)
    assert len(statuses) > 30
    assert set(statuses) <= {200, 400, 401, 403, 404, 413, 415, 417, 422}
    assert stack.holding(MADE_UP) == set()


def _the_server_of_searches_writes_nothing(home: Path) -> None:
    with redis_client(settings_of(home), server=FAST) as client:
        told: Any = client.config_get("*")
        server: Any = client.info("server")
    assert (told["appendonly"], told["save"]) == ("no", "")
    limits = Path(f"/proc/{server['process_id']}/limits").read_text().splitlines()
    assert [line.split()[4:6] for line in limits if line.startswith("Max core file size")] == [["0", "0"]]
