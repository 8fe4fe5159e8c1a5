"""A loopback HTTPS server that serves from threads of its own: the ground that every stand-in stands on."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PATIENCE = 5.0  # seconds for a client's handshake and request


class HttpsEndpoint:
    """Serves ``handler`` on 127.0.0.1 while its context is open. Subclasses hold what the handler answers from.

    ``certificate``: PEM, with the private key in it unless ``private_key`` names another file. ``port``: 0 takes a free
    one. ``closing`` is set when the context closes, so that an answer which hangs can end.
    """

    def __init__(
        self,
        handler: type[EndpointHandler],
        certificate: Path,
        private_key: Path | None = None,
        port: int = 0,
    ) -> None:
        self.closing = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, private_key)
        self._server = _Server(("127.0.0.1", port), handler, context, self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def serve(self) -> None:
        """Serve in this thread until it is interrupted."""
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            self._server.server_close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class EndpointHandler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive; quiet, because what was asked for is kept by the endpoint."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (http.server's own name)
        """Nothing on stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing the server waits for every answer in hand

    def __init__(
        self, address: tuple[str, int], handler: type[EndpointHandler], tls: ssl.SSLContext, endpoint: HttpsEndpoint
    ) -> None:
        super().__init__(address, handler)
        self.tls = tls
        self.endpoint = endpoint

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.settimeout(_PATIENCE)
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off or distrusts the certificate is no fault of the endpoint."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def endpoint_of(handler: EndpointHandler) -> Any:
    """Find the endpoint that a handler answers for. Raises TypeError for another server's handler.

    Any, because each handler knows its own kind.
    """
    server = handler.server
    if not isinstance(server, _Server):
        raise TypeError("an EndpointHandler serves an HttpsEndpoint only")
    return server.endpoint
