"""Splunk's chunked protocol, version 2: frames on stdin and stdout.

    chunked 1.0,<metadata bytes>,<body bytes>\\n
    <metadata: JSON object><body: CSV>

Each request gets exactly one reply. What arrives is checked before any of it is believed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple

_HEADER = re.compile(rb"chunked\s+1\.0\s*,\s*(\d{1,12})\s*,\s*(\d{1,12})\s*\n\Z")
_HEADER_CAP = 128
_METADATA_CAP = 16 * 1024 * 1024
_BODY_CAP = 1024 * 1024 * 1024


class ProtocolFault(Exception):
    """A fault of what arrived on stdin, which is not the chunked protocol; its text is one sentence for the log."""


@dataclass(frozen=True)
class Frame:
    """One request: decoded metadata and the body as it came."""

    metadata: Mapping[str, Any]
    body: bytes

    @property
    def action(self) -> str:
        return str(self.metadata.get("action", ""))

    @property
    def finished(self) -> bool:
        return self.metadata.get("finished") is True


@dataclass(frozen=True)
class Reply:
    """One answer: metadata beside the inspector's messages, and CSV.

    ``messages``: (level, text) pairs that Splunk shows to the searcher; level is INFO, WARN or ERROR.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    messages: Tuple[Tuple[str, str], ...] = ()
    body: bytes = b""


def read_frame(stream: BinaryIO) -> Optional[Frame]:
    """Read the next request; None where the stream ends between frames. Raises ProtocolFault."""
    line = stream.readline(_HEADER_CAP)
    if not line:
        return None
    match = _HEADER.match(line)
    if match is None:
        raise ProtocolFault("expected a frame that starts with 'chunked 1.0,', got %r" % line[:60])
    metadata_length, body_length = int(match.group(1)), int(match.group(2))
    if metadata_length > _METADATA_CAP or body_length > _BODY_CAP:
        raise ProtocolFault("a frame of %d + %d bytes is larger than any search sends" % (metadata_length, body_length))
    metadata = _exactly(stream, metadata_length, "metadata")
    return Frame(_decode(metadata), _exactly(stream, body_length, "body"))


def _exactly(stream: BinaryIO, length: int, what: str) -> bytes:
    data = stream.read(length) if length else b""
    if len(data) != length:
        raise ProtocolFault("the input ended after %d of the %d bytes of a frame's %s" % (len(data), length, what))
    return data


def _decode(raw: bytes) -> Dict[str, Any]:
    try:
        metadata = json.loads(raw.decode("utf-8")) if raw else {}
    except (ValueError, RecursionError):
        raise ProtocolFault("a frame's metadata is not JSON: %r" % raw[:60]) from None
    if not isinstance(metadata, dict):
        raise ProtocolFault("a frame's metadata is not a JSON object: %r" % raw[:60])
    return metadata


def write_reply(stream: BinaryIO, reply: Reply) -> None:
    """Write one reply and flush it."""
    metadata = dict(reply.metadata)
    if reply.messages:
        messages: List[List[str]] = [[level, text] for level, text in reply.messages]
        metadata["inspector"] = {"messages": messages}
    encoded = json.dumps(metadata, separators=(",", ":")).encode()
    stream.write(b"chunked 1.0,%d,%d\n" % (len(encoded), len(reply.body)))
    stream.write(encoded)
    stream.write(reply.body)
    stream.flush()
