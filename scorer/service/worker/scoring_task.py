"""From a scoring job to its reply, without a queue: decode, score, encode, and the rows to write."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from dataclasses import dataclass

from scorer.delivery.rows import NO_ROWS, ScoredRows
from scorer.delivery.scored import ScoringFacts, scored_rows
from scorer.elastic_client.names import ELASTIC
from scorer.models.reasons import NOT_EXPLAINED
from scorer.rows.batches import FeatureBatch, ScoreBatch
from scorer.rows.defects import Defect
from scorer.scoring.decode import decode
from scorer.scoring.encode import encode_reply
from scorer.scoring.score import score
from scorer.service.queue.jobs import ScoreJob, WorkerReply
from scorer.service.worker.model_cache import HeldModel
from scorer.wire.names import (
    HEADER_BATCH,
    HEADER_MODEL,
    HEADER_PROBLEMS,
    HEADER_ROWS,
    HEADER_SCORED,
    HEADER_VERSION,
)

_NOT_WRITTEN = Defect(
    "bad_context",
    "scored but not written, because the row has no usable _time, or neither origin_id nor user, src or dest",
)


@dataclass(frozen=True)
class Scored:
    """``rows``: what is to be written, in row order; empty unless the job asked for writing. ``unexplained``: rows
    that were to get a reason, for which there was no time."""

    reply: WorkerReply
    rows: ScoredRows
    version: str
    scored: int
    unexplained: int = 0


def score_job(
    job: ScoreJob, body: bytes, held: HeldModel, reason_seconds: float | None = None, configured_sink: str = ""
) -> Scored:
    """Score one body; reasons end ``reason_seconds`` from now, and at half of what its caller will still wait.

    ``configured_sink``: where rows go for which the job names no sink.

    Raises MalformedBody, RowCountMismatch and the other errors of bad input.
    """
    until = _reasons_until(job, reason_seconds)
    batch = decode(
        body,
        job.media_type,
        job.rows,
        held.model,
        model_name=job.model,
        batch_id=job.batch_id,
        write=job.options.write,
    )
    scores = score(held.model, held.version, batch, job.options, until)
    rows = NO_ROWS
    if job.options.write:
        rows, scores = _rows_to_write(batch, scores, held, _facts(job, held, configured_sink))
    counts = _problem_counts(scores)
    scored = job.rows - sum(counts.values()) + counts.get("bad_context", 0)
    headers = {
        HEADER_BATCH: job.batch_id,
        HEADER_MODEL: job.model,
        HEADER_VERSION: held.version,
        HEADER_ROWS: str(job.rows),
        HEADER_SCORED: str(scored),
        HEADER_PROBLEMS: json.dumps(counts),
    }
    lines = encode_reply(scores) if job.reply_key is not None else b""  # nobody waits for them
    return Scored(WorkerReply(lines, headers), rows, held.version, scored, scores.reason.count(NOT_EXPLAINED))


def _reasons_until(job: ScoreJob, seconds: float | None) -> float | None:
    """Say when reasons end, by ``time.monotonic()``: what decoding and scoring take is taken from the reasons."""
    return None if seconds is None else time.monotonic() + min(seconds, 0.5 * (job.deadline - time.time()))


def _facts(job: ScoreJob, held: HeldModel, configured_sink: str) -> ScoringFacts | None:
    """Gather what documents say beside the score; events of other sinks leave it out.

    Rows that could not be scored become documents where a connector sent them; whoever waits for a reply sees them.
    """
    if (job.sink or configured_sink) != ELASTIC:
        return None
    return ScoringFacts(
        errors=job.sink == ELASTIC,
        threshold=job.options.threshold,
        sha256=held.sha256,
        scored=time.time(),
        submitted=job.submitted,
    )


def _rows_to_write(
    batch: FeatureBatch, scores: ScoreBatch, held: HeldModel, facts: ScoringFacts | None
) -> tuple[ScoredRows, ScoreBatch]:
    """Make the rows for the sink, and mark in the scores those that cannot be written."""
    rows, skipped = scored_rows(batch, scores, held.card, facts)
    if skipped:
        scores = dataclasses.replace(scores, defects=dict.fromkeys(skipped, _NOT_WRITTEN) | dict(scores.defects))
    return rows, scores


def _problem_counts(scores: ScoreBatch) -> dict[str, int]:
    """Count rows by status code, for every code but ok."""
    return dict(Counter(defect.code for _, defect in sorted(scores.defects.items())))
