"""One line in the log and one count for every request, wherever it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scorer.logs import get_log
from scorer.service.gateway.metrics import GatewayMetrics


@dataclass(frozen=True)
class Line:
    """One request that ended. ``endpoint``: the route's name, None where there is none. ``about``: of its batch."""

    endpoint: str | None
    status: int
    code: str
    seconds: float
    about: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Journal:
    """Where requests are counted and logged. For any thread."""

    metrics: GatewayMetrics

    def note(self, line: Line) -> None:
        """Count a request; log it unless it is a question of state that was answered."""
        self.metrics.requests.labels(line.endpoint or "none", line.code).inc()
        if line.endpoint == "score" or line.code != "ok":
            get_log().info(
                "request",
                endpoint=line.endpoint,
                status=line.status,
                code=line.code,
                seconds=round(line.seconds, 4),
                **line.about,
            )
