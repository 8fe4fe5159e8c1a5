"""The WSGI application behind the front: one request's environment, and its answer."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scorer.service.gateway.front.bodies import HeldBody
from scorer.service.gateway.front.gate import ENVIRON_BODY, ENVIRON_HEAD, ENVIRON_PERMIT, Permit, RequestHead
from scorer.service.gateway.front.refusals import Answer

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

#: Headers that say how bytes travel, which is the front's to say.
_OURS = frozenset({"connection", "transfer-encoding", "date", "keep-alive", "upgrade"})


@dataclass(frozen=True)
class Application:
    """A WSGI application, called for one whole request at a time. ``name``, ``port``: of the server."""

    app: WSGIApplication
    name: str
    port: int

    def answer(self, head: RequestHead, permit: Permit, body: HeldBody) -> Answer:
        """Run the application. For a thread that may wait."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            started[:] = [int(status.partition(" ")[0]), headers]
            return _no_writing

        pieces: Iterable[bytes] = self.app(self.environ(head, permit, body), start_response)
        try:
            content = b"".join(pieces)
        finally:
            getattr(pieces, "close", _nothing)()
        status, headers = started
        return Answer(status, [(name, text) for name, text in headers if name.lower() not in _OURS], content)

    def environ(self, head: RequestHead, permit: Permit, body: HeldBody) -> dict[str, Any]:
        """Write the request's environment (PEP 3333)."""
        fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in head.headers.items()}
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            fields[name] = fields.pop(f"HTTP_{name}", "")
        return fields | {
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": head.path.encode("utf-8", "surrogateescape").decode("latin-1"),
            "QUERY_STRING": head.query,
            "SERVER_NAME": self.name,
            "SERVER_PORT": str(self.port),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": head.peer.address,
            "REMOTE_PORT": str(head.peer.port),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BufferedReader(_BodyStream(body)),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            ENVIRON_HEAD: head,
            ENVIRON_PERMIT: permit,
            ENVIRON_BODY: body,
        }


class _BodyStream(io.RawIOBase):
    """The body as a stream. It holds none of it, so that it is gone when the application lets it go."""

    def __init__(self, body: HeldBody) -> None:
        super().__init__()
        self._body = body
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._body.content()[self._read : self._read + len(buffer)]
        buffer[: len(piece)] = piece
        self._read += len(piece)
        return len(piece)


def _nothing() -> None:
    """Close what needs no closing."""


def _no_writing(_data: bytes) -> None:
    raise NotImplementedError("the application returns its whole body")
