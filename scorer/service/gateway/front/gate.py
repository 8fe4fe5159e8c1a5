"""The hook between a request's head and its body: who may go on, on what terms, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from scorer.service.access.door.noted import Noted
from scorer.wire.errors import QScoreError

#: Where the application finds the permit and the head of its request in its WSGI environment.
ENVIRON_PERMIT = "qscore.permit"
ENVIRON_HEAD = "qscore.head"
ENVIRON_BODY = "qscore.body"


@dataclass(frozen=True)
class Peer:
    """The other end of a connection. ``certificate``: DER of the client certificate that TLS verified, if any."""

    address: str
    port: int
    certificate: bytes | None = None


@dataclass(frozen=True)
class RequestHead:
    """A request before its body.

    ``path``: percent-decoded. ``query``: as it came, without the question mark. ``headers``: names in lower case, each
    value as latin-1 text, repeated ones joined by commas. ``length``: bytes of the body, None where none was announced.
    ``keep_alive``: whether the caller wants the connection to stay. ``noted``: what is found out about it on its way.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: Peer
    length: int | None
    keep_alive: bool = True
    noted: Noted = field(default_factory=Noted, compare=False)

    def header(self, name: str) -> str | None:
        """Read a header by its name, in any case."""
        return self.headers.get(name.lower())


class Permit(Protocol):
    """The terms on which one request goes on; given back exactly once, whatever becomes of the request."""

    @property
    def waits(self) -> bool:
        """Tell whether the request may wait long: it then takes a thread for that, else one of the quick."""

    @property
    def known(self) -> bool:
        """Tell whether a key answers for the request: its connection stays, whoever else comes."""

    async def turn(self) -> None:
        """Wait, without a thread, until the request may take one. Called when its body is complete.

        Raises QScoreError where its turn does not come in time.
        """

    def release(self) -> None:
        """Give the permit back: the answer was sent, or nobody is left to take it. Called in the event loop."""


class Gate(Protocol):
    """Who decides about a request when its head is there and nothing of its body was read. Called in the event loop."""

    async def admit(self, head: RequestHead) -> Permit:
        """Let the request in, or raise the QScoreError that its caller gets. Blocking work belongs into a thread."""

    async def refused(self, head: RequestHead, error: QScoreError, seconds: float) -> None:
        """Note a request that ended before the application saw it: refused by the gate, or its body did not come.

        Blocking work belongs into a thread.
        """


@dataclass(frozen=True)
class OpenPermit:
    """A permit that limits nothing."""

    waits: bool = False
    known: bool = False

    async def turn(self) -> None:
        """Wait for nobody."""

    def release(self) -> None:
        """Hold nothing that could be given back."""
