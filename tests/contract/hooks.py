"""What Schemathesis needs to be told: how bodies that are no JSON are written, and the name of a model that exists.

Runs in the environment of Schemathesis, without qscore.
"""

from __future__ import annotations

import random
from typing import Any

import schemathesis

_CSV = "text/csv"
_ARROW = "application/vnd.apache.arrow.stream"
_GOOD = b"events,dest_n,span_s\n3,1,60\n1,1,10\n"


@schemathesis.serializer(_CSV)
def csv_body(_context: Any, value: Any) -> bytes:
    """Write a body of lines: now and then one that a model can read."""
    return _GOOD if _now_and_then(value) else str(value).encode("utf-8", "replace")


@schemathesis.serializer(_ARROW)
def arrow_body(_context: Any, value: Any) -> bytes:
    """Write a body that is no Arrow stream: a description can say no more than that it is bytes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ask three times in four for the model that exists."""
    if path_parameters and "name" in path_parameters and not _now_and_then(path_parameters["name"]):
        return path_parameters | {"name": "lateral"}
    return path_parameters


def _now_and_then(value: Any) -> bool:
    """Choose one in four, always the same ones."""
    return random.Random(repr(value)).random() < 0.25  # noqa: S311  # no secret
