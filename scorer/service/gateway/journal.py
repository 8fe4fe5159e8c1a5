"""One count and, where somebody may have to answer for it, one line for every request, wherever it ended."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.service.gateway.front.gate import RequestHead
from scorer.service.gateway.metrics import GatewayMetrics
from scorer.service.gateway.record.request_log import Line, RequestLog


@dataclass(frozen=True)
class Journal:
    """Where requests are counted and logged. For any thread."""

    metrics: GatewayMetrics
    log: RequestLog

    def note(self, head: RequestHead, line: Line) -> None:
        """Count a request, and write its line."""
        self.metrics.requests.labels(line.endpoint or "none", line.code).inc()
        self.log.write(head, line)
