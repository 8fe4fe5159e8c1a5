"""The Splunk HTTP Event Collector as a sink: byte-bounded batches over verified TLS, and a rule for every answer.

Rules (Splunk, "Troubleshoot HTTP Event Collector" and "Format events for HTTP Event Collector"):

    200 code 0                      taken
    400 with invalid-event-number   that event is refused, the others of the batch are sent again
    413                             the batch is halved; a single event is refused
    408, 429, 500, 502, 503, 504    busy: try later, after Retry-After where it is given
    anything else                   refused until somebody changes token, index, address or certificate

A batch sent again may be indexed twice in part; every event carries its qscore_id, by which searches deduplicate.
"""

from __future__ import annotations

from collections.abc import Sequence

from scorer.delivery.hec_event import by_bytes, encode
from scorer.delivery.hec_http import HecClient, HecReply
from scorer.delivery.rows import ScoredRow
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

    def send(self, rows: Sequence[ScoredRow]) -> SendOutcome:
        """Send batch after batch until all are settled or the collector is busy or refuses."""
        bodies = [encode(row, self._index) for row in rows]
        todo = list(reversed(list(by_bytes(bodies, self._batch_bytes))))
        taken, refused = 0, list[Refused]()
        with self._client.connected() as post:
            while todo:
                start, end = todo.pop()
                try:
                    reply = post(b"\n".join(bodies[start:end]))
                    bad = _verdict(reply, end - start)
                except DeliveryFailed as fault:
                    left = [(start, end), *reversed(todo)]
                    unsent = tuple(row for first, last in left for row in rows[first:last])
                    return SendOutcome(taken, tuple(refused), unsent, fault=fault)
                if bad is None:
                    taken += end - start
                elif end - start == 1:
                    refused.append(Refused(rows[start], _reason(reply)))
                elif reply.status == 413:
                    middle = (start + end) // 2
                    todo += [(middle, end), (start, middle)]
                else:
                    refused.append(Refused(rows[start + bad], _reason(reply)))
                    todo += [part for part in ((start + bad + 1, end), (start, start + bad)) if part[0] < part[1]]
        return SendOutcome(taken, tuple(refused))


def _verdict(reply: HecReply, events: int) -> int | None:
    """None: all taken. A number: the event within the batch to refuse (for a 413, which is split, it means nothing).

    Raises SinkBusy or SinkRefused for an answer that concerns the whole batch.
    """
    if reply.status == 200 and reply.code == 0:
        return None
    if reply.status == 413:
        return 0
    number = reply.invalid_event
    if reply.status == 400 and reply.code in EVENT_CODES and number is not None and 0 <= number < events:
        return number
    if reply.status in BUSY:
        busy = SinkBusy(f"Splunk HEC is busy: {_reason(reply)}", "Rows are kept and sent again.")
        busy.retry_after = reply.retry_after
        raise busy
    if reply.status == 200:
        raise SinkBusy(f"the answer of {reply.url} is not HEC's: {_reason(reply)}", _REMEDIES[404])
    if reply.code == 7:
        raise SinkRefused(f"Splunk HEC refused all events: {_reason(reply)}", _REMEDY_INDEX)
    raise SinkRefused(f"Splunk HEC refused all events: {_reason(reply)}", _REMEDIES.get(reply.status, _REMEDY_OTHER))


def _reason(reply: HecReply) -> str:
    code = "" if reply.code is None else f", code {reply.code}"
    return f"{reply.text or 'no text'} (HTTP {reply.status}{code})"
