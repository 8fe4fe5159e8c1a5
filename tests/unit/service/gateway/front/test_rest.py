"""Memory of connections and large bodies that are gone: let go at once, and given back when it has grown quiet."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from scorer.service.access.api_keys import KeyFile
from scorer.service.gateway.app import Gateway
from scorer.service.gateway.front.connection import Connection
from scorer.service.gateway.front.rest import LARGE_BYTES, Rest
from scorer.service.gateway.server import front_of
from scorer.service.settings import Settings
from tests.integration.stack_tools import eventually

PATIENCE = 20.0


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    begun, stop, loops = threading.Event(), asyncio.Event(), list[asyncio.AbstractEventLoop]()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        front = front_of(gateway, listener)
        begun.set()
        await front.serve(stop, 1.0)

    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.closing(Gateway.of(settings)) as gateway:
        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert begun.wait(PATIENCE)
            yield int(listener.getsockname()[1])
        finally:
            loops[0].call_soon_threadsafe(stop.set)
            thread.join(PATIENCE)


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """What is garbage stays until it is looked for."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def connections() -> list[Connection]:
    return [one for one in gc.get_objects() if type(one) is Connection]


def half_a_body(settings: Settings, port: int, key: str) -> ssl.SSLSocket:
    """A connection that has sent half of what it announced, and whose buffers are full."""
    context = ssl.create_default_context(cafile=str(settings.tls_dir / "ca.pem"))
    bare = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection = context.wrap_socket(bare, server_hostname="localhost")
    lines = ("POST /v1/models/lateral/score HTTP/1.1", "Host: x", f"Authorization: Bearer {key}")
    declared = ("Content-Type: text/csv", "X-QScore-Rows: 50000", f"Content-Length: {4 * LARGE_BYTES}", "", "")
    connection.sendall("\r\n".join([*lines, *declared]).encode() + b"x" * 2 * LARGE_BYTES)
    return connection


@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without"])
@pytest.mark.parametrize("resets", [True, False], ids=["resets", "closes"])
def test_nothing_is_left_of_a_connection_that_ended_in_the_middle(
    settings: Settings, known: bool, resets: bool
) -> None:
    """Without the collector of garbage, which runs seldom: half a MiB of buffers for TLS would wait for it."""
    key = KeyFile(settings.api_keys).add(["score"])[1] if known else "nobody's"
    with serving(settings) as port, without_collecting():
        held = [half_a_body(settings, port, key) for _ in range(3)]
        assert eventually(lambda: len(connections()) == len(held))
        for each in held:
            if resets:
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
        assert eventually(lambda: connections() == [])


def test_memory_is_given_back_once_when_large_bodies_have_gone() -> None:
    given: list[float] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as threads:
            rest = Rest(lambda: given.append(loop.time()), threads, pause=0.2)
            with rest.after(LARGE_BYTES - 1):
                pass
            with rest.after(LARGE_BYTES):
                with rest.after(LARGE_BYTES):
                    pass
                await asyncio.sleep(0.4)
                assert given == []
            with rest.after(LARGE_BYTES):
                pass
            ended = loop.time()
            while not given:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.4)
            assert [moment >= ended + 0.2 for moment in given] == [True]

    asyncio.run(asyncio.wait_for(play(), PATIENCE))


_HOLES = """
from pathlib import Path
from scorer.service.process import return_memory, trim_memory
resident = lambda: 4096 * int(Path("/proc/self/statm").read_text().split()[1])
return_memory()
blocks = [b"x" * (n + (1 << 20)) for n in range(64)]
last = b"x" * (1 << 20)
del blocks
before = resident()
trim_memory()
print(before - resident())
"""


def test_holes_in_the_heap_go_back_to_the_system() -> None:
    """64 MiB of them, below a block that stays."""
    done = subprocess.run([sys.executable, "-c", _HOLES], check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) > 32 << 20
