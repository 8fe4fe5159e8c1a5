"""The attackers, each a process of its own: ``python -m tests.attack.assaults NAME PLACE`` attacks until it is killed.

PLACE is a JSON object: host, port, the authority's file and a key with the scope `score`.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from scorer.wire.names import MAX_BODY_BYTES

_PIECE = 256 * 1024
_PAUSE = 0.5  # seconds between two bytes of those who drip
_ARROW = "application/vnd.apache.arrow.stream"
_PATH = "/v1/models/lateral/score"


@dataclass(frozen=True)
class Place:
    """Where the gateway is, and a key of the attacker's, of scope `score`."""

    host: str
    port: int
    ca_file: str
    key: str

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Assault:
    """One way to attack. ``connections``: at once, each renewed when it ends. ``line``: what the log must hold."""

    name: str
    what: str
    once: Callable[[Place], None]
    connections: int
    line: str


def _bare(place: Place) -> socket.socket:
    return socket.create_connection((place.host, place.port), timeout=60.0)


def _tls(place: Place) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=place.ca_file)
    context.check_hostname = False
    return context.wrap_socket(_bare(place))


def _until_closed(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def say_nothing(place: Place) -> None:
    with _bare(place) as connection:
        _until_closed(connection)


def one_byte(place: Place) -> None:
    with _bare(place) as connection:
        connection.sendall(b"\x16")
        _until_closed(connection)


def idle_tls(place: Place) -> None:
    with _tls(place) as connection:
        _until_closed(connection)


def _drip(connection: ssl.SSLSocket, content: bytes) -> None:
    for k in range(len(content)):
        connection.sendall(content[k : k + 1])
        time.sleep(_PAUSE)


def drip_head(place: Place) -> None:
    with _tls(place) as connection:
        _drip(connection, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 4000)


def head_of(place: Place, length: int, rows: int = 3, media_type: str = "text/csv", key: str | None = None) -> bytes:
    """A scoring request's head, with the attacker's key; ``key``: another one, or none where it is empty."""
    used = place.key if key is None else key
    lines = [f"POST {_PATH} HTTP/1.1", "Host: x", f"Content-Length: {length}", f"Content-Type: {media_type}"]
    lines += [f"X-QScore-Rows: {rows}"] + ([f"Authorization: Bearer {used}"] if used else [])
    return "\r\n".join([*lines, "", ""]).encode()


def drip_body(place: Place) -> None:
    with _tls(place) as connection:
        connection.sendall(head_of(place, 4000))
        _drip(connection, b"x" * 4000)


def _post(place: Place, head: bytes, body: bytes) -> None:
    with _tls(place) as connection:
        connection.sendall(head)
        view = memoryview(body)
        for start in range(0, len(view), _PIECE):
            connection.sendall(view[start : start + _PIECE])
        _until_closed(connection)


def large_body(place: Place) -> None:
    # As large as may be, and refused as soon as it is looked at.
    with _tls(place) as connection:
        connection.sendall(head_of(place, MAX_BODY_BYTES, 50_000, _ARROW))
        piece = b"1" * _PIECE
        for _ in range(MAX_BODY_BYTES // _PIECE):
            connection.sendall(piece)
        connection.recv(4096)


def large_body_without_key(place: Place) -> None:
    with _tls(place) as connection:
        connection.sendall(head_of(place, MAX_BODY_BYTES, key=""))
        piece = b"1" * _PIECE
        for _ in range(MAX_BODY_BYTES // _PIECE):
            connection.sendall(piece)
        _until_closed(connection)


def empty_cells(place: Place) -> None:
    body = b'{"columns":{"events":[' + b"{}," * 20_000_000 + b"{}]}}"
    _post(place, head_of(place, len(body), media_type="application/json"), body)


def dictionaries(place: Place) -> None:
    body = _dictionary_stream()
    _post(place, head_of(place, len(body), 50_000, _ARROW), body)


def _dictionary_stream() -> bytes:
    """About 5 MB of Arrow: thirteen columns of 50,000 rows, each decoded to a thousand bytes a row."""
    import pyarrow as pa

    names = [
        "_time",
        "user",
        "src",
        "dest",
        "host",
        "port_class",
        "origin_id",
        "index",
        "sourcetype",
        "a",
        "b",
        "c",
        "d",
    ]
    words = pa.array(["x" * 1000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int64()), words)
    table = pa.table(dict.fromkeys(names, column))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def fill(place: Place) -> None:
    from tests.integration.stack_tools import body

    content = _CACHE.setdefault("fill", body(50_000))
    _post(place, head_of(place, len(content), 50_000), content)


_CACHE: dict[str, bytes] = {}

ASSAULTS = (
    Assault("silent", "16 TCP connections that say nothing", say_nothing, 16, "handshake_timed_out"),
    Assault("one-byte", "40 connections with one byte of TLS", one_byte, 40, "handshake_timed_out"),
    Assault("idle-tls", "40 connections idle after their handshake", idle_tls, 40, "head_timed_out"),
    Assault("drip-head", "40 heads, a byte each 0.5 s", drip_head, 40, "head_timed_out"),
    Assault("drip-body", "40 bodies, a byte each 0.5 s, with a key", drip_body, 40, "body_too_slow"),
    Assault("bare-600", "600 TCP connections that say nothing", say_nothing, 600, "handshake_timed_out"),
    Assault("bodies-64m", "17 bodies of 64 MiB at once, with a key", large_body, 17, '"endpoint": "score"'),
    Assault("body401", "17 bodies of 64 MiB without a key", large_body_without_key, 17, "body_refused"),
    Assault("empty-cells", "20 million empty JSON cells, twice at once", empty_cells, 2, '"endpoint": "score"'),
    Assault("dictionaries", "5 MB of Arrow dictionaries, twice at once", dictionaries, 2, '"endpoint": "score"'),
    Assault("fill", "32 connections with 50,000 rows each, without a pause", fill, 32, '"endpoint": "score"'),
)


def _again_and_again(assault: Assault, place: Place) -> None:
    while True:
        with contextlib.suppress(OSError):
            assault.once(place)
        time.sleep(0.05)


def main(name: str, place: str) -> None:
    """Attack until killed."""
    assault = next(one for one in ASSAULTS if one.name == name)
    threading.stack_size(256 * 1024)
    aimed = Place(**json.loads(place))
    for _ in range(assault.connections):
        threading.Thread(target=_again_and_again, args=(assault, aimed), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
