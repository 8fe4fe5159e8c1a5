"""Names on both sides of the gateway: output columns, statuses, media types, headers, queues, versions."""

from __future__ import annotations

import re

from scorer.wire.errors import UnknownModel

#: Columns that scoring adds, in the order in which they stand in a reply and on a row.
OUTPUT_COLUMNS = (
    "qscore",  # calibrated probability, 0-1, 4 decimals; empty where the row was not scored
    "qscore_risk",  # 0-100, integer
    "qscore_band",  # low | medium | high | critical
    "qscore_alert",  # 0 | 1
    "qscore_pvalue",  # share of held-out benign rows that score at least as high
    "qscore_classical",  # the twin's calibrated probability, 0-1
    "qscore_reason",  # the features that drove the score, in words
    "qscore_model",
    "qscore_version",
    "qscore_status",  # "ok", or "<code>: <what is wrong and what to do>"
)

STATUS_OK = "ok"
#: Codes that may stand before the colon in qscore_status, and what each means.
STATUS_CODES = {
    "missing_feature": "a column that the model needs is absent or empty on this row",
    "not_a_number": "a feature holds text",
    "multivalue": "a feature holds several values",
    "infinite": "a feature is infinite or not a number",
    "out_of_range": "a feature lies outside what its unit allows",
    "bad_context": "scored, but not written: the row has no usable time or no identity",
    "duplicate_column": "two columns of the search have the name of one feature",
    "disabled": "the model was switched off by its operators; nothing is scored and nothing is written",
    "not_scored": "the gateway, the queue or a worker did not answer; the search's message says what to do",
}

MEDIA_CSV = "text/csv"
MEDIA_ARROW = "application/vnd.apache.arrow.stream"
MEDIA_JSON = "application/json"
MEDIA_PROBLEM = "application/problem+json"

HEADER_ROWS = "X-QScore-Rows"
HEADER_BATCH = "X-QScore-Batch"
HEADER_TIMEOUT = "X-QScore-Timeout"  # seconds that the caller will wait
HEADER_SUBMITTER = "X-QScore-Submitter"  # whose acknowledgement list to push to; absent: no acknowledgement
HEADER_QUEUE = "X-QScore-Queue"  # interactive (default) or bulk
HEADER_MODEL = "X-QScore-Model"
HEADER_VERSION = "X-QScore-Version"
HEADER_SCORED = "X-QScore-Scored"
HEADER_PROBLEMS = "X-QScore-Problems"  # JSON object: status code -> rows
HEADER_RELEASE = "X-QScore-Release"  # of the sender's qscore, in requests and answers
HEADER_WORKER_RELEASE = "X-QScore-Worker-Release"  # of the worker that scored

MAX_ROWS = 50_000
MAX_BODY_BYTES = 64 * 1024 * 1024

QUEUE_INTERACTIVE = "interactive"
QUEUE_BULK = "bulk"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_VERSION = re.compile(r"[0-9]{1,9}(-starter)?\Z")
ALIASES = ("live", "shadow")


def is_name(text: object) -> bool:
    """Say whether a value is a name: lower-case letters, digits, underscores, at most 64, a letter first."""
    return isinstance(text, str) and _NAME.match(text) is not None


def check_model_name(name: str) -> str:
    """Check a model's name as it may appear in a path or a key. Raises UnknownModel for anything else."""
    if not is_name(name):
        raise UnknownModel(
            "%r cannot be a model's name" % name[:80],
            "Names are lower-case letters, digits and underscores, such as model=lateral; `qscore models` lists them.",
        )
    return name


def check_version(version: str) -> str:
    """Check a version such as ``3`` or ``1-starter``, or an alias (``live``, ``shadow``). Raises UnknownModel."""
    if version not in ALIASES and not _VERSION.match(version):
        raise UnknownModel(
            "%r cannot be a version" % version[:80],
            "Give a number that `qscore models` lists (version=1), or live or shadow.",
        )
    return version
