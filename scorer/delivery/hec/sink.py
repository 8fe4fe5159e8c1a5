"""The Splunk HTTP Event Collector as a sink: byte-bounded batches over verified TLS, and a rule for every answer.

Rules (Splunk, "Troubleshoot HTTP Event Collector" and "Format events for HTTP Event Collector"):

    200 code 0                      taken
    400 for one event's fault       the event that invalid-event-number names is sent alone, the others without it;
                                    only an event that is refused alone is refused
    413                             the batch is halved; a single event is refused
    408, 429, 500, 502, 503, 504    busy: try later, after Retry-After where it is given
    anything else                   refused until somebody changes token, index, address or certificate

A batch sent again may be indexed twice in part; every event carries its qscore_id, by which searches deduplicate.
"""

from __future__ import annotations

import itertools

from scorer.delivery.hec.event import event_lines
from scorer.delivery.hec.http import HecClient, HecReply
from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.delivery.sink import Refused, SendOutcome, SinkBusy, SinkRefused
from scorer.wire.errors import DeliveryFailed

BUSY = frozenset({408, 429, 500, 502, 503, 504})
#: Codes of a 400 that concern one event; the others (7: index, 10, 11: channel) concern all of them.
EVENT_CODES = frozenset({6, 12, 13, 15})
_REMEDIES = {
    401: "Put the token that Splunk shows under Settings > Data inputs > HTTP Event Collector into hec.token_file.",
    403: "Enable the token in Splunk, or put the right one into hec.token_file.",
    404: "hec.url must be the address of the HTTP Event Collector, such as https://splunk.example:8088.",
}
_REMEDY_INDEX = "Create the index that hec.index names, and allow it for the token."
_REMEDY_OTHER = "Look at the HTTP Event Collector's own log in Splunk (index=_internal), then replay the dead letters."


class HecSink:
    """Sends scored rows to one HTTP Event Collector."""

    name = "hec"

    def __init__(self, client: HecClient, index: str, batch_bytes: int) -> None:
        self._client = client
        self._index = index
        self._batch_bytes = batch_bytes

    def send(self, rows: ScoredRows) -> SendOutcome:
        """Send batch after batch until all are settled, or the collector is busy or refuses."""
        lines = event_lines(rows, self._index)
        todo = list(lines.within(self._batch_bytes))[::-1]  # a stack: the first batch is the last entry
        taken, refused, fault = 0, list[Refused](), None
        with self._client.connected() as post:
            while todo and fault is None:
                start, end = todo.pop()
                try:
                    reply = post(lines[start:end].body())
                    parts = _verdict(reply, start, end)
                except DeliveryFailed as error:
                    todo.append((start, end))
                    fault = error
                else:
                    taken += 0 if parts else end - start
                    if parts == [(start, end)]:
                        refused.append(Refused(rows[start:end], _reason(reply)))
                    else:
                        todo += parts[::-1]
        left = rows[min(start for start, _ in todo) :] if todo else NO_ROWS
        return SendOutcome(taken, tuple(refused), left, fault=fault)


def _verdict(reply: HecReply, start: int, end: int) -> list[tuple[int, int]]:
    """Say what is left of the batch [start, end): nothing when it was taken, smaller parts when an event is wrong.

    A single wrong event cannot be made smaller and comes back as it went. Raises SinkBusy or SinkRefused for an answer
    that concerns all events.
    """
    if reply.status == 200 and reply.code == 0:
        return []
    if reply.status == 413 or (reply.status == 400 and reply.code in EVENT_CODES):
        return _parts(reply.invalid_event, start, end)
    raise _fault(reply)


def _parts(number: int | None, start: int, end: int) -> list[tuple[int, int]]:
    """Part the named event, to be sure that it is the wrong one, from what stands around it; else make two halves."""
    if number is not None and 0 <= number < end - start:
        cuts = [start, start + number, start + number + 1, end]
    else:
        cuts = [start, (start + end) // 2, end]
    return [(first, last) for first, last in itertools.pairwise(cuts) if first < last]


def _fault(reply: HecReply) -> DeliveryFailed:
    """Make the error of an answer that concerns all events."""
    if reply.status in BUSY:
        busy = SinkBusy(f"Splunk HEC is busy: {_reason(reply)}", "Rows are kept and sent again.")
        busy.retry_after = reply.retry_after
        return busy
    if reply.status == 200:
        return SinkBusy(f"the answer of {reply.url} is not HEC's: {_reason(reply)}", _REMEDIES[404])
    remedy = _REMEDY_INDEX if reply.code == 7 else _REMEDIES.get(reply.status, _REMEDY_OTHER)
    return SinkRefused(f"Splunk HEC refused all events: {_reason(reply)}", remedy)


def _reason(reply: HecReply) -> str:
    code = "" if reply.code is None else f", code {reply.code}"
    return f"{reply.text or 'no text'} (HTTP {reply.status}{code})"
