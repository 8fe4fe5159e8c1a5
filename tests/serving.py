"""Servers on 127.0.0.1 that leave nothing behind: neither a thread nor a connection outlives the block."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any


class _Closing(ThreadingTCPServer):
    """Ends the connections that callers keep open, and waits for the threads that serve them."""

    daemon_threads = False

    def __init__(self, handler: type[BaseRequestHandler], tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake is for the thread that serves
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Say nothing: callers that break off, or refuse a certificate, are meant to."""

    def end(self) -> None:
        self.shutdown()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _ClosingHttp(_Closing, ThreadingHTTPServer):
    """The same, as http.server has it."""


@contextlib.contextmanager
def serving(handler: type[BaseRequestHandler], tls: ssl.SSLContext | None = None, http: bool = True) -> Iterator[int]:
    """Serve in threads for the time of the block; yields the port."""
    server = (_ClosingHttp if http else _Closing)(handler, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.end()
        thread.join()
