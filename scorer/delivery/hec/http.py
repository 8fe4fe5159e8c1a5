"""The HTTP side of the HEC sink: one verified TLS connection, one POST at a time, answers read with suspicion."""

from __future__ import annotations

import http.client
import json
import math
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scorer.delivery.sink import SinkBusy, SinkRefused
from scorer.wire.errors import ConfigurationError

PATH = "/services/collector/event"
MAX_REPLY = 64 * 1024
MAX_RETRY_AFTER = 3600.0


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
    """Posts to one collector. ``timeout``: seconds for connecting and for each answer.

    Raises ConfigurationError when the address is not https or the certificate authorities cannot be read. TLS is
    always verified; a collector with a certificate of its own needs ``ca_file``.
    """

    def __init__(self, url: str, token: str, ca_file: Path | None = None, timeout: float = 10.0) -> None:
        self._host, self._port = _address(url)
        self.url = f"https://{self._host}:{self._port}{PATH}"
        self._token = token
        self._timeout = timeout
        self._tls = _tls(ca_file)

    @contextmanager
    def connected(self) -> Iterator[Callable[[bytes], HecReply]]:
        """A post function over one kept connection; it raises SinkBusy or SinkRefused when no answer comes."""
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls, blocksize=64 * 1024
        )
        try:
            yield lambda body: self._post(connection, body)
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPSConnection, body: bytes) -> HecReply:
        headers = {"Authorization": f"Splunk {self._token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            raw = response.read(MAX_REPLY)
            if not response.isclosed():
                connection.close()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise SinkRefused(
                f"the certificate of {self.url} was not accepted: {error.verify_message}",
                "Set hec.ca_file to the PEM file of the authority that signed it, and use a name that it holds.",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SinkBusy(
                f"{self.url} did not answer: {error or type(error).__name__}", "Rows are kept and sent again."
            ) from None
        if 300 <= response.status < 400:
            raise SinkRefused(
                f"{self.url} redirects to {response.getheader('Location', 'nowhere')[:200]!r}",
                "Set hec.url to the collector itself: a token does not follow redirects.",
            )
        return _reply(response.status, raw, response.getheader("Retry-After"), self.url)


def _address(url: str) -> tuple[str, int]:
    remedy = "Set hec.url to the collector's address, such as https://splunk.example:8088."
    try:
        parts = urlsplit(url)
        port = parts.port or 8088
    except ValueError as error:
        raise ConfigurationError(f"hec.url {url[:200]!r} is no address: {error}", remedy) from None
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.path not in ("", "/", PATH):
        raise ConfigurationError(f"hec.url {url[:200]!r} is not https://host:port", remedy)
    return parts.hostname, port


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"hec.ca_file {ca_file} cannot be read: {error}", "Name a PEM file of certificate authorities."
        ) from None


def _reply(status: int, raw: bytes, retry_after: str | None, url: str) -> HecReply:
    """Checked parts of an untrusted answer."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return HecReply(
            status, url, text=_printable(raw[:200].decode("utf-8", "replace")), retry_after=_pause(retry_after)
        )
    text = body.get("text")
    return HecReply(
        status=status,
        url=url,
        code=_whole(body.get("code")),
        text=_printable(text[:200]) if isinstance(text, str) else "",
        invalid_event=_whole(body.get("invalid-event-number")),
        retry_after=_pause(retry_after),
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _pause(header: str | None) -> float | None:
    """Seconds of a Retry-After header; dates and nonsense count as not given."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if math.isfinite(seconds) else None
