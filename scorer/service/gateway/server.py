"""The gateway's server process: ``python -m scorer.service.gateway [listening file descriptor]``.

One process: an event loop holds connections, heads and bodies; requests wait on the queue in threads, and hardly
compute. Its key cache, connection pools and metrics then need no sharing. More gateways run as more machines behind a
balancer.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

from scorer.logs import configure_logs
from scorer.service.access.authority import TlsFiles, server_files
from scorer.service.access.effective import audit_start
from scorer.service.access.trust.anchors import keep_logging_ends
from scorer.service.gateway.app import QUICK_THREADS, TOKEN_THREADS, Gateway, application_of
from scorer.service.gateway.entrance.client_certificates import ask_for_certificates
from scorer.service.gateway.front.application import Application
from scorer.service.gateway.front.bodies import BodyRooms, Pace
from scorer.service.gateway.front.census import Census
from scorer.service.gateway.front.connection import House, Limits
from scorer.service.gateway.front.discard import Discard
from scorer.service.gateway.front.notices import Notices
from scorer.service.gateway.front.rest import Rest
from scorer.service.gateway.front.server import Front
from scorer.service.gateway.front.sockets import descriptors
from scorer.service.gateway.permits import GatewayGate
from scorer.service.process import return_memory, trim_memory
from scorer.service.queue.broker import private_dir
from scorer.service.queue.sealing.exposure import warn_of_exposures
from scorer.service.settings import GatewaySettings, Settings, load_settings
from scorer.wire.errors import ConfigurationError

#: Connections without a word, for each of those that cost buffers.
_SILENT = 4
#: File descriptors beside those of connections: queue, registry, bodies in files, logs.
_OTHER_DESCRIPTORS = 512


def tls_context(settings: Settings, files: TlsFiles) -> ssl.SSLContext:
    """Make the terms of TLS: the gateway's certificate, version 1.2 or later, callers' certificates as they are set.

    Raises ConfigurationError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(files.certificate, files.private_key)
    except OSError as error:
        raise ConfigurationError(
            f"{files.certificate} and {files.private_key} are no certificate with its key: {error}",
            "Name PEM files that belong together in gateway.certificate and gateway.private_key.",
        ) from None
    ask_for_certificates(context, settings.gateway, settings.tls_dir / "ca.pem")
    return context


def front_of(gateway: Gateway, listener: socket.socket) -> Front:
    """Put the server together: application, gate, threads and the limits that are set. For a running event loop."""
    settings, own = gateway.settings, gateway.settings.gateway
    threads = ThreadPoolExecutor(own.threads, "request")
    quick = ThreadPoolExecutor(QUICK_THREADS, "quick")
    house = House(
        gate=GatewayGate(gateway.checks, gateway.journal, quick),
        application=Application(application_of(gateway), own.host, listener.getsockname()[1]),
        rooms=BodyRooms.of(own.body_memory, own.body_disk, private_dir(settings.run_dir), quick),
        limits=Limits(own.head_seconds, own.idle_seconds, Pace(own.body_seconds, own.body_rate)),
        notices=Notices(lambda end: gateway.metrics.ended.labels(end).inc()),
        discard=Discard(),
        rest=Rest(trim_memory, quick),
        slots=asyncio.Semaphore(own.threads),
        threads=threads,
        patient=ThreadPoolExecutor(TOKEN_THREADS, "token"),
        quick=quick,
    )
    census = Census(own.connections, own.connections_per_address)
    return Front(house, _arrivals(own), census, listener, tls_context(settings, server_files(settings)))


def _arrivals(own: GatewaySettings) -> Census:
    """Count those who have said nothing yet: as many as there are file descriptors for, four times the others at most.

    From one address too: whoever is there to be served says something at once, and who does not leaves first.
    """
    others = own.connections + _OTHER_DESCRIPTORS
    many = max(1, min(_SILENT * own.connections, descriptors(_SILENT * own.connections + others) - others))
    return Census(many, many)


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = Gateway.of(settings)
    front = front_of(gateway, listener)
    gc.freeze()  # imports stay for ever; collecting garbage need not walk through them
    await front.serve(stop, settings.gateway.stop_seconds)
    gateway.close()


def listening(gateway: GatewaySettings, inherited: str | None) -> socket.socket:
    """Take the listening socket that was handed down by its file descriptor, or open one. Raises ConfigurationError."""
    if inherited is not None:
        return socket.socket(fileno=int(inherited))
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    try:
        return socket.create_server((gateway.host, gateway.port), family=family, backlog=512)
    except OSError as error:
        raise ConfigurationError(
            f"the gateway cannot listen on {gateway.host}:{gateway.port}: {error.strerror}",
            "Choose another gateway.port, or stop what uses it.",
        ) from None


def main(arguments: list[str]) -> None:
    """Serve with this process's settings."""
    return_memory()
    settings = load_settings()
    configure_logs("gateway")
    audit_start(settings, "gateway")
    warn_of_exposures(settings)
    keep_logging_ends(settings)
    with listening(settings.gateway, arguments[0] if arguments else None) as listener:
        asyncio.run(serve(settings, listener))
    logging.shutdown()
    # Threads that still wait for a worker would hold the process as long as their callers wanted to wait.
    os._exit(0)


def run() -> None:
    """Serve until a signal. Raises SystemExit with one sentence where a setting is wrong."""
    try:
        main(sys.argv[1:])
    except ConfigurationError as error:
        raise SystemExit(f"qscore: {error.sentence()}") from None
