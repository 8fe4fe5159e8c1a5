"""The documented rules of Splunk's HTTP Event Collector, as a pure function from a request to an answer.

Source: Splunk, "Troubleshoot HTTP Event Collector" (codes) and "Format events for HTTP Event Collector" (envelope,
concatenated objects, flat `fields`). What Splunk does with the events before a bad one is not documented; here, as in
the OpenTelemetry receiver, a batch is taken whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PATHS = ("/services/collector/event", "/services/collector", "/services/collector/event/1.0")
_ENVELOPE = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
_TEXTS = {
    0: "Success",
    1: "Token disabled",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    7: "Incorrect index",
    8: "Internal server error",
    9: "Server is busy",
    12: "Event field is required",
    13: "Event field cannot be blank",
    15: "Error in handling indexed fields",
}


@dataclass(frozen=True)
class HecAnswer:
    """An HTTP status with HEC's JSON body. ``events``: what was taken, empty unless the status is 200."""

    status: int
    body: dict[str, Any]
    events: tuple[dict[str, Any], ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


def refusal(status: int, code: int, event: int | None = None, **headers: str) -> HecAnswer:
    """An answer with HEC's own words for ``code``; ``event`` is the zero-based number of the bad event."""
    body: dict[str, Any] = {"text": _TEXTS[code], "code": code}
    if event is not None:
        body["invalid-event-number"] = event
    return HecAnswer(status, body, headers={k.replace("_", "-"): v for k, v in headers.items()})


@dataclass(frozen=True)
class HecRules:
    """What this collector accepts: its token, the indexes that the token may write to, the largest request.

    ``also``: HEC's code for what else is wrong with an event, 0 where nothing is.
    """

    token: str
    indexes: tuple[str, ...] = ("qscore", "main")
    max_bytes: int = 1_000_000
    enabled: bool = True
    also: Callable[[dict[str, Any]], int] = lambda _event: 0

    def answer(self, path: str, authorization: str | None, body: bytes) -> HecAnswer:
        """The answer to one POST."""
        if path not in PATHS:
            return HecAnswer(404, {"text": "The requested URL was not found on this server.", "code": 404})
        return self._authorised(authorization) or self._size(body) or self._events(body)

    def _authorised(self, header: str | None) -> HecAnswer | None:
        if not header:
            return refusal(401, 2)
        scheme, _, token = header.partition(" ")
        if scheme != "Splunk" or not token:
            return refusal(401, 3)
        if token != self.token:
            return refusal(403, 4)
        return None if self.enabled else refusal(403, 1)

    def _size(self, body: bytes) -> HecAnswer | None:
        if len(body) > self.max_bytes:
            return HecAnswer(413, {"text": "The request entity is too large", "code": 27})
        return None if body.strip() else refusal(400, 5)

    def _events(self, body: bytes) -> HecAnswer:
        events: list[dict[str, Any]] = []
        decoder = json.JSONDecoder(parse_constant=_no_constant)
        try:
            text = body.decode("utf-8").strip()
        except UnicodeDecodeError:
            return refusal(400, 6, 0)
        at = 0
        while at < len(text):
            try:
                event, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                return refusal(400, 6, len(events))
            fault = self._fault(event)
            if fault:
                return refusal(400, fault, len(events))
            events.append(event)
            at = _skip_space(text, at)
        return HecAnswer(200, {"text": _TEXTS[0], "code": 0}, tuple(events))

    def _fault(self, event: Any) -> int:
        """HEC's code for what is wrong with one event, 0 where nothing is."""
        if not isinstance(event, dict) or set(event) - _ENVELOPE or not _metadata(event):
            return 6
        if event.get("event") is None:
            return 12
        if event["event"] == "":
            return 13
        if not _flat(event.get("fields", {})):
            return 15
        return self.also(event) if event.get("index", self.indexes[0]) in self.indexes else 7


def _metadata(event: dict[str, Any]) -> bool:
    """Texts are texts, and the time is a number or the text of one."""
    if not all(isinstance(event.get(key, ""), str) for key in ("host", "source", "sourcetype", "index")):
        return False
    try:
        return not isinstance(event.get("time"), bool) and float(event.get("time", 0)) >= 0
    except (TypeError, ValueError):
        return False


def _flat(fields: Any) -> bool:
    """Values are texts or lists of texts, as documented; numbers are what careless senders send."""
    if not isinstance(fields, dict):
        return False
    return all(
        isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(v, str) for v in value))
        for value in fields.values()
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
