"""What somebody else learns: another user of the machine of a running stack, and whoever reads its logs."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context

import pyarrow as pa

from scorer.service.stack.up import StackState
from scorer.wire.names import MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON
from tests.integration.stack_tools import processes

NOBODY = 65534
#: Run as somebody else: which of these paths can be opened, listed or connected to.
_LOOK = """
import json, os, socket, stat, sys
os.setgroups([]); os.setgid({user}); os.setuid({user})
opened = []
for path in json.load(sys.stdin):
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            os.listdir(path)
        elif stat.S_ISSOCK(kind):
            with socket.socket(socket.AF_UNIX) as asked:
                asked.connect(path)
        else:
            open(path, "rb").close()
        opened.append(path)
    except OSError:
        pass
json.dump(opened, sys.stdout)
"""


def opened_by_nobody(home: Path) -> set[str]:
    """Paths under a home, relative to it, that another user can open, list or connect to. Only root can find out."""
    paths = [str(path) for path in (home, *home.rglob("*"))]
    command = [sys.executable, "-I", "-c", _LOOK.format(user=NOBODY)]
    done = subprocess.run(command, input=json.dumps(paths), capture_output=True, text=True, check=True)
    return {os.path.relpath(path, home) for path in json.loads(done.stdout)}


def process_texts(home: Path) -> Iterator[tuple[int, bytes]]:
    """What other users, or a child that is handed it, may read of each process of a stack: words and variables."""
    for pid in processes(home):
        folder = Path("/proc") / str(pid)
        yield pid, (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()


def core_limits(home: Path) -> dict[int, str]:
    """The limit of core dumps of each process of a stack."""
    found = {}
    for pid in processes(home):
        lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
        found[pid] = next(line.split()[4] for line in lines if line.startswith("Max core file size"))
    return found


def broken_bodies(marker: str) -> Iterator[tuple[str, bytes]]:
    """Bodies at which something is wrong, with a marker where it is."""
    text = marker.encode()
    yield MEDIA_CSV, b"events,logons,failures\n" + text + b",1,1\n"
    yield MEDIA_CSV, text + b"," + text + b"\n1,1\n"
    yield MEDIA_CSV, b"events,events," + text + b"\n1,1,1\n"
    yield MEDIA_CSV, b'events\n"' + text
    yield MEDIA_CSV, b"events\n" + text + b",1,1,1\n"
    yield MEDIA_CSV, b"events\n\xff\xfe" + text + b"\n" + text + b"\n"
    yield MEDIA_JSON, b'{"columns": {"' + text + b'": [1'
    yield MEDIA_JSON, b'{"' + text + b'": 1}'
    yield MEDIA_JSON, b'{"columns": {"events": ["' + text + b'"], "' + text + b'": 5}}'
    yield MEDIA_JSON, b'{"columns": {"events": [' + text + b"]}}"
    for column in (pa.array([text]), pa.array([{marker: 1}]), pa.array([marker])):
        sink = pa.BufferOutputStream()
        table = pa.table({"events": column, "user": column, marker: column})
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        yield MEDIA_ARROW, sink.getvalue().to_pybytes()


class Caller:
    """Says to a gateway what nobody should find again."""

    def __init__(self, state: StackState, secret: str) -> None:
        self._state, self._secret = state, secret

    def ask(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None) -> int:
        context = create_default_context(cafile=self._state.ca_file)
        connection = HTTPSConnection(self._state.url.removeprefix("https://"), timeout=30, context=context)
        try:
            connection.request(method, target, body, {"Authorization": f"Bearer {self._secret}"} | headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def says_everywhere(self, marker: str) -> list[int]:
        """A marker in each part of requests that are refused, and in each place of a body that is not rows."""
        score = "/v1/models/lateral/score"
        batch = {"Content-Type": MEDIA_CSV, "X-QScore-Rows": "1"}
        good = b"events\n1\n"
        statuses = [
            self.ask("GET", f"/{marker}", {}),
            self.ask("GET", f"/v1/models/{marker}", {}),
            self.ask("GET", f"/v1/models/lateral?version={marker}", {}),
            self.ask("GET", f"/v1/models/lateral?{marker}=1", {}),
            self.ask("GET", f"/docs/{marker}", {}),
            self.ask("POST", f"/v1/models/{marker}/score", batch, good),
            self.ask("POST", f"{score}?{marker}=1", batch, good),
            self.ask("POST", f"{score}?threshold={marker}", batch, good),
            self.ask("POST", f"{score}?explain={marker}&version={marker}", batch, good),
            self.ask("POST", "/v1/token", {"Content-Type": MEDIA_JSON}, b'{"scopes": ["' + marker.encode() + b'"]}'),
        ]
        named = [
            *("Authorization", "X-QScore-Rows", "X-QScore-Timeout", "X-QScore-Queue", "X-QScore-Submitter"),
            *("Content-Type", "Content-Encoding", "Expect", "X-QScore-Release", "User-Agent", "X-Forwarded-For"),
            *("Forwarded", "Cookie", "Referer", "Host", marker),
        ]
        statuses += [self.ask("POST", score, batch | {name: f"Bearer {marker}"}, good) for name in named]
        statuses.append(self.ask("POST", score, batch | {"X-QScore-Batch": marker + "/"}, good))
        bodies = broken_bodies(marker)
        statuses += [self.ask("POST", score, batch | {"Content-Type": media}, body) for media, body in bodies]
        self._says_no_http(marker)
        return statuses

    def _says_no_http(self, marker: str) -> None:
        host, _, port = self._state.url.removeprefix("https://").rpartition(":")
        context = create_default_context(cafile=self._state.ca_file)
        for text in (f"GET / HTTP/1.1\r\n{marker}\r\n\r\n", f"GET /{marker}\r\n", f"{marker} / HTTP/1.1\r\n\r\n"):
            with (
                socket.create_connection((host, int(port)), timeout=30) as bare,
                context.wrap_socket(bare, server_hostname="localhost") as secured,
            ):
                secured.sendall(text.encode())
                secured.recv(4096)
        with socket.create_connection((host, int(port)), timeout=30) as bare, contextlib.suppress(ConnectionError):
            bare.sendall(f"GET /{marker} HTTP/1.1\r\n\r\n".encode())
            bare.recv(4096)
