"""Columns beside a row's features: its context, and what a score says of it."""

from __future__ import annotations

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
