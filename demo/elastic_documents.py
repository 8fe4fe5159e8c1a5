"""Events as the ECS documents that an Elastic agent would have made of them."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from scorer.rows.fields import resolve
from scorer.rows.recipe import Recipe
from scorer.rows.recipe.parts import Field

#: Mappings of the fields that the recipes read, as the ECS component templates of Elasticsearch have them.
MAPPINGS: dict[str, Any] = {
    "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
    "properties": {
        "@timestamp": {"type": "date"},
        "event": {"properties": {"ingested": {"type": "date"}, "duration": {"type": "long"}}},
        "source": {"properties": {"ip": {"type": "ip"}, "port": {"type": "long"}, "bytes": {"type": "long"}}},
        "destination": {"properties": {"ip": {"type": "ip"}, "port": {"type": "long"}, "bytes": {"type": "long"}}},
    },
}


def documents(recipe: Recipe, events: pa.Table, ingested: float | None = None) -> Iterator[dict[str, Any]]:
    """One nested document per event, with the first ECS name of each of the recipe's fields.

    ``ingested``: event.ingested of all of them, epoch seconds; None: left to an ingest pipeline. An address that is no
    IP goes to the field's next name, which is what agents do, or is left out where there is none.
    """
    values = resolve(recipe, events)
    fields = [f for f in recipe.fields if f.ecs]
    columns = [values[f.name].to_pylist() for f in fields]
    for cells in zip(*columns, strict=True):
        document: dict[str, Any] = {}
        for field, cell in zip(fields, cells, strict=True):
            placed = None if cell is None else _placed(field, cell)
            if placed is not None:
                _put(document, *placed)
        if ingested is not None:
            _put(document, "event.ingested", _iso(ingested))
        yield document


def with_plain_addresses(recipe: Recipe, events: pa.Table) -> pa.Table:
    """The events with every IP address as Elasticsearch's ip type writes it: 0:0:0:0:0:0:0:1 is ::1."""
    names = {name for f in recipe.fields if any(n.endswith(".ip") for n in f.ecs) for name in _columns(f)}
    for name in names & set(events.column_names):
        if pa.types.is_string(events[name].type):
            column = pa.array([_plain_address(value) for value in events[name].to_pylist()], pa.string())
            events = events.set_column(events.column_names.index(name), name, column)
    return events


def _columns(field: Field) -> tuple[str, ...]:
    return (*field.splunk, *field.ecs, *field.zeek, *field.windows)


def _plain_address(text: str | None) -> str | None:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return text
    return str(getattr(address, "ipv4_mapped", None) or address)


def _placed(field: Field, cell: Any) -> tuple[str, Any] | None:
    if field.name == "time":
        return field.ecs[0], _iso(float(cell))
    if field.scale_ecs != 1.0:
        return field.ecs[0], round(float(cell) / field.scale_ecs)
    for name in field.ecs:
        if not name.endswith(".ip") or _is_ip(cell):
            return name, cell
    return None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _iso(seconds: float) -> str:
    """Milliseconds, cut and not rounded: an event must not move into the next window."""
    whole = int(seconds * 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole // 1000)) + f".{whole % 1000:03d}Z"


def _put(document: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        document = document.setdefault(part, {})
    document[last] = value
