"""Where a field that is copied from a scored document may stand on its score, and where it cannot.

The names are those of elastic_connector/assets/fields.toml, which the scores' template is made of; a test compares
them. Elasticsearch refuses a whole document for one field in the wrong place, and the score matters more than the copy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

#: Roots that no copy may set: they are ours, Elasticsearch's, Kibana's or Entity Analytics'.
OWN_ROOTS: Final = frozenset(
    ("qscore", "event", "data_stream", "@timestamp", "error", "threat", "ecs", "signal", "kibana", "message")
)
_OWN_FIELDS: Final = ("host.risk", "user.risk")
#: What of ``event`` may be copied: it says something about the scored document.
_COPIED_EVENT: Final = frozenset(("event.action", "event.outcome", "event.code", "event.provider", "event.original"))
#: Objects: a text in the place of one would cost the score its document.
OBJECTS: Final = frozenset(
    (
        "agent", "destination", "host", "host.os", "labels", "network", "process", "process.parent", "related", "rule",
        "source", "user",
    )
)  # fmt: skip
#: Single values: nothing can stand below one.
LEAVES: Final = frozenset(
    (
        "tags", "agent.id", "agent.name", "agent.type", "host.id", "host.name", "host.hostname", "host.ip",
        "host.os.family", "host.os.name", "host.os.type", "user.id", "user.name", "user.domain", "source.ip",
        "source.address", "source.domain", "source.port", "source.bytes", "destination.ip", "destination.address",
        "destination.domain", "destination.port", "destination.bytes", "network.transport", "network.protocol",
        "network.direction", "process.name", "process.executable", "process.pid", "process.entity_id",
        "process.parent.name", "rule.name", "related.ip", "related.user", "related.hosts",
    )
)  # fmt: skip
_DEEPEST: Final = 20
#: What a browser that shows the document could take for more than a name.
_PROTOTYPE: Final = "__proto__"


@lru_cache(maxsize=4096)
def no_place(name: str) -> str:
    """Return why a copied field cannot stand on a score; empty where it can."""
    parts = name.split(".")
    if not all(part.strip() for part in parts) or len(parts) > _DEEPEST:
        return f"it is no name of at most {_DEEPEST} parts"
    if _PROTOTYPE in parts:
        return "it is the name of a part of every object in JavaScript"
    if name in _COPIED_EVENT:
        return ""
    if name in OBJECTS:
        return "it is an object on scores: name the fields in it"
    if parts[0] in OWN_ROOTS or name.startswith(("_", *_OWN_FIELDS)):
        return "it is not for copies"
    above = (".".join(parts[:length]) for length in range(1, len(parts)))
    leaf = next((one for one in above if one in LEAVES), "")
    return f"{leaf} is a single value on scores, and nothing can stand below it" if leaf else ""
