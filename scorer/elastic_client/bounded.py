"""Answers of Elasticsearch up to a limit: what answers more is cut off before it fills this machine's memory."""

from __future__ import annotations

from typing import Any, Final

import urllib3

#: Bytes of one answer, unpacked. Pages of documents aim at 8 MiB, so that this is a page that some documents made far
#: larger than its neighbours; a single document may be 100 MB (Elasticsearch's own limit on a request).
ANSWER_BYTES: Final = 64 * 1024 * 1024
_CHUNK = 256 * 1024
_LENGTH_DIGITS = 18  # of a Content-Length that is one


class TooMuch(Exception):
    """An answer that is longer than ``ANSWER_BYTES``; the client wraps it into its own ConnectionError."""


class BoundedPool:
    """A pool of connections whose answers end at ``limit`` bytes. Stands where the client's node keeps its own."""

    def __init__(self, pool: urllib3.HTTPConnectionPool, limit: int = ANSWER_BYTES) -> None:
        self._pool = pool
        self._limit = limit

    def urlopen(self, method: str, target: str, **options: Any) -> BoundedAnswer:
        """Send one request and read its answer to the end. Raises TooMuch, and what urllib3 raises."""
        response = self._pool.urlopen(method, target, preload_content=False, **options)
        try:
            data = _read(response, self._limit)
        except BaseException as error:
            response.close()  # its connection holds the rest of the answer, and is of no further use
            if isinstance(
                error, (ValueError, OverflowError)
            ):  # of lengths that are none, which the client lets through
                raise urllib3.exceptions.ProtocolError(f"the answer cannot be read: {error}") from error
            raise
        finally:
            response.release_conn()
        return BoundedAnswer(response.status, response.headers, data)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class BoundedAnswer:
    """What the client's node takes of an answer."""

    __slots__ = ("data", "headers", "status")

    def __init__(self, status: int, headers: Any, data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data


def _read(response: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    headers = response.headers
    declared = headers.get("content-length", "")
    if declared.isdecimal() and len(declared) <= _LENGTH_DIGITS:
        if int(declared) > limit:
            raise TooMuch
        if "content-encoding" not in headers and "transfer-encoding" not in headers:
            return response.read()  # as long as it said, or an error
    parts: list[bytes] = []
    size = 0
    for part in response.stream(_CHUNK):  # unpacked, so that a small answer cannot become a large one
        size += len(part)
        if size > limit:
            raise TooMuch
        parts.append(part)
    return b"".join(parts)
