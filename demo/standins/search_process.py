"""Drives a search command over stdin and stdout as splunkd does: the chunked protocol, version 2.

    with SearchProcess([sys.executable, "-I", "bin/qscore.py"]) as process:
        information = process.getinfo(["model=lateral"], splunkd_uri="https://127.0.0.1:8089", session_key="...")
        answer = process.execute(b"logons,failures\\n3,0\\n", finished=True)
        answer.body          # the chunk with the scores on it
        process.finish()     # exit status

It speaks the protocol on its own terms, so that both sides are held to Splunk's documentation and not to each other.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any

#: A command that is silent for longer is ended: nothing may hang a demo or a test.
LIMIT_SECONDS = 120.0


class CommandEnded(Exception):
    """The command closed its stdout where a reply was due."""


@dataclass(frozen=True)
class CommandReply:
    """One reply of the command."""

    metadata: Mapping[str, Any]
    body: bytes

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """(level, text) as Splunk shows them to the searcher."""
        inspector = self.metadata.get("inspector") or {}
        return tuple((level, text) for level, text in inspector.get("messages", ()))


@dataclass(frozen=True)
class SearchOutcome:
    """A whole search. ``answers``: replies to the chunks, in order, as far as they came."""

    information: CommandReply
    answers: tuple[CommandReply, ...]
    exit_status: int
    stderr: str
    messages: tuple[tuple[str, str], ...] = field(default=())


class SearchProcess:
    """One run of a command; ends the process, whatever happens, when the context closes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=None if environment is None else dict(environment),
        )
        self._stdin, self._stdout = _opened(self._process.stdin), _opened(self._process.stdout)
        self._timer = threading.Timer(LIMIT_SECONDS, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def getinfo(self, args: Sequence[str], **searchinfo: Any) -> CommandReply:
        """The first exchange; ``searchinfo`` replaces what splunkd tells of the search."""
        return self.exchange(getinfo_metadata(args, **searchinfo), b"")

    def execute(self, body: bytes, finished: bool = False) -> CommandReply:
        """One chunk of CSV."""
        return self.exchange({"action": "execute", "finished": finished, "preview": False}, body)

    def exchange(self, metadata: Mapping[str, Any], body: bytes) -> CommandReply:
        """One request and its reply. Raises CommandEnded."""
        self.send(frame(metadata, body))
        return self.receive()

    def send(self, raw: bytes) -> None:
        """Send bytes as they are, also frames that are cut short or no frames at all. Raises CommandEnded."""
        try:
            self._stdin.write(raw)
            self._stdin.flush()
        except BrokenPipeError:
            raise CommandEnded("the command closed its stdin") from None

    def receive(self) -> CommandReply:
        """Read one reply. Raises CommandEnded where there is none, ValueError for bytes that are no reply."""
        line = self._stdout.readline()
        if not line:
            raise CommandEnded("the command closed its stdout")
        start, _, rest = line.partition(b",")
        if start != b"chunked 1.0" or not line.endswith(b"\n"):
            raise ValueError(f"not the start of a reply: {line[:80]!r}")
        metadata_length, body_length = (int(number) for number in rest.split(b","))
        metadata = json.loads(self._stdout.read(metadata_length))
        return CommandReply(metadata, self._stdout.read(body_length))

    def finish(self) -> tuple[int, str, bytes]:
        """Close the command's stdin and wait: exit status, stderr, and whatever came after the last reply."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        rest = self._stdout.read()
        status = self._process.wait(LIMIT_SECONDS)
        self._errors.seek(0)
        return status, self._errors.read().decode("utf-8", "replace"), rest

    def __enter__(self) -> SearchProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._stdin, self._stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _opened(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RuntimeError("the command was started without pipes")
    return stream


def frame(metadata: Mapping[str, Any], body: bytes) -> bytes:
    """One request as splunkd writes it."""
    encoded = json.dumps(metadata).encode()
    return b"chunked 1.0,%d,%d\n" % (len(encoded), len(body)) + encoded + body


def getinfo_metadata(args: Sequence[str], **searchinfo: Any) -> dict[str, Any]:
    """Write what splunkd says before the first chunk."""
    told = {
        "args": list(args),
        "raw_args": list(args),
        "dispatch_dir": "",
        "sid": "1700000000.1",
        "app": "search",
        "owner": "analyst",
        "username": "analyst",
        "session_key": "",
        "splunkd_uri": "https://127.0.0.1:8089",
        "splunk_version": "10.0.0",
        "search": "%7C%20qscore",
        "command": "qscore",
        "maxresultrows": 50000,
        "earliest_time": "0",
        "latest_time": "0",
    }
    told.update(searchinfo)
    return {"action": "getinfo", "preview": False, "streaming_command_will_restart": False, "searchinfo": told}


def run_search(
    command: Sequence[str],
    args: Sequence[str],
    chunks: Iterable[bytes],
    environment: Mapping[str, str] | None = None,
    **searchinfo: Any,
) -> SearchOutcome:
    """A whole search: getinfo, every chunk, the last one marked as finished; stops where the command stops it."""
    with SearchProcess(command, environment) as process:
        information = process.getinfo(args, **searchinfo)
        answers: list[CommandReply] = []
        try:
            for body, finished in _marked(chunks):
                answers.append(process.execute(body, finished))
        except CommandEnded:
            pass
        status, stderr, _ = process.finish()
    messages = information.messages + tuple(m for answer in answers for m in answer.messages)
    return SearchOutcome(information, tuple(answers), status, stderr, messages)


def _marked(chunks: Iterable[bytes]) -> Iterable[tuple[bytes, bool]]:
    """Each chunk, and whether it is the last."""
    pending: bytes | None = None
    for chunk in chunks:
        if pending is not None:
            yield pending, False
        pending = chunk
    yield (b"" if pending is None else pending), True
