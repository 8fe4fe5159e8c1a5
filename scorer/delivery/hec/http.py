"""The HTTP side of the HEC sink: one verified TLS connection, one POST at a time, answers read with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scorer.delivery.sink import SinkBusy, SinkRefused
from scorer.printable import printable
from scorer.wire.errors import Unavailable, Untrusted
from scorer.wire.transport import HttpAnswer, Peer, TlsConnection, Trust

PATH = "/services/collector/event"
MAX_REPLY = 64 * 1024
MAX_RETRY_AFTER = 3600.0

COLLECTOR = Peer(
    name="the HTTP Event Collector",
    form="https://host:8088",
    port=8088,
    address="Set hec.url to the collector's address, such as https://splunk.example:8088.",
    trust="Set hec.ca_file to the PEM file of the authority that signed its certificate, and use a name that it holds.",
    silent="Rows are kept and sent again.",
    slow="Rows are kept and sent again; a slow collector may need a longer hec.timeout.",
)


@dataclass(frozen=True)
class HecReply:
    """HEC's answer. ``code``, ``text``, ``invalid_event`` are None or empty where the body is not HEC's JSON."""

    status: int
    url: str
    code: int | None = None
    text: str = ""
    invalid_event: int | None = None
    retry_after: float | None = None


class HecClient:
    """Posts to one collector; for one thread. ``timeout``: seconds for each request, from connecting to its answer.

    Raises ConfigurationError when the address is not https or the certificate authorities cannot be read. TLS is
    always verified; a collector with a certificate of its own needs ``ca_file``.
    """

    def __init__(self, url: str, token: str, ca_file: Path | None = None, timeout: float = 10.0) -> None:
        trust = Trust(str(ca_file) if ca_file else None)
        self._connection = TlsConnection(_without_path(url), COLLECTOR, trust)
        self.url = self._connection.url + PATH
        self._headers = {"Authorization": f"Splunk {token}", "Content-Type": "application/json"}
        self._timeout = timeout

    @contextmanager
    def connected(self) -> Iterator[Callable[[bytes], HecReply]]:
        """Give a post function over one kept connection; it raises SinkBusy or SinkRefused when no answer comes."""
        try:
            yield self._post
        finally:
            self._connection.close()

    def _post(self, body: bytes) -> HecReply:
        answer = self._exchange(body)
        if 300 <= answer.status < 400:
            raise SinkRefused(
                f"{self.url} redirects to {answer.headers.get('location', 'nowhere')[:200]!r}",
                "Set hec.url to the collector itself: a token does not follow redirects.",
            )
        return _reply(answer.status, answer.body, answer.headers.get("retry-after"), self.url)

    def _exchange(self, body: bytes) -> HttpAnswer:
        # Safe to repeat, as exchange asks: every event carries its qscore_id, by which searches deduplicate.
        try:
            return self._connection.exchange("POST", PATH, body, self._headers, self._timeout, MAX_REPLY, cut=True)
        except Untrusted as error:
            raise SinkRefused(error.detail, error.remedy) from None
        except Unavailable as error:
            raise SinkBusy(error.detail, error.remedy) from None


def _without_path(url: str) -> str:
    """Cut the collector's address to its origin; some name its path with it."""
    return url.partition("?")[0].partition("#")[0].removesuffix(PATH)


def _reply(status: int, raw: bytes, retry_after: str | None, url: str) -> HecReply:
    """Check the parts of an untrusted answer."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return HecReply(
            status, url, text=printable(raw[:200].decode("utf-8", "replace")), retry_after=_pause(retry_after)
        )
    text = body.get("text")
    return HecReply(
        status=status,
        url=url,
        code=_whole(body.get("code")),
        text=printable(text[:200]) if isinstance(text, str) else "",
        invalid_event=_whole(body.get("invalid-event-number")),
        retry_after=_pause(retry_after),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _pause(header: str | None) -> float | None:
    """Read the seconds of a Retry-After header; dates and nonsense count as not given."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
