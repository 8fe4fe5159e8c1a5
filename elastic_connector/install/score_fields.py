"""Fields of the scores' documents, from ``assets/fields.toml``: mappings, package files and checks come from here."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

#: Longest keyword that is indexed; a longer value stays in _source. Lucene refuses terms above 32,766 bytes.
IGNORE_ABOVE = 8191


@dataclass(frozen=True)
class DocumentField:
    """One field: dotted name, Elasticsearch type, what it means. ``value``: of a constant, where it has one.

    ``indexed``: whether it has an index of its own beside its column (doc values), by which it is found as well, and
    sorted and counted, only slower.
    """

    name: str
    type: str
    meaning: str
    constant: bool = False
    value: str = ""
    indexed: bool = True


def assets_folder() -> Traversable:
    """Return the folder from which everything that is installed or packaged is made."""
    return resources.files("elastic_connector") / "assets"


@functools.cache
def document_fields() -> tuple[DocumentField, ...]:
    """Return all fields, by name."""
    raw = tomllib.loads((assets_folder() / "fields.toml").read_text(encoding="utf-8"))
    constants = [
        DocumentField(name, "constant_keyword", meaning, constant=True, value=value)
        for name, (value, meaning) in raw["constant"].items()
    ]
    plain = [
        DocumentField(name, kind, meaning, indexed=not column)
        for name, (kind, meaning, *column) in raw["fields"].items()
    ]
    return tuple(sorted([*constants, *plain], key=lambda field: field.name))


def field_types() -> dict[str, str]:
    """Return dotted name -> type, of every field that may be searched."""
    return {field.name: field.type for field in document_fields()}


def mappings(constant_keyword: bool = True, prefix: str = "qscore") -> dict[str, Any]:
    """Return the mapping of a score document. Without ``constant_keyword`` (a server that lacks the type) it is
    keyword.

    ``prefix``: of the dataset's name, which the constant data_stream.dataset must agree with.
    """
    properties: dict[str, Any] = {}
    for field in document_fields():
        *parents, leaf = field.name.split(".")
        level = properties
        for parent in parents:
            level = level.setdefault(parent, {}).setdefault("properties", {})
        level.setdefault(leaf, {}).update(_mapping(field, constant_keyword, prefix))
    return {"dynamic": "false", "properties": properties}


def _mapping(field: DocumentField, constant_keyword: bool, prefix: str) -> dict[str, Any]:
    if field.constant and constant_keyword:
        value = field.value.replace("qscore", prefix)
        return {"type": field.type} | ({"value": value} if value else {})
    if field.constant:
        return {"type": "keyword"}
    column = {} if field.indexed else {"index": False}
    if field.type == "keyword":
        return {"type": "keyword", "ignore_above": IGNORE_ABOVE} | column
    return {"type": field.type} | column


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings' ``properties`` as one; of a field that both have, what ``theirs`` says."""
    found = dict(ours)
    for name, body in theirs.items():
        inner = body.get("properties") if isinstance(body, Mapping) else None
        before = found.get(name)
        if isinstance(inner, Mapping) and isinstance(before, Mapping) and isinstance(before.get("properties"), Mapping):
            body = {**before, **body, "properties": merged(before["properties"], inner)}
        found[name] = body
    return found


def picked(properties: Mapping[str, Any], names: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return those fields of a mapping's ``properties`` with these dotted names, each below the objects that it lies
    in.
    """
    found: dict[str, Any] = {}
    for name, body in properties.items():
        whole = prefix + name
        inner = body.get("properties") if isinstance(body, Mapping) else None
        below = picked(inner, names, f"{whole}.") if isinstance(inner, Mapping) else {}
        if whole in names:
            found[name] = {**body, "properties": below} if below else body
        elif below:
            found[name] = {"properties": below} | ({"type": body["type"]} if "type" in body else {})
    return found


def leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted name, type) of every field of a mapping's ``properties``, as a server may return them."""
    for name, body in properties.items():
        if not isinstance(body, Mapping):
            continue
        inner = body.get("properties")
        if isinstance(inner, Mapping):
            yield from leaves(inner, f"{prefix}{name}.")
        if "type" in body and body["type"] != "object":
            yield prefix + name, str(body["type"])
