"""Names that more than one process must agree on: output columns, statuses, context columns, headers, task names."""

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

BANDS = ("low", "medium", "high", "critical")

#: Context of a row. It never reaches the model; notables, risk objects and documents need it.
#: ``_time`` is the event's time or the window's start, epoch seconds (UTC).
TIME_COLUMN = "_time"
ENTITY_COLUMNS = ("user", "src", "dest", "host", "port_class")
ORIGIN_COLUMNS = ("origin_id", "index", "sourcetype")
CONTEXT_COLUMNS = (TIME_COLUMN, *ENTITY_COLUMNS, *ORIGIN_COLUMNS)
#: Columns that the Elastic connector adds to the context; the search command never asks for them.
REVISION_COLUMN = (
    "qscore_revision"  # whole number as text, default 0: which count of its window a row is; enters the id
)
FIELDS_COLUMN = "qscore_fields"  # JSON object: dotted ECS field -> string or list of strings, put onto the document
FLAGS_COLUMN = "qscore_flags"  # comma separated: what a reader of the score should know, as cardinality_approximate
DEFECT_COLUMN = "qscore_defect"  # status text of a row that the edge already found unusable: "<code>: <what is wrong>"
EDGE_COLUMNS = (REVISION_COLUMN, FIELDS_COLUMN, FLAGS_COLUMN, DEFECT_COLUMN)
MAX_FIELDS_BYTES = 8 * 1024  # of one row's qscore_fields
#: The entities that, with the window's start, make a window's identity.
KEY_COLUMNS = ("user", "src", "dest", "port_class")

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

MAX_ROWS = 50_000
MAX_BODY_BYTES = 64 * 1024 * 1024

#: The sink that writes documents, as it stands in settings and jobs.
ELASTIC = "elastic"
#: The data stream of scores, less the namespace.
SCORES_DATASET = "qscore.scores"
SCORES_STREAM = "logs-" + SCORES_DATASET
#: A data stream's namespace as Elastic allows it: no hyphen, which separates the parts of the stream's name.
NAMESPACE = r"^[a-z0-9][a-z0-9_.]{0,99}$"

TASK_SCORE = "qscore.score"
TASK_DELIVER = "qscore.deliver"
QUEUE_INTERACTIVE = "interactive"
QUEUE_BULK = "bulk"
QUEUE_DELIVER = "deliver"
QUEUE_QPU = "qpu"  # models that no ordinary worker can score: circuits above MAX_EXACT_QUBITS

#: Circuits up to here are scored exactly by every worker; larger ones by a worker of the qpu lane.
MAX_EXACT_QUBITS = 12

_MODEL = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_VERSION = re.compile(r"[0-9]{1,9}(-starter)?\Z")
ALIASES = ("live", "shadow")


def check_model_name(name: str) -> str:
    """A model's name as it may appear in a path or a key; anything else is an unknown model."""
    if not _MODEL.match(name):
        raise UnknownModel(
            "%r cannot be a model's name" % name[:80],
            "Names are lower-case letters, digits and underscores, such as model=lateral; `qscore models` lists them.",
        )
    return name


def check_version(version: str) -> str:
    """A version number such as ``3`` or ``1-starter``, or an alias (``live``, ``shadow``)."""
    if version not in ALIASES and not _VERSION.match(version):
        raise UnknownModel(
            "%r cannot be a version" % version[:80],
            "Give a number that `qscore models` lists (version=1), or live or shadow.",
        )
    return version
