"""The part of `qscore elastic doctor` that looks at the queue between the connector and the workers."""

from __future__ import annotations

from elastic_connector.install.doctor.findings import Finding, ok
from scorer.service.queue.sealing.exposure import REMEDY, exposures
from scorer.service.settings import Settings


def check_queue(settings: Settings) -> list[Finding]:
    """Warn of queue servers on which others could write batches and scores that are taken for ours."""
    found = [Finding("queue", "warn", sentence, REMEDY) for sentence in exposures(settings)]
    return found or [ok("queue", "sealed, or behind a socket of this user alone")]
