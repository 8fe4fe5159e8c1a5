"""The gateway's server process: ``python -m scorer.service.gateway [listening file descriptor]``.

One gunicorn worker with threads: requests wait on the queue and hardly compute, so that one process carries them; its
key cache, connection pools and metrics then need no sharing. More gateways run as more machines behind a balancer.
"""

from __future__ import annotations

import gc
import os
import signal
import ssl
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from scorer.logs import configure_logs
from scorer.service.access.authority import TlsFiles, server_files
from scorer.service.access.effective import audit_start
from scorer.service.gateway.app import create_app
from scorer.service.process import end_with_parent
from scorer.service.settings import Settings, load_settings
from scorer.wire.errors import ConfigurationError


class PropagatingLogger(Logger):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's records in our own form: no handlers of its own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        self.access_log.disabled = True  # the gateway logs its requests with their batch ids


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn with settings from code alone: no command line, no configuration file."""

    def __init__(self, options: dict[str, Any], settings: Settings) -> None:
        self._options = options
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self._settings)


def options(settings: Settings, bind: str, files: TlsFiles) -> dict[str, Any]:
    """Write gunicorn's settings."""
    return {
        "bind": bind,
        "worker_class": "gthread",
        "workers": 1,
        "threads": settings.gateway.threads,
        "worker_connections": 512,
        "keepalive": 75,  # seconds; a search's chunks come over one connection
        "timeout": 60,
        "graceful_timeout": 5,
        "certfile": str(files.certificate),
        "keyfile": str(files.private_key),
        "ssl_context": _strict_tls,
        "http_protocols": "h1",
        "forwarded_allow_ips": "",  # no proxy's word is taken for who calls
        "limit_request_fields": 50,
        "control_socket_disable": True,
        "post_fork": _settle,
        "logger_class": PropagatingLogger,
        "proc_name": "qscore-gateway",
    }


def _strict_tls(_config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _settle(_server: Any, _worker: Any) -> None:
    end_with_parent(signal.SIGKILL, os.getppid())
    gc.freeze()  # imports stay for ever; collecting garbage need not walk through them


def main(arguments: list[str]) -> None:
    settings = load_settings()
    configure_logs("gateway")
    audit_start(settings, "gateway")
    gateway = settings.gateway
    bind = f"fd://{arguments[0]}" if arguments else f"{gateway.host}:{gateway.port}"
    Server(options(settings, bind, server_files(settings)), settings).run()


def run() -> None:
    """Serve until a signal. Raises SystemExit with one sentence where a setting is wrong."""
    try:
        main(sys.argv[1:])
    except ConfigurationError as error:
        raise SystemExit(f"qscore: {error.sentence()}") from None
