"""Closed indices of a source: nobody reads them, so somebody has to be told, whenever they were closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from scorer.elastic_client.failures import reached
from scorer.logs import get_log
from scorer.wire.errors import NonsenseReply, QScoreError

#: Seconds between two looks.
EVERY = 60.0
_SHOWN = 10
#: What every closed index has among its settings, and no other.
_MARK = "index.verified_before_close"


def closed_indices(client: Elasticsearch, pattern: str) -> tuple[str, ...]:
    """List the closed indices that ``pattern`` names, those of data streams among them. Raises NonsenseReply."""
    with reached(f"list the closed indices of {pattern}", "index privilege view_index_metadata on the source"):
        answer: Any = client.indices.get_settings(
            index=pattern,
            name=_MARK,
            expand_wildcards="all",
            ignore_unavailable=True,
            allow_no_indices=True,
            flat_settings=True,
        ).body
    if not isinstance(answer, Mapping):
        raise NonsenseReply(f"the settings of {pattern} came as {type(answer).__name__}")
    return tuple(sorted(str(name)[:255] for name, body in answer.items() if _is_marked(body)))


def _is_marked(body: Any) -> bool:
    settings = body.get("settings") if isinstance(body, Mapping) else None
    return isinstance(settings, Mapping) and str(settings.get(_MARK)).lower() == "true"


@dataclass
class ClosedWatch:
    """Looks from time to time, and says what was closed or opened since; what fails is looked at the next time."""

    client: Elasticsearch
    source: str
    pattern: str
    clock: Callable[[], float] = time.monotonic
    names: tuple[str, ...] = ()
    _due: float = float("-inf")

    def look(self) -> tuple[str, ...]:
        """Return the closed indices as of at most ``EVERY`` seconds ago. Never raises for what the cluster does."""
        if self.clock() < self._due:
            return self.names
        self._due = self.clock() + EVERY
        try:
            found = closed_indices(self.client, self.pattern)
        except QScoreError as error:
            get_log().info("closed_indices_not_listed", source=self.source, reason=error.detail)
            return self.names
        self._say("index_closed", set(found) - set(self.names), "their documents are not read until they are opened")
        remedy = "`qscore elastic reconcile --fix` sends what is older than the checkpoint"
        self._say("index_opened", set(self.names) - set(found), remedy)
        self.names = found
        return found

    def _say(self, event: str, names: set[str], remedy: str) -> None:
        if names:
            shown = sorted(names)[:_SHOWN]
            get_log().warning(event, source=self.source, indices=len(names), names=shown, remedy=remedy)
